"""A user's first evening: the demo from nothing, a question, another night, and out with the light.

Everything is real and started through `./nightshift`: Airflow's scheduler runs the DAG, the
embedded OpenMLDB and Triton and the predict server answer. The home's path holds a blank.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli import night
from cli.airflow_api import AirflowApi
from laptop.services import processes
from nightshift.experiment import running
from nightshift.live.folders import live_folder
from nightshift.live.log import RequestLog
from nightshift.pipeline import Pipeline
from nightshift.registry.pointer import read_live
from testing.nights import DS, requests
from testing.serving import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def house(laptop_house):
    return laptop_house


def test_the_demo_learns_something_and_serves_it(demo, house):
    auc = re.search(r"AUC on them +([\d.]+)", demo)
    assert auc, demo
    assert float(auc[1]) > 0.7
    live = read_live(Pipeline.load(house.settings).releases)
    assert (live.ds, live.model_version) == (DS, 20260310001)
    assert f"{live.model} {live.model_version}" in demo
    assert f'"model_version": {live.model_version}' in demo
    for name in ("data card", "model card", "run folder", "reports"):
        path = re.search(rf"^  {name} +(/.+)$", demo, re.MULTILINE)
        assert Path(path[1]).exists(), name


def test_what_runs_is_told(demo, house):
    rows = json.loads(house.call("status", "--json"))
    assert {row["state"] for row in rows} == {"running"}
    assert "started" not in house.call("up")


def test_predictions_name_their_release_and_differ_between_requests(demo, house):
    request = house.folder / "request.json"
    request.write_text(json.dumps(requests(Pipeline.load(house.settings).data, DS, 50)))
    answer = json.loads(house.call("predict", "--request", "request.json"))
    scores = [p["score"] for p in answer["predictions"]]
    assert len(scores) == 50
    assert all(0 < score < 1 for score in scores)
    assert len(set(scores)) > 25
    live = read_live(Pipeline.load(house.settings).releases)
    assert (answer["release"], answer["model_version"], answer["deployment"]) == (
        live.release_id,
        live.model_version,
        live.deployment,
    )


def test_what_was_served_is_observed_and_measured_through_airflow(demo, house):
    def logged():
        return RequestLog.of(Pipeline.load(house.settings)).read(columns=["receipt"]).num_rows

    house.call("predict", "--request", "request.json")
    wait_until(lambda: logged() >= 50, "the answers are in the log")
    for dag_id, conf in ((night.observe("jd"), {"from": DS}), (night.monitor("jd"), {})):
        assert night.run(house.settings, dag_id, "test", conf).state == "success", dag_id
    live = live_folder(house.settings, "jd")
    found = json.loads((live / "skew" / f"{DS}_{DS}.json").read_text())
    assert (found["status"], found["not_in_training"]) == ("explained", 0)
    assert found["requests"] >= 50
    # Their rows were in the store already (they are of the partition), as was history that other
    # nights had loaded; nothing else is otherwise than training has it.
    causes = {cause["cause"] for release in found["releases"] for cause in release["causes"]}
    assert causes <= {"asked again", "same-instant event", "history not trained on"}
    assert json.loads((live / "served.json").read_text())["rows"] >= 50


def test_an_experiment_is_trained_and_reported_through_airflow(demo, house):
    pipeline = Pipeline.load(house.settings)
    before = (pipeline.releases / "live.json").read_bytes()
    asked = {"dates": [DS], "base": {"family": "lr", "epochs": 1, "baseline": False}}
    conf = {"name": "evening", "experiment": asked}
    assert night.run(house.settings, "experiment_jd", "test", conf).state == "success"
    found = running.summary(pipeline, "evening")
    (row,) = found["rows"]
    assert (found["dates"], row["trainings"], row["failed"]) == ([DS], 1, [])
    assert found["best"] == row["id"] and row["auc"]["mean"] > 0.5
    assert (running.folder_of(pipeline, "evening") / running.PAGE).is_file()
    assert (pipeline.releases / "live.json").read_bytes() == before
    assert "lr" in house.call("experiment", "show", "evening", "--pipeline", "jd")


def test_upkeep_cuts_nothing_of_the_first_evening(demo, house):
    releases = Pipeline.load(house.settings).releases
    before = sorted(path for path in releases.rglob("*") if path.is_file())
    done = night.run(house.settings, "nightshift_upkeep", "test", {})
    assert done.state == "success"
    tasks = AirflowApi(house.settings).tasks("nightshift_upkeep", done.run_id)
    assert {task.name: task.state for task in tasks} == {
        "records": "success",
        "database": "success",
    }
    assert sorted(path for path in releases.rglob("*") if path.is_file()) == before


def test_a_wrong_request_is_refused_by_field(demo, house):
    row = requests(Pipeline.load(house.settings).data, DS, 1)[0]
    (house.folder / "wrong.json").write_text(json.dumps({**row, "split_id": "one"}))
    said = house.call("predict", "--request", "wrong.json", code=1)
    assert "422" in said
    assert "split_id" in said


def test_online_ids_are_the_offline_ids_of_the_held_out_rows(demo, house):
    report = next(Pipeline.load(house.settings).runs.glob(f"{DS}/*/reports/consistency.json"))
    found = json.loads(report.read_text())
    assert found["status"] == "pass"
    assert found["mismatch_count"] == found["score_mismatch_count"] == 0
    assert found["ids_compared"] == 32 * found["compared"] > 0


def test_a_date_without_data_fails_by_name_and_leaves_the_live_release(demo, house):
    before = (Pipeline.load(house.settings).releases / "live.json").read_bytes()
    said = house.call("run", "--ds", "2031-01-01", code=1)
    assert "PartitionMissing" in said
    assert "2031-01-01" in said
    assert (Pipeline.load(house.settings).releases / "live.json").read_bytes() == before


def test_down_leaves_no_process_and_every_port_free(demo, house):
    home = house.settings.home
    assert processes.marked(home, processes.every_process().values())
    house.call("down")
    assert not processes.marked(home, processes.every_process().values())
    rows = json.loads(house.call("status", "--json", code=3))
    assert {row["state"] for row in rows} == {"stopped"}

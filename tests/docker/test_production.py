"""The production profile, brought up as a whole: one night through it, and what it promises.

Everything is docker-compose.yaml's but the three images that a registry would give
(tests/docker/standins). The night's preprocessing, training and scoring run as containers, started
by Airflow through the socket proxy. The same night as local processes, through the laptop
profile's Airflow, is tests/nights.py's; the last tests compare the two.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cli import night
from cli.airflow_api import AirflowApi
from laptop.data.generate import Spec, generate
from laptop.demo import example_request
from nightshift import files
from nightshift.errors import NightshiftError
from nightshift.experiment import running
from nightshift.layout import RunFolder
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from testing import images
from testing.engine import Engine
from testing.nights import DAYS, DS, TRAIN_DAYS, House, live_manifest, live_run, requests
from tests.docker.production import UID, Production

pytestmark = [
    pytest.mark.production,
    pytest.mark.docker,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]

RETRAIN = night.retrain("jd")
SERVICES = (
    "postgres",
    "openmldb",
    "triton",
    "predict",
    "docker-proxy",
    "airflow-api-server",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
    "watch",
)


@dataclass(frozen=True)
class Night:
    """A night that ran in the production profile."""

    production: Production
    settings: Settings
    outcome: night.Outcome

    @property
    def run(self) -> RunFolder:
        return RunFolder.of(Pipeline.load(self.settings).runs, DS, self.outcome.run_id)


@pytest.fixture(scope="module")
def ran(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    images.build_services(docker_engine)
    home = tmp_path_factory.mktemp("home")
    generate(home / "data" / "jd", Spec(), end=dt.date.fromisoformat(DS), days=DAYS)
    production = Production(docker_engine, home, tmp_path_factory.mktemp("compose"))
    settings = Settings(
        home=home,
        airflow_port=production.airflow_port,
        predict_port=production.predict_port,
    )
    # Where the laptop profile's client of Airflow looks for the password.
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("NIGHTSHIFT_AIRFLOW_PASSWORD", production.password)
    try:
        began = time.monotonic()
        production.up()
        production.wait_healthy(*SERVICES)
        print(f"[production] healthy after {time.monotonic() - began:.0f} s")
        conf = {"ds": DS, "train_days": TRAIN_DAYS}
        outcome = night.run(settings, RETRAIN, "production", conf)
        if outcome.state != "success":
            print(production.compose("logs", "--no-color", "--tail", "40"))
        yield Night(production, settings, outcome)
    except NightshiftError:
        print(production.compose("logs", "--no-color", "--tail", "40"))
        raise
    finally:
        production.down()
        monkeypatch.undo()


def call(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_the_night_ends_in_a_served_release(ran: Night) -> None:
    assert ran.outcome.state == "success"
    live = json.loads((Pipeline.load(ran.settings).releases / "live.json").read_text())
    request = example_request(Pipeline.load(ran.settings).data, DS)

    status, answer = call(ran.settings.predict_port, "POST", "/predict", request)

    assert status == 200, answer
    assert answer["release"] == live["release_id"]
    assert str(live["model_version"]).startswith(DS.replace("-", ""))


def test_an_experiment_trains_in_containers_and_touches_nothing_that_serves(ran: Night) -> None:
    pipeline = Pipeline.load(ran.settings)
    before = (pipeline.releases / "live.json").read_bytes()
    asked = {
        "dates": [DS],
        "train_days": TRAIN_DAYS,
        "base": {"family": "lr", "epochs": 1, "baseline": False},
        "leave_out": [["request_is_weekday"]],
    }
    conf = {"name": "evening", "experiment": asked, "jobs": 2}
    done = night.run(ran.settings, "experiment_jd", "production", conf)
    assert done.state == "success", AirflowApi(ran.settings).tasks("experiment_jd", done.run_id)
    found = running.summary(pipeline, "evening")
    assert [(row["trainings"], row["failed"]) for row in found["rows"]] == [(1, []), (1, [])]
    assert all(row["auc"]["mean"] > 0.5 for row in found["rows"])
    assert (running.folder_of(pipeline, "evening") / running.PAGE).is_file()
    assert (pipeline.releases / "live.json").read_bytes() == before


def test_its_tasks_were_containers_started_through_the_proxy(ran: Night) -> None:
    log = ran.production.compose("logs", "--no-color", "docker-proxy")
    created = re.findall(r"201 passed on: POST /v1\.\d+/containers/create\?name=(\S+)", log)
    removed = re.findall(r"204 passed on: DELETE /v1\.\d+/containers/([^ ?\s]+)", log)
    assert {re.split("-[0-9a-f]{12}", name)[0] for name in created} == {
        "nightshift-preprocess",
        "nightshift-train",
        "nightshift-score",
        "nightshift-experiment-preprocess",
        "nightshift-experiment-train",
    }
    assert sorted(created) == sorted(removed)
    assert "refused:" not in log


def test_training_is_followed_in_airflows_log_each_line_once(ran: Night) -> None:
    api, run_id = AirflowApi(ran.settings), ran.outcome.run_id
    train = next(task for task in api.tasks(RETRAIN, run_id) if task.name == "train")

    lines = api.log_lines(RETRAIN, run_id, train)

    shown = [int(found[1]) for line in lines if (found := re.search(r"epoch (\d+): train", line))]
    metrics = (ran.run.model / "metrics.jsonl").read_text().splitlines()
    assert shown == [json.loads(line)["epoch"] for line in metrics]


def test_no_task_container_outlives_the_night(ran: Night) -> None:
    left = ran.production.engine.docker("ps", "--all", "--filter", "label=nightshift.task", "-q")
    assert left == ""


def test_everything_written_belongs_to_the_common_group(ran: Night) -> None:
    for folder, _, names in os.walk(ran.settings.home):
        if Path(folder).is_relative_to(Pipeline.load(ran.settings).data):
            continue
        for path in (Path(folder), *(Path(folder) / name for name in names)):
            assert path.lstat().st_gid == UID, path


def test_services_stayed_within_their_limits(ran: Night) -> None:
    for service in SERVICES:
        state = ran.production.inspect(service)
        log = ran.production.compose("logs", "--no-color", "--tail", "200", service)
        assert state["RestartCount"] == 0, f"{service} was restarted:\n{log}"
        assert not state["State"]["OOMKilled"], service
        assert state["State"]["Health"]["Status"] == "healthy", service


def test_documented_looks_and_backup_work(ran: Night) -> None:
    def inside(service: str, *command: str) -> str:
        return ran.production.compose("exec", "-T", service, *command)

    told = inside("airflow-scheduler", "python", "-m", "cli", "releases", "--json")
    assert [(row["ds"], row["state"]) for row in json.loads(told)] == [(DS, "live")]
    dump = inside("postgres", "pg_dump", "--username", "airflow", "airflow")
    assert ran.outcome.run_id in dump
    assert "PostgreSQL database dump complete" in dump


def test_a_restart_keeps_serving_the_release(ran: Night) -> None:
    # Given the live release, when everything that serves is started anew
    request = example_request(Pipeline.load(ran.settings).data, DS)
    before = call(ran.settings.predict_port, "POST", "/predict", request)
    ran.production.compose("restart", "--timeout", "20", "openmldb", "triton", "predict")
    ran.production.wait_healthy("openmldb", "triton", "predict")

    # Then deployment, online rows and model are there again, and the answer is the same
    deadline = time.monotonic() + 180
    while (after := call(ran.settings.predict_port, "POST", "/predict", request))[0] != 200:
        assert time.monotonic() < deadline, after
        time.sleep(1)
    assert after[1]["predictions"] == before[1]["predictions"]
    assert after[1]["release"] == before[1]["release"]


@pytest.fixture(scope="module")
def both(ran: Night, demo: str, laptop_house: House) -> tuple[Settings, Settings]:
    """The night by containers and the same night by local processes, out of equal tables."""
    found = (ran.settings, laptop_house.settings)
    tables = [hashes(Pipeline.load(settings).data) for settings in found]
    assert tables[0] == tables[1] != {}
    return found


def test_one_night_was_containers_and_the_other_processes(both: tuple[Settings, Settings]) -> None:
    containers, processes = (set(live_manifest(settings).images) for settings in both)
    assert containers == {"preprocess", "train", "score"}
    assert processes == set()


def test_both_extract_equal_rows(both: tuple[Settings, Settings]) -> None:
    # A query's result has no order; the dataset's rows do.
    one, two = (pq.read_table(live_run(s).features).sort_by("request_id") for s in both)
    assert one.num_rows > 0
    assert one.equals(two)


def test_both_make_equal_datasets(both: tuple[Settings, Settings]) -> None:
    folders = [live_run(settings).dataset for settings in both]
    for split in ("train", "valid", "test"):
        one, two = (pq.read_table(folder / split) for folder in folders)
        assert one.num_rows > 0
        assert one.equals(two), split
    one, two = (files.read_json(folder / "data_card.json") for folder in folders)
    assert one == two


def test_both_train_equal_parameters(both: tuple[Settings, Settings]) -> None:
    # Bit by bit: on one machine, with the wheels of tasks/uv.lock, and with the BLAS kernels and
    # threads that tasks/ctr/train/runtime.py pins.
    one, two = (live_run(settings).model for settings in both)
    parameters = hashes(one / "model")
    assert "module.embedding.weight/out" in parameters
    assert parameters == hashes(two / "model")
    assert (one / "golden.npz").read_bytes() == (two / "golden.npz").read_bytes()


def test_both_measure_the_same(both: tuple[Settings, Settings]) -> None:
    one, two = (live_run(settings) for settings in both)
    assert epochs(one) == epochs(two) != []
    cards = [timeless(files.read_json(run.model / "model_card.json")) for run in (one, two)]
    for card in cards:
        assert "free" in card["chosen"].pop("block_rows")  # memory, at that moment
    assert cards[0]["test"]["auc"] > 0.7
    assert cards[0] == cards[1]
    scores = [pq.read_table(run.root / "scores" / "test.parquet") for run in (one, two)]
    assert scores[0].equals(scores[1])


@pytest.mark.parametrize("report", ["data", "quality", "rehearsal", "consistency", "verdict"])
def test_gates_find_the_same_in_both(both: tuple[Settings, Settings], report: str) -> None:
    one, two = (files.read_json(live_run(s).reports / f"{report}.json") for s in both)
    assert one["status"] == "pass"
    assert timeless(one) == timeless(two)


def test_both_predict_servers_answer_the_same(both: tuple[Settings, Settings]) -> None:
    body = requests(Pipeline.load(both[0]).data, DS, 50)
    answers = [call(settings.predict_port, "POST", "/predict", body) for settings in both]
    assert [status for status, _ in answers] == [200, 200], answers
    one, two = (answer for _, answer in answers)
    assert len(one["predictions"]) == 50
    assert one["predictions"] == two["predictions"]
    # Deployment and model carry the name of the installation that owns them.
    assert one["release"] == two["release"]
    assert one.keys() == two.keys()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): files.sha256_file(path) for path in found}


def epochs(run: RunFolder) -> list[Any]:
    lines = (run.model / "metrics.jsonl").read_text().splitlines()
    return [timeless(json.loads(line)) for line in lines]


def timeless(value: Any) -> Any:
    """A report without how long its parts took."""
    if not isinstance(value, dict):
        return value
    return {
        key: timeless(item)
        for key, item in value.items()
        if key != "seconds" and not key.endswith(("_s", "_ms"))
    }

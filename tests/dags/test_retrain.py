"""The nightly DAG as Airflow's own parser reads it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

READ = """
import json, sys
from airflow.dag_processing.dagbag import BundleDagBag
bag = BundleDagBag(dag_folder=sys.argv[1], bundle_path=sys.argv[1], bundle_name="dags-folder")
dag = bag.dags["retrain_jd"]

from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from nightshift_provider.dags.retrain import retrain_dag
found = Pipeline.load(Settings.from_env(), "movielens")
changes = {"retrievers": ("sql_list",), "sql_list": "best_sellers.sql"}
listing = retrain_dag(
    found.with_config(recommend=found.config.recommend.model_copy(update=changes))
)
print(json.dumps({
    "errors": {str(k): str(v) for k, v in bag.import_errors.items()},
    "tasks": {
        t.task_id: {
            "upstream": sorted(t.get_flat_relative_ids(upstream=True)),
            "pool": t.pool, "teardown": t.is_teardown, "retries": t.retries, "doc": t.doc_md,
        }
        for t in dag.tasks
    },
    "params": {
        name: {**p.schema, "description": p.description}
        for name in dag.params for p in [dag.params.get_param(name)]
    },
    "recommends": {
        t.task_id: sorted(t.get_flat_relative_ids(upstream=True))
        for t in bag.dags["retrain_movielens"].tasks
    },
    "listing": {
        t.task_id: sorted(t.get_flat_relative_ids(upstream=True)) for t in listing.tasks
    },
    "refitting": {
        t.task_id: {"upstream": sorted(t.get_flat_relative_ids(upstream=True)), "doc": t.doc_md}
        for t in retrain_dag(found.with_config(refit=True)).tasks
    },
    "lists": sorted(t.task_id for t in bag.dags["score_movielens"].tasks),
    "catchup": dag.catchup, "max_active_runs": dag.max_active_runs,
    "timetable": type(dag.timetable).__name__,
}))
"""

IMPORT = """
import sys
sys.path.insert(0, sys.argv[1])
import jd
assert {"retrain_jd", "rollback_jd"} <= set(vars(jd))
print(sorted({"numpy", "pandas", "pyarrow", "tritonclient", "oneflow", "docker"} & set(sys.modules)))
"""


def run(tmp_path_factory, code, **env):
    home = tmp_path_factory.mktemp("airflow")
    outer = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "NIGHTSHIFT_"))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "dags")],
        env={
            **outer,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            **env,
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    return json.loads(run(tmp_path_factory, READ))


def test_it_parses_nightly_by_partition_one_run_at_a_time(parsed):
    assert parsed["errors"] == {}
    assert parsed["timetable"] == "CronPartitionTimetable"
    assert (parsed["catchup"], parsed["max_active_runs"]) == (False, 1)


def test_the_schedule_can_be_turned_off(tmp_path_factory):
    off = json.loads(run(tmp_path_factory, READ, NIGHTSHIFT_SCHEDULES="off"))
    assert off["errors"] == {}
    assert off["timetable"] == "NullTimetable"


def test_nothing_goes_live_before_every_gate(parsed):
    gates = {"data", "quality", "rehearsal", "consistency", "accept"}
    assert gates <= set(parsed["tasks"]["switch"]["upstream"])


def test_a_refit_comes_after_the_gates_that_judge_and_before_those_that_rehearse(parsed):
    tasks = {name: set(task["upstream"]) for name, task in parsed["refitting"].items()}
    judged = {"data", "quality", "baseline", "recommend"}
    refit = {"refit_preprocess", "refit_train", "candidate"}
    assert judged <= tasks["refit_preprocess"]
    assert not refit & set.union(*(tasks[name] for name in judged))
    # What is rehearsed and replayed is what was refit, and nothing else is switched.
    for name in ("rehearsal", "consistency", "switch"):
        assert {*judged, *refit, "refit_score", "deploy_features"} - {name} <= tasks[name]
    assert tasks["finish"] == set(tasks) - {"finish"}
    assert "champion" in tasks["score"] and "candidate" not in tasks["score"]
    new = ("champion", "refit_preprocess", "refit_train", "refit_score")
    assert all(parsed["refitting"][name]["doc"] for name in new)
    assert "champion" not in parsed["tasks"]


def test_the_night_is_ended_after_everything_whatever_became_of_it(parsed):
    finish = parsed["tasks"]["finish"]
    assert finish["teardown"]
    others = set(parsed["tasks"]) - {"finish"}
    assert set(finish["upstream"]) == others


def test_what_must_not_overlap_waits_in_a_pool_of_one(parsed):
    pools = json.loads((ROOT / "include" / "pools.json").read_text())
    used = {t["pool"] for t in parsed["tasks"].values()} - {"default_pool"}
    assert used == set(pools)
    assert {pool["slots"] for pool in pools.values()} == {1}
    assert parsed["tasks"]["switch"]["pool"] == "nightshift_switch"


def test_every_param_is_explained_in_the_form_and_every_task_in_the_graph(parsed):
    for name, schema in parsed["params"].items():
        assert schema.get("title"), name
        assert schema.get("description"), name
    # The branch's two ways and the approval explain themselves by their names.
    silent = {name for name, t in parsed["tasks"].items() if not t["doc"]} - {"approve"}
    assert not silent


def test_a_pipeline_that_recommends_fits_retrieval_before_its_candidate(parsed):
    assert "recommend_fit" not in parsed["tasks"]
    upstream = parsed["recommends"]
    assert "recommend_fit" in upstream["candidate"]
    assert "data" in upstream["recommend_fit"]
    assert "recommend" in upstream["accept"]
    assert parsed["lists"] == ["score"]
    # A list by SQL is exported of the run's own tables, before retrieval is fitted.
    assert "extract_list" not in upstream
    assert "load_offline" in parsed["listing"]["extract_list"]
    assert "extract_list" in parsed["listing"]["recommend_fit"]


def test_no_heavy_module_is_imported_where_dags_are_read(tmp_path_factory):
    assert run(tmp_path_factory, IMPORT) == "[]"

"""The rollback DAG as Airflow's own parser reads it."""

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
dag = bag.dags.get("rollback_jd")
heavy = {"numpy", "pandas", "pyarrow", "tritonclient", "oneflow", "docker"} & set(sys.modules)
print(json.dumps({
    "errors": {str(k): str(v) for k, v in bag.import_errors.items()},
    "tasks": {t.task_id: [sorted(t.downstream_task_ids), t.pool] for t in dag.tasks},
    "params": {name: dag.params.get_param(name).schema for name in dag.params},
    "doc": dag.doc_md,
    "observe": {
        "tasks": {t.task_id: t.pool for t in bag.dags["observe_jd"].tasks},
        "params": list(bag.dags["observe_jd"].params),
        "doc": bag.dags["observe_jd"].doc_md,
    },
    "experiment": {
        "schedule": bag.dags["experiment_jd"].schedule,
        "pools": sorted({t.pool for t in bag.dags["experiment_jd"].tasks}),
        "params": list(bag.dags["experiment_jd"].params),
    },
}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    dags = home / "dags"
    dags.mkdir()
    (dags / "jd.py").write_text((ROOT / "dags" / "jd.py").read_text())
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    }
    done = subprocess.run(
        [sys.executable, "-c", READ, str(dags)],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_it_parses_and_is_documented(parsed):
    assert parsed["errors"] == {}
    assert "served before" in parsed["doc"]


def test_the_switch_waits_its_turn_and_the_old_pair_goes_after_it(parsed):
    assert parsed["tasks"]["restore"] == [["retire"], "nightshift_switch"]
    pools = json.loads((ROOT / "include" / "pools.json").read_text())
    assert pools["nightshift_switch"]["slots"] == 1


def test_the_form_takes_a_release_or_nothing(parsed):
    schema = parsed["params"]["release_id"]
    assert schema["type"] == ["null", "string"]
    assert set(parsed["params"]) == {"release_id"}


def test_the_ledger_has_a_dag_of_its_own_that_leaves_the_store_to_one_at_a_time(parsed):
    assert parsed["observe"]["tasks"] == {"observe": "nightshift_online"}
    assert parsed["observe"]["params"] == ["from", "to", "sample"]
    assert "./nightshift observe --pipeline jd" in parsed["observe"]["doc"]


def test_experiments_are_started_by_hand_and_hold_up_no_night(parsed):
    assert parsed["experiment"]["schedule"] is None
    assert parsed["experiment"]["pools"] == ["default_pool"]
    assert parsed["experiment"]["params"] == ["name", "experiment", "last", "jobs"]

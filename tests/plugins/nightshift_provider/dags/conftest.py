"""The DAGs as Airflow's own parser reads them, once for all tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]

READ = """
import json, sys
from airflow.dag_processing.dagbag import BundleDagBag
bag = BundleDagBag(dag_folder=sys.argv[1], bundle_path=sys.argv[1], bundle_name="dags-folder")

from nightshift.config.score import Score
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from nightshift_provider.dags.observe import observe_dag
from nightshift_provider.dags.retrain import retrain_dag
from nightshift_provider.dags.score import score_dag
found = Pipeline.load(Settings.from_env(), "movielens")
changes = {"retrievers": ("sql_list",), "sql_list": "best_sellers.sql"}
unlogged = found.config.live.model_copy(
    update={"log": found.config.live.log.model_copy(update={"enabled": False})}
)
made = {
    "listing": retrain_dag(
        found.with_config(recommend=found.config.recommend.model_copy(update=changes))
    ),
    "refitting": retrain_dag(found.with_config(refit=True)),
    "unlogged": observe_dag(found.with_config(live=unlogged)),
    "scheduled": score_dag(found.with_config(score=Score(top=3, schedule="0 5 * * *"))),
}

def described(dag):
    return {
        "tasks": {
            t.task_id: {
                "kind": type(t).__name__,
                "upstream": sorted(t.get_flat_relative_ids(upstream=True)),
                "downstream": sorted(t.downstream_task_ids),
                "pool": t.pool, "teardown": t.is_teardown, "retries": t.retries, "doc": t.doc_md,
                "told": bool(t.on_failure_callback), "well": bool(t.on_success_callback),
                "runs": getattr(t, "task", None),
            }
            for t in dag.tasks
        },
        "params": {
            name: {**p.schema, "description": p.description, "value": p.value}
            for name in dag.params for p in [dag.params.get_param(name)]
        },
        "catchup": dag.catchup, "max_active_runs": dag.max_active_runs,
        "paused": dag.is_paused_upon_creation, "doc": dag.doc_md, "tags": sorted(dag.tags),
        "timetable": type(dag.timetable).__name__,
        "schedule": dag.schedule if isinstance(dag.schedule, str) else None,
        "timeout_s": dag.dagrun_timeout and dag.dagrun_timeout.total_seconds(),
    }

print(json.dumps({
    "errors": {str(k): str(v) for k, v in bag.import_errors.items()},
    "dags": {name: described(dag) for name, dag in {**bag.dags, **made}.items()},
}))
"""


def run(home: Path, code: str, **env: str) -> str:
    """The last line that a script prints beside an empty Airflow."""
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


def _read(home: Path, **env: str) -> Any:
    found = json.loads(run(home, READ, **env))
    assert found["errors"] == {}
    return found["dags"]


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All DAGs by their ids, with schedules."""
    return _read(tmp_path_factory.mktemp("airflow"))


@pytest.fixture(scope="session")
def unscheduled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same with NIGHTSHIFT_SCHEDULES=off, as on a laptop."""
    return _read(tmp_path_factory.mktemp("airflow"), NIGHTSHIFT_SCHEDULES="off")

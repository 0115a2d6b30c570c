"""Runs of `retrain_jd` in Airflow: the answers of a person who is asked, and a date without data."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="module")
def found(tmp_path_factory, openmldb_server, serving_home):
    home = tmp_path_factory.mktemp("airflow")
    for folder in ("include", "pipelines"):
        shutil.copytree(ROOT / folder, home / folder)
    pipelines = home / "pipelines"
    with (pipelines / "jd" / "pipeline.yaml").open("a") as file:
        file.write("approval_timeout_s: 1\n")
    outer = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "NIGHTSHIFT_"))}
    done = subprocess.run(
        [sys.executable, str(HERE / "retrain_runs.py"), str(ROOT / "dags")],
        env={
            **outer,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "NIGHTSHIFT_HOME": str(home / "home"),
            "NIGHTSHIFT_OPENMLDB_PORT": str(serving_home.openmldb_port),
            "NIGHTSHIFT_PIPELINES": str(pipelines),
        },
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("answer", "why"),
    [("Reject", "not approved by ann"), ("None", "nobody approved it within 0:00:01")],
)
def test_without_an_approval_the_run_ends_well_and_the_live_release_serves(found, answer, why):
    night = found[answer]
    states = night["states"]
    assert (states["approve"], states["switch"], states["retire"]) == (
        "success",
        "skipped",
        "skipped",
    )
    assert (states["finish"], states["run"]) == ("success", "success")
    assert night["lease_closed"]
    assert (night["state"], night["why"]) == ("kept", why)
    assert night["live"] == "2016-04-10.001"


def test_with_an_approval_the_switch_is_next(found):
    states = found["Approve"]["states"]
    assert (states["approve"], states["switch"]) == ("success", "scheduled")


def test_a_night_without_its_partitions_fails_at_once_and_is_listed(found):
    night = found["no data"]
    assert (night["plan"], night["state"]) == ("failed", "rejected")
    assert "flattenRequest: 2030-12-03" in night["why"]


def test_what_a_task_died_of_is_kept_for_the_message(found):
    (noted,) = found["no data"]["noted"]
    assert noted.startswith("task plan failed: partitions missing under")


def test_values_of_params_that_there_are_not_fail_a_run_at_once(found):
    run = found["unknown Param"]
    assert run["plan"] == "failed"
    assert "there is no Param 'train_day'; did you mean 'train_days'" in run["why"]
    (noted,) = run["restore"]
    assert "there is no Param 'release'; did you mean 'release_id'" in noted

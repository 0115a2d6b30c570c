"""The wait for somebody else's job, on a real server."""

from __future__ import annotations

import pytest

from tests.plugins.jobs import FAST


@pytest.mark.parametrize("deferrable", [False, True])
def test_it_waits_for_a_job_of_somebody_else(airflow, api, db, rows, deferrable):
    job = api.submit(db, f"LOAD DATA INFILE '{rows}' INTO TABLE t OPTIONS(format='parquet')")
    run = airflow.run(
        f"OpenMLDBJobSensor(task_id='x', job_id='{job.job_id}', deferrable={deferrable}, defer_after_s=0, "
        f"{FAST})"
    )
    assert run.try_task("x") == "success"
    assert run.xcom("x") == {"job_id": job.job_id, "state": "FINISHED"}


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_unknown_job(airflow, openmldb, deferrable, capfd):
    run = airflow.run(
        f"OpenMLDBJobSensor(task_id='x', job_id=987654, deferrable={deferrable}, defer_after_s=0, retries=2)"
    )
    assert run.try_task("x") == "failed"
    assert "987654" in capfd.readouterr().out


def test_an_id_that_is_no_number_is_named(airflow, openmldb, capfd):
    run = airflow.run("OpenMLDBJobSensor(task_id='x', job_id='latest', retries=2)")
    assert run.try_task("x") == "failed"
    assert "job_id of task x is 'latest'; it must be a number" in capfd.readouterr().out

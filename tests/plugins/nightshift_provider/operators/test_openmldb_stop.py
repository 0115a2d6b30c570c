"""A job that never ends by itself is stopped, on a real server, when its time is up."""

from __future__ import annotations

import os
import time

import pytest

from nightshift.openmldb import JobState, OpenMLDBClient


@pytest.fixture
def endless(openmldb):
    """A file that a load can open and never finish reading."""
    path = openmldb.folder / f"endless-{time.time_ns()}.parquet"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_overdue_job_is_stopped_and_fails_its_task(airflow, openmldb, endless, deferrable):
    db = f"db{time.time_ns()}"
    with OpenMLDBClient(openmldb.url) as api:
        api.execute(db, f"CREATE DATABASE {db}")
        api.execute(db, "CREATE TABLE t(v int)")
        run = airflow.run(
            f"OpenMLDBLoadDataOperator(task_id='x', table='t', path={str(endless)!r}, "
            f"database={db!r}, poll_interval_s=0.2, settle_s=0.3, defer_after_s=0, "
            f"job_timeout_s=2, deferrable={deferrable}, retries=0)"
        )
        assert run.try_task("x") == "failed"
        (job,) = [job for job in api.jobs() if str(endless) in job.parameter]
        assert job.state is JobState.STOPPED

"""A job that takes hours is stopped, on a real server, when its time is up."""

from __future__ import annotations

import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.openmldb import JobState, OpenMLDBClient

ROWS = 400_000
FRAMES = [f"ROWS BETWEEN {n + 3000} PRECEDING AND CURRENT ROW" for n in range(20)]
SLOW = (
    "SELECT "
    + ", ".join(f"topn_frequency(v, 3) OVER w{n} AS s{n}" for n in range(len(FRAMES)))
    + " FROM t WINDOW "
    + ", ".join(f"w{n} AS (PARTITION BY g ORDER BY v {frame})" for n, frame in enumerate(FRAMES))
)
"""Twenty windows of thousands of rows, over one partition that holds every row."""


@pytest.fixture
def table(openmldb):
    path = openmldb.folder / f"big-{time.time_ns()}.parquet"
    columns = {"g": pa.array([0] * ROWS, pa.int32()), "v": pa.array(range(ROWS), pa.int64())}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_overdue_job_is_stopped_and_fails_its_task(airflow, openmldb, table, deferrable):
    db = f"db{time.time_ns()}"
    out = str(openmldb.folder / f"out-{db}")
    common = f"database={db!r}, poll_interval_s=0.2, settle_s=0.8, defer_after_s=0, retries=0"
    with OpenMLDBClient(openmldb.url) as api:
        api.execute(db, f"CREATE DATABASE {db}")
        api.execute(db, "CREATE TABLE t(g int, v bigint)")
        run = airflow.run(
            f"load = OpenMLDBLoadDataOperator(task_id='load', table='t', path={str(table)!r}, "
            f"{common})\n"
            f"load >> OpenMLDBSelectIntoOperator(task_id='x', select={SLOW!r}, path={out!r}, "
            f"{common}, job_timeout_s=2, deferrable={deferrable})"
        )
        assert run.try_task("load") == "success"
        assert run.try_task("x") == "failed"
        (job,) = [job for job in api.jobs() if out in job.parameter]
        assert job.state is JobState.STOPPED

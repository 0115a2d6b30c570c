"""What all operators share: a job is found again, never started twice, and stopped in time."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from nightshift_provider.operators.openmldb import OpenMLDBSQLOperator

from nightshift.openmldb import JobState, OpenMLDBClient
from tests.plugins.jobs import FAST, jobs_of

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


class TestNeverTwice:
    """A second try after a crash at each point finds the job of the first."""

    def prepared(self, airflow, db, rows, openmldb, *, deferrable=False):
        out = str(openmldb.folder / f"out-{time.time_ns()}")
        run = airflow.run(
            f"""
            load = OpenMLDBLoadDataOperator(task_id='load', table='t', path={str(rows)!r},
                database={db!r}, {FAST})
            load >> OpenMLDBSelectIntoOperator(task_id='x', select='SELECT v FROM t', path={out!r},
                database={db!r}, {FAST}, deferrable={deferrable}, defer_after_s=0)
            """
        )
        assert run.try_task("load") == "success"
        return run, out

    def test_a_try_that_died_while_waiting(self, airflow, api, db, rows, openmldb):
        run, out = self.prepared(airflow, db, rows, openmldb, deferrable=True)
        # Without a triggerer the try ends as deferred: its worker is gone, the job runs.
        assert run.try_task("x", run_triggerer=False) == "deferred"
        assert run.notes("x")["job_id"] == jobs_of(api, out)[0].job_id
        assert run.try_task("x") == "success"
        assert len(jobs_of(api, out)) == 1

    def test_a_try_that_died_between_submitting_and_noting(self, airflow, api, db, rows, openmldb):
        run, out = self.prepared(airflow, db, rows, openmldb, deferrable=True)
        assert run.try_task("x", run_triggerer=False) == "deferred"
        job_id = run.notes("x")["job_id"]
        run.notes("x", {"above": job_id - 1})
        assert run.try_task("x") == "success"
        assert [job.job_id for job in jobs_of(api, out)] == [job_id]

    def test_a_try_that_died_before_submitting(self, airflow, api, db, rows, openmldb):
        run, out = self.prepared(airflow, db, rows, openmldb)
        assert run.try_task("x") == "success"
        run.notes("x", {"above": max(job.job_id for job in api.jobs())})
        assert run.try_task("x") == "success"
        assert len(jobs_of(api, out)) == 2

    def test_a_cleared_task_whose_job_had_ended_runs_again(self, airflow, api, db, rows, openmldb):
        run, out = self.prepared(airflow, db, rows, openmldb)
        assert run.try_task("x") == "success"
        run.clear("x")
        assert run.try_task("x") == "success"
        assert len(jobs_of(api, out)) == 2

    def test_statements_that_had_ended_are_left_out(self, airflow, api, db, rows, openmldb):
        missing = f"{openmldb.folder}/later-{time.time_ns()}.parquet"
        run = airflow.run(
            f"OpenMLDBSQLOperator(task_id='x', database={db!r}, {FAST}, sql=["
            f"\"LOAD DATA INFILE '{rows}' INTO TABLE t OPTIONS(format='parquet')\","
            f"\"LOAD DATA INFILE '{missing}' INTO TABLE t "
            "OPTIONS(format='parquet', mode='append')\"])"
        )
        assert run.try_task("x") == "failed"
        Path(missing).write_bytes(rows.read_bytes())
        assert run.try_task("x") == "success"
        assert [job.state for job in jobs_of(api, str(rows))] == [JobState.FINISHED]
        assert len(jobs_of(api, missing)) == 2


def test_a_server_that_is_away_is_retried_and_then_found_clean(
    airflow, api, db, rows, openmldb, capfd
):
    run = airflow.run(
        f"OpenMLDBLoadDataOperator(task_id='x', table='t', path={str(rows)!r}, retries=2, "
        f"database={db!r}, {FAST})"
    )
    openmldb.kill()
    try:
        assert run.try_task("x") == "up_for_retry"
        assert openmldb.url in capfd.readouterr().out
    finally:
        openmldb.start()
    assert run.try_task("x") == "success"
    assert len(jobs_of(api, str(rows))) == 1


def test_a_mode_that_there_is_not_is_refused_when_the_dag_is_read(airflow_home):
    with pytest.raises(ValueError, match="mode is 'onlin'; it must be one of offline, offsync"):
        OpenMLDBSQLOperator(task_id="x", sql="SELECT 1", database="jd", mode="onlin")


def test_a_script_of_comments_alone_is_an_error(airflow, openmldb, capfd):
    run = airflow.run(
        "OpenMLDBSQLOperator(task_id='x', sql='-- nothing yet', database='jd', retries=3)"
    )
    assert run.try_task("x") == "failed"
    assert "task x has no SQL statement to run" in capfd.readouterr().out

"""OpenMLDB's operators through Airflow's task runner, against a real server."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.openmldb import Job, JobState, OpenMLDBClient

FAST = "poll_interval_s=0.2, settle_s=0.8"


@pytest.fixture
def api(openmldb):
    with OpenMLDBClient(openmldb.url) as client:
        yield client


@pytest.fixture
def db(api) -> str:
    name = f"db{time.time_ns()}"
    api.execute(name, f"CREATE DATABASE {name}")
    api.execute(name, "CREATE TABLE t(k string, v int, ts timestamp, INDEX(key=k, ts=ts))")
    return name


@pytest.fixture
def rows(openmldb) -> Path:
    """Ten rows, one a second from the epoch on, keys a to e."""
    path = openmldb.folder / f"rows-{time.time_ns()}.parquet"
    table = pa.table(
        {
            "k": pa.array([f"{'abcde'[n % 5]}" for n in range(10)]),
            "v": pa.array(range(10), pa.int32()),
            "ts": pa.array([n * 1000 for n in range(10)], pa.timestamp("ms")),
        }
    )
    pq.write_table(table, path)
    return path


def jobs_of(api: OpenMLDBClient, text: str) -> list[Job]:
    return [job for job in api.jobs() if text in job.parameter]


def out_dir(openmldb) -> str:
    return str(openmldb.folder / f"out-{time.time_ns()}")


@pytest.mark.parametrize("deferrable", [False, True])
class TestBothModes:
    def test_a_script_of_several_jobs(self, airflow, api, db, rows, openmldb, deferrable):
        out = out_dir(openmldb)
        run = airflow.run(
            f"OpenMLDBSQLOperator(task_id='x', sql='script.sql', database={db!r}, {FAST}, "
            f"deferrable={deferrable}, defer_after_s=0, params={{'path': {str(rows)!r}, 'out': {out!r}}})",
            files={
                "script.sql": """
                -- comment; with a semicolon
                CREATE TABLE IF NOT EXISTS u(k string, v int, ts timestamp);
                LOAD DATA INFILE '{{ params.path }}' INTO TABLE t
                    OPTIONS(format='parquet', mode='overwrite');
                SELECT k, v FROM t WHERE v > 4 INTO OUTFILE '{{ params.out }}'
                    OPTIONS(format='parquet', mode='overwrite');
                SHOW TABLES;
                """
            },
        )
        assert run.try_task("x") == "success"
        result = run.xcom("x")
        assert len(result["job_ids"]) == 2
        assert sorted(row[0] for row in result["rows"]) == ["t", "u"]
        written = pq.read_table(out).to_pydict()
        assert sorted(written["v"]) == [5, 6, 7, 8, 9]
        assert str(rows) in run.rendered("x")["sql"]
        assert out in run.xcom("x", "sql")
        assert run.xcom("x", "job_id") == result["job_ids"][-1]
        assert "/nightshift/jobs/" in run.xcom("x", "openmldb_job_log")

    def test_a_failed_job_fails_the_task_for_good(self, airflow, db, openmldb, deferrable, capfd):
        missing = f"{openmldb.folder}/missing/*.parquet"
        run = airflow.run(
            f"OpenMLDBLoadDataOperator(task_id='x', table='t', path={missing!r}, retries=3, "
            f"database={db!r}, {FAST}, deferrable={deferrable}, defer_after_s=0)"
        )
        assert run.try_task("x") == "failed"
        said = capfd.readouterr().out
        assert "End of SHOW JOBLOG" in said
        assert missing in said

    def test_a_refused_statement_fails_the_task_for_good(self, airflow, db, deferrable, capfd):
        run = airflow.run(
            f"OpenMLDBSQLOperator(task_id='x', sql='DROP TABLE nothing', retries=3, "
            f"database={db!r}, deferrable={deferrable}, defer_after_s=0)"
        )
        assert run.try_task("x") == "failed"
        assert "DROP TABLE nothing" in capfd.readouterr().out

    def test_select_into(self, airflow, api, db, rows, openmldb, deferrable):
        out = out_dir(openmldb)
        run = airflow.run(
            f"""
            load = OpenMLDBLoadDataOperator(task_id='load', table='t', path={str(rows)!r},
                database={db!r}, {FAST}, deferrable={deferrable}, defer_after_s=0)
            load >> OpenMLDBSelectIntoOperator(task_id='x', select='select.sql', path={out!r},
                database={db!r}, {FAST}, deferrable={deferrable}, defer_after_s=0, params={{'low': 7}})
            """,
            files={"select.sql": "-- high\nSELECT k, v FROM t WHERE v >= {{ params.low }};\n"},
        )
        assert run.try_task("load") == "success"
        assert run.xcom("load")["action"] == "loaded"
        assert run.try_task("x") == "success"
        assert sorted(pq.read_table(out).to_pydict()["v"]) == [7, 8, 9]
        shown = run.rendered("x")["sql"]
        assert shown.startswith("SELECT k, v FROM t WHERE v >= 7")
        assert f"INTO OUTFILE '{out}'" in shown
        assert run.xcom("x") == {"job_id": jobs_of(api, out)[0].job_id, "path": out}


class TestNeverTwice:
    """A second try after a crash at each point finds the job of the first."""

    def prepared(self, airflow, db, rows, openmldb, *, deferrable=False):
        out = out_dir(openmldb)
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


class TestOnlineLoad:
    def body(self, db, rows, more="", days=10_000):
        return (
            f"OpenMLDBLoadDataOperator(task_id='x', table='t', path={str(rows)!r}, "
            f"database={db!r}, mode='online', expect_rows='10', {FAST}, "
            f"count_sql='SELECT count(*) FROM t WHERE ts >= timestamp(0) AND ts < timestamp({days})' {more})"
        )

    def count(self, api, db) -> int:
        result = api.execute(db, "SELECT count(*) FROM t")
        return int(result.rows[0][0])

    def test_a_second_load_adds_nothing(self, airflow, api, db, rows):
        run = airflow.run(self.body(db, rows))
        assert run.try_task("x") == "success"
        assert run.xcom("x")["action"] == "loaded"
        run.clear("x")
        assert run.try_task("x") == "success"
        assert run.xcom("x") == {"job_id": None, "found": 10, "rows": 10, "action": "skipped"}
        assert self.count(api, db) == 10

    def test_a_partial_load_is_deleted_and_loaded_anew(self, airflow, api, db, rows, capfd):
        api.execute(db, "INSERT INTO t VALUES ('a', 0, 0), ('b', 1, 1000), ('z', 99, 99000)")
        more = ", delete_sql='DELETE FROM t WHERE ts >= 0 AND ts < 10000'"
        run = airflow.run(self.body(db, rows, more))
        assert run.try_task("x") == "success"
        assert run.xcom("x")["found"] == 2
        assert run.xcom("x")["action"] == "reloaded"
        assert self.count(api, db) == 11
        assert "holds 2 of 10 rows" in capfd.readouterr().out

    def test_a_partial_load_without_a_delete_is_an_error(self, airflow, api, db, rows, capfd):
        api.execute(db, "INSERT INTO t VALUES ('a', 0, 0)")
        run = airflow.run(self.body(db, rows))
        assert run.try_task("x") == "failed"
        assert "1 of 10 rows" in capfd.readouterr().out
        assert self.count(api, db) == 1


class TestDeploy:
    SELECT = "SELECT k, v + 1 AS w FROM t"

    def body(self, db, select):
        return (
            f"OpenMLDBDeployOperator(task_id='x', name='d1', select={select!r}, "
            f"database={db!r}, retries=3)"
        )

    def test_the_same_query_again_is_a_success(self, airflow, api, db):
        run = airflow.run(self.body(db, f"-- comment\n{self.SELECT};"))
        assert run.try_task("x") == "success"
        assert run.xcom("x") == {"name": "d1", "created": True}
        run.clear("x")
        assert run.try_task("x") == "success"
        assert run.xcom("x") == {"name": "d1", "created": False}
        rows, schema = api.call(db, "d1", [["a", 41, 0]])
        assert rows == [["a", 42]]
        assert [name for name, _ in schema] == ["k", "w"]

    def test_a_query_that_the_server_prints_in_another_way_is_found_again(self, airflow, api, db):
        select = (
            "SELECT `k`, CASE WHEN !isnull(v) THEN sum(`v`) OVER last_10 ELSE -1 END AS s, "
            "'a b' AS c FROM t WINDOW last_10 AS "
            "(PARTITION BY k ORDER BY `ts` ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)"
        )
        run = airflow.run(self.body(db, select))
        assert run.try_task("x") == "success"
        run.clear("x")
        assert run.try_task("x") == "success"
        assert run.xcom("x") == {"name": "d1", "created": False}
        other = airflow.run(self.body(db, select.replace("10 PRECEDING", "11 PRECEDING")))
        assert other.try_task("x") == "failed"

    def test_another_query_under_the_name_is_an_error(self, airflow, api, db, capfd):
        assert airflow.run(self.body(db, self.SELECT)).try_task("x") == "success"
        other = airflow.run(self.body(db, "SELECT k, v + 2 AS w FROM t"))
        assert other.try_task("x") == "failed"
        assert "exists with another query" in capfd.readouterr().out
        assert api.call(db, "d1", [["a", 41, 0]])[0] == [["a", 42]]


@pytest.mark.parametrize("deferrable", [False, True])
class TestSensor:
    def test_it_waits_for_a_job_of_somebody_else(self, airflow, api, db, rows, deferrable):
        job = api.submit(db, f"LOAD DATA INFILE '{rows}' INTO TABLE t OPTIONS(format='parquet')")
        run = airflow.run(
            f"OpenMLDBJobSensor(task_id='x', job_id='{job.job_id}', deferrable={deferrable}, defer_after_s=0, "
            f"{FAST})"
        )
        assert run.try_task("x") == "success"
        assert run.xcom("x") == {"job_id": job.job_id, "state": "FINISHED"}

    def test_an_unknown_job(self, airflow, openmldb, deferrable, capfd):
        run = airflow.run(
            f"OpenMLDBJobSensor(task_id='x', job_id=987654, deferrable={deferrable}, defer_after_s=0, retries=2)"
        )
        assert run.try_task("x") == "failed"
        assert "987654" in capfd.readouterr().out


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

"""LOAD DATA through Airflow's task runner, against a real server: done once."""

from __future__ import annotations

import pytest
from nightshift_provider.operators.openmldb import OpenMLDBLoadDataOperator
from openmldb_sql import statements

from tests.plugins.jobs import FAST


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


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_failed_job_fails_the_task_for_good(airflow, db, openmldb, deferrable, capfd):
    missing = f"{openmldb.folder}/missing/*.parquet"
    run = airflow.run(
        f"OpenMLDBLoadDataOperator(task_id='x', table='t', path={missing!r}, retries=3, "
        f"database={db!r}, {FAST}, deferrable={deferrable}, defer_after_s=0)"
    )
    assert run.try_task("x") == "failed"
    said = capfd.readouterr().out
    assert "End of SHOW JOBLOG" in said
    assert missing in said


@pytest.mark.parametrize("given", [{"expect_rows": 3}, {"count_sql": "SELECT count(*) FROM t"}])
def test_rows_are_counted_with_both_fields_or_not_at_all(airflow_home, given):
    with pytest.raises(ValueError, match="given together"):
        OpenMLDBLoadDataOperator(task_id="x", table="t", path="/p", database="jd", **given)


def test_a_number_of_rows_that_is_none_is_named(airflow, db, rows, capfd):
    run = airflow.run(
        f"OpenMLDBLoadDataOperator(task_id='x', table='t', path={str(rows)!r}, database={db!r}, "
        "mode='online', expect_rows='all', count_sql='SELECT count(*) FROM t', retries=3)"
    )
    assert run.try_task("x") == "failed"
    assert "expect_rows of task x is 'all'; it must be a number" in capfd.readouterr().out


def test_a_quote_in_a_path_ends_no_literal(airflow_home):
    path = "/data/o'brien/*.parquet"
    made = OpenMLDBLoadDataOperator(
        task_id="x", table="t", path=path, database="jd", options={"thread": 8}
    )
    (sql,) = made.statements()
    found = statements.parse(sql)
    assert found.path == path
    assert found.options == {"format": "parquet", "mode": "overwrite", "thread": 8}

"""Scripts through Airflow's task runner, against a real server."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from tests.plugins.jobs import FAST


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_script_of_several_jobs(airflow, api, db, rows, out, deferrable):
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


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_refused_statement_fails_the_task_for_good(airflow, db, deferrable, capfd):
    run = airflow.run(
        f"OpenMLDBSQLOperator(task_id='x', sql='DROP TABLE nothing', retries=3, "
        f"database={db!r}, deferrable={deferrable}, defer_after_s=0)"
    )
    assert run.try_task("x") == "failed"
    assert "DROP TABLE nothing" in capfd.readouterr().out

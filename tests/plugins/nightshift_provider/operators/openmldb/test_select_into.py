"""SELECT INTO OUTFILE through Airflow's task runner, against a real server."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from tests.plugins.jobs import FAST, jobs_of


@pytest.mark.parametrize("deferrable", [False, True])
def test_select_into(airflow, api, db, rows, out, deferrable):
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


def test_two_statements_are_no_select(airflow, db, openmldb, capfd):
    run = airflow.run(
        "OpenMLDBSelectIntoOperator(task_id='x', select='SELECT 1; SELECT 2', path='/never', "
        f"database={db!r}, retries=3)"
    )
    assert run.try_task("x") == "failed"
    assert "the select of task x must be one statement; it has 2" in capfd.readouterr().out

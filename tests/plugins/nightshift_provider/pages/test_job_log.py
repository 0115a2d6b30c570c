"""The job log page in Airflow's own web app, with its own authentication."""

from __future__ import annotations

import re

from nightshift.openmldb import OpenMLDBClient


def test_a_job_log_is_shown_to_those_who_may_read_the_tasks_log(airflow, openmldb, web, get):
    with OpenMLDBClient(openmldb.url) as api:
        api.execute("pages", "CREATE DATABASE pages")
        api.execute("pages", "CREATE TABLE t(k string)")
    missing = f"{openmldb.folder}/<b>none</b>.parquet"
    run = airflow.run(
        f"OpenMLDBLoadDataOperator(task_id='x', table='t', path={missing!r}, database='pages')"
    )
    assert run.try_task("x") == "failed"
    url = re.sub(r"^https?://[^/]+", "", run.xcom("x", "openmldb_job_log"))
    assert web.get(url).status_code == 401
    page = get(url)
    assert page.status_code == 200
    assert "LOAD DATA INFILE" in page.text
    assert "FAILED" in page.text
    assert "<b>none" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert get(url.replace("/x?", "/y?")).status_code == 404
    path = url.partition("?")[0]
    assert get(f"{path}?map_index={2**63}").status_code == 422

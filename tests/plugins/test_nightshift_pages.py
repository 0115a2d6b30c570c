"""The job log page in Airflow's own web app, with its own authentication."""

from __future__ import annotations

import re

import pytest

from nightshift.openmldb import OpenMLDBClient


@pytest.fixture(scope="module")
def web(airflow_home):
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with TestClient(create_app(), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def token(web) -> str:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="a", role="ADMIN"))


def test_a_job_log_is_shown_to_those_who_may_read_the_tasks_log(airflow, openmldb, web, token):
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
    page = web.get(url, headers={"Authorization": f"Bearer {token}"})
    assert page.status_code == 200
    assert "LOAD DATA INFILE" in page.text
    assert "FAILED" in page.text
    assert "<b>none" not in page.text
    other = url.replace("/x?", "/y?")
    assert web.get(other, headers={"Authorization": f"Bearer {token}"}).status_code == 404

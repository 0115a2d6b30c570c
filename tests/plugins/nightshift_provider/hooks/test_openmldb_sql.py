"""OpenMLDB for Airflow's common.sql, against a real server."""

from __future__ import annotations

import time

import pytest
from nightshift_provider.hooks.openmldb_sql import OpenMLDBSQLHook

from nightshift.openmldb import OpenMLDBClient


@pytest.fixture
def db(openmldb) -> str:
    """A database with a table of two rows."""
    name = f"sql{time.time_ns()}"
    with OpenMLDBClient(openmldb.url) as api:
        api.execute(name, f"CREATE DATABASE {name}")
        api.execute(name, "CREATE TABLE t(k string, v int)")
        api.execute(name, "INSERT INTO t VALUES ('a', 1), ('b', NULL)")
    return name


@pytest.fixture
def hook(airflow_home, openmldb, db, monkeypatch) -> OpenMLDBSQLHook:
    """The hook of a connection whose schema is the database."""
    monkeypatch.setenv("AIRFLOW_CONN_OWN", f"openmldb://127.0.0.1:{openmldb.port}/{db}")
    return OpenMLDBSQLHook(openmldb_conn_id="own")


def test_rows_come_from_the_connections_database_and_parameters_are_values(hook):
    assert sorted(hook.get_records("SELECT k, v FROM t")) == [("a", 1), ("b", None)]
    nasty = "a' OR '1' = '1"
    assert hook.get_records("SELECT v FROM t WHERE k = %s", parameters=(nasty,)) == []
    assert hook.get_first("SELECT v FROM t WHERE k = %s", parameters=("a",)) == (1,)
    assert list(hook.get_df("SELECT k, v AS w FROM t").columns) == ["k", "w"]


def test_its_url_leads_to_the_same_rows(hook, openmldb, db):
    assert hook.get_uri() == f"openmldb+http://127.0.0.1:{openmldb.port}/{db}?mode=online"
    with hook.get_sqlalchemy_engine().connect() as link:
        assert link.exec_driver_sql("SELECT count(*) FROM t").scalar() == 2


def test_another_database_than_the_connections(hook, openmldb):
    other = OpenMLDBSQLHook(openmldb_conn_id="own", database="elsewhere", mode="offline")
    assert other.get_uri().endswith("/elsewhere?mode=offline")


def test_the_check_operators_of_common_sql(airflow, db, monkeypatch, openmldb):
    monkeypatch.setenv("AIRFLOW_CONN_CHECKED", f"openmldb://127.0.0.1:{openmldb.port}/{db}")
    run = airflow.run(
        """
        from airflow.providers.common.sql.operators.sql import SQLCheckOperator
        from airflow.providers.common.sql.operators.sql import SQLValueCheckOperator
        SQLCheckOperator(task_id='good', sql='SELECT count(*) FROM t', conn_id='checked')
        SQLValueCheckOperator(task_id='bad', sql='SELECT count(*) FROM t', conn_id='checked',
            pass_value=3)
        """
    )
    assert run.try_task("good") == "success"
    assert run.try_task("bad") == "failed"


def test_the_connection_form_tests_the_server(airflow_home, openmldb, db, monkeypatch):
    from airflow.sdk import Connection

    def tested(**fields) -> tuple[bool, str]:
        monkeypatch.setenv("AIRFLOW_CONN_TRIED", Connection(conn_id="tried", **fields).get_uri())
        return OpenMLDBSQLHook(openmldb_conn_id="tried").test_connection()

    here = {"conn_type": "openmldb", "host": "127.0.0.1"}
    good, message = tested(**here, port=openmldb.port, schema=db)
    assert good, message
    assert db in message
    good, message = tested(**here, port=1)
    assert not good
    assert "127.0.0.1:1" in message
    good, message = tested(conn_type="openmldb", extra='{"zk": "h:2181", "zk_path": "/o"}')
    assert not good
    assert "uv sync --extra cluster" in message
    good, message = tested(conn_type="openmldb")
    assert not good
    assert "Admin > Connections" in message

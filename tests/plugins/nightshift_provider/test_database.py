"""`airflow db clean` from within a task, which has no way of its own to Airflow's tables."""

import datetime as dt
import sqlite3

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from nightshift_provider import database

from nightshift.errors import ServiceUnavailable

NOW = dt.datetime.now(dt.timezone.utc)
HIDDEN = "airflow-db-not-allowed:///"
"""What Airflow puts in the place of the connection before a task begins."""

RUN = (
    "INSERT INTO dag_run (dag_id, run_id, run_type, state, run_after, logical_date, start_date,"
    " queued_at, log_template_id, clear_number, bundle_version) "
    "VALUES ('cleaned', ?, 'scheduled', 'success', ?, ?, ?, ?, NULL, 0, NULL)"
)


def moment(days):
    return f"{NOW - dt.timedelta(days=days):%F %T.%f}"


def test_old_runs_go_and_the_last_one_of_a_dag_stays(airflow_home, monkeypatch):
    file = airflow_home / "airflow.db"
    with sqlite3.connect(file) as connection:
        for name, days in (("old", 90), ("older", 100), ("young", 3)):
            connection.execute(RUN, (name, *[moment(days)] * 4))
        connection.execute(
            "INSERT INTO log (dttm, event, dag_id) VALUES (?, 'cleaned', 'x')", (moment(90),)
        )
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", HIDDEN)
    monkeypatch.setenv("NIGHTSHIFT_AIRFLOW_DATABASE", f"sqlite:///{file}")
    database.clean(NOW - dt.timedelta(days=30))
    with sqlite3.connect(file) as connection:
        runs = connection.execute("SELECT run_id FROM dag_run WHERE dag_id = 'cleaned'").fetchall()
        events = connection.execute("SELECT 1 FROM log WHERE event = 'cleaned'").fetchall()
        archives = connection.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE '_airflow_deleted%'"
        ).fetchall()
        connection.execute("DELETE FROM dag_run WHERE dag_id = 'cleaned'")
    assert runs == [("young",)]
    assert events == []
    assert archives == []


def test_without_a_connection_the_task_is_skipped_and_says_why(monkeypatch):
    monkeypatch.delenv("NIGHTSHIFT_AIRFLOW_DATABASE", raising=False)
    with pytest.raises(AirflowSkipException, match="NIGHTSHIFT_AIRFLOW_DATABASE is not set"):
        database.clean(NOW)


def test_a_failure_is_told_without_the_password(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_AIRFLOW_DATABASE", "nothing://user:secret-word@nowhere/x")
    with pytest.raises(ServiceUnavailable, match="airflow db clean ended with") as caught:
        database.clean(NOW)
    assert "secret-word" not in str(caught.value)

"""Who may see a pipeline's pages: whom Airflow lets read the runs of its retrain DAG."""

from __future__ import annotations

import pytest
from airflow.api_fastapi import app
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from fastapi import HTTPException
from nightshift_provider.pages import access

from nightshift.errors import ConfigurationError


class Manager:
    """An auth manager that lets nobody but ann read, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def is_authorized_dag(self, **question):
        self.asked.append(question)
        return question["user"] == "ann"


@pytest.fixture
def manager(monkeypatch, tmp_path):
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path))
    made = Manager()
    monkeypatch.setattr(app, "get_auth_manager", lambda: made)
    return made


def test_the_question_is_about_reading_runs_of_the_pipelines_own_dag(manager):
    assert access.may_read("jd", "ann")
    (question,) = manager.asked
    assert question["method"] == "GET"
    assert question["access_entity"] is DagAccessEntity.RUN
    assert question["details"].id == "retrain_jd"


def test_who_may_not_read_learns_nothing_of_whether_the_pipeline_exists(manager):
    for name in ("jd", "nothing", "../jd"):
        with pytest.raises(HTTPException) as raised:
            access.readable(name, "bob")
        assert (raised.value.status_code, raised.value.detail) == (403, "Forbidden")


def test_who_may_read_gets_the_pipeline_or_hears_that_there_is_none(manager):
    assert access.readable("jd", "ann").name == "jd"
    with pytest.raises(ConfigurationError, match="did you mean 'jd'"):
        access.readable("jdd", "ann")


def test_airflows_own_manager_lets_an_admin_in(web, tmp_path, monkeypatch):
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    assert access.may_read("jd", SimpleAuthManagerUser(username="a", role="ADMIN"))
    assert not access.may_read("jd", SimpleAuthManagerUser(username="a", role=None))

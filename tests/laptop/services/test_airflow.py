"""Airflow's environment: it reads this project's files and no other Airflow's."""

import json

import pytest

from laptop.services import airflow
from nightshift.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "100% mine", project=tmp_path / "project", airflow_port=8181)


def test_folders_and_addresses_are_the_installations(settings):
    env = airflow.environment(settings)
    assert env["AIRFLOW_HOME"] == str(settings.home / "airflow")
    assert env["AIRFLOW__API__PORT"] == "8181"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].startswith("http://127.0.0.1:8181")
    assert env["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"


def test_a_percent_sign_in_a_path_stays_one(settings):
    import configparser

    parser = configparser.ConfigParser()
    parser.read_dict(
        {"core": {"dags": airflow.environment(settings)["AIRFLOW__CORE__DAGS_FOLDER"]}}
    )
    assert parser["core"]["dags"] == str(settings.dags)


def test_pipelines_elsewhere_have_their_dags_in_the_home(settings, tmp_path):
    own = Settings(
        home=settings.home, project=settings.project, pipelines=settings.project / "pipelines"
    )
    assert own.dags == settings.project / "dags"
    other = Settings(home=settings.home, project=settings.project, pipelines=tmp_path / "others")
    assert other.dags == settings.home / "dags"


def test_tasks_reach_openmldb_by_a_connection(settings):
    found = json.loads(airflow.environment(settings)["AIRFLOW_CONN_OPENMLDB_DEFAULT"])
    assert (found["host"], found["port"]) == (settings.openmldb_host, settings.openmldb_port)


@pytest.mark.parametrize("component", airflow.COMPONENTS)
def test_no_stray_file_shadows_a_module(settings, component):
    launch = airflow.launch(settings, component)
    assert launch.argv[1] == "-P"
    assert launch.cwd == settings.project
    # SQLite: those that would end at a locked database wait longer than the one that locks it.
    waits = "timeout=30" in launch.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert waits == (component != "api-server")

"""An Airflow of the tests' own, its database in a temporary folder, and a real OpenMLDB server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.airflow import Airflow, OpenMLDBServer


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    from airflow.utils.db import initdb

    initdb()
    return Path(os.environ["AIRFLOW_HOME"])


@pytest.fixture
def airflow(airflow_home: Path) -> Airflow:
    dags = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    return Airflow(dags)


@pytest.fixture(scope="module")
def openmldb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenMLDBServer]:
    with OpenMLDBServer.running(tmp_path_factory.mktemp("openmldb")) as server:
        connection = f"openmldb://127.0.0.1:{server.port}/jd"
        os.environ["AIRFLOW_CONN_OPENMLDB_DEFAULT"] = connection
        yield server
    del os.environ["AIRFLOW_CONN_OPENMLDB_DEFAULT"]


from tests.docker.conftest import docker_engine  # noqa: E402, F401

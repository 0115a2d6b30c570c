"""An Airflow of the tests' own, its database in a temporary folder, and a real OpenMLDB server."""

from __future__ import annotations

import os
import socket
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
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = OpenMLDBServer(tmp_path_factory.mktemp("openmldb"), port)
    server.start()
    os.environ["AIRFLOW_CONN_OPENMLDB_DEFAULT"] = f"openmldb://127.0.0.1:{port}/jd"
    yield server
    server.stop()
    del os.environ["AIRFLOW_CONN_OPENMLDB_DEFAULT"]


from tests.docker.conftest import docker_engine  # noqa: E402, F401

"""One OpenMLDB server for the operators' tests, a database for each of them, and rows to load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.openmldb import OpenMLDBClient
from testing.airflow import OpenMLDBServer


@pytest.fixture(scope="package")
def operators_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenMLDBServer]:
    with OpenMLDBServer.running(tmp_path_factory.mktemp("operators")) as server:
        yield server


@pytest.fixture
def openmldb(operators_server: OpenMLDBServer, monkeypatch: pytest.MonkeyPatch) -> OpenMLDBServer:
    """The server, which the default connection leads to."""
    connection = f"openmldb://127.0.0.1:{operators_server.port}/jd"
    monkeypatch.setenv("AIRFLOW_CONN_OPENMLDB_DEFAULT", connection)
    return operators_server


@pytest.fixture
def api(openmldb):
    with OpenMLDBClient(openmldb.url) as client:
        yield client


@pytest.fixture
def db(api) -> str:
    name = f"db{time.time_ns()}"
    api.execute(name, f"CREATE DATABASE {name}")
    api.execute(name, "CREATE TABLE t(k string, v int, ts timestamp, INDEX(key=k, ts=ts))")
    return name


@pytest.fixture
def rows(openmldb) -> Path:
    """Ten rows, one a second from the epoch on, keys a to e."""
    path = openmldb.folder / f"rows-{time.time_ns()}.parquet"
    table = pa.table(
        {
            "k": pa.array([f"{'abcde'[n % 5]}" for n in range(10)]),
            "v": pa.array(range(10), pa.int32()),
            "ts": pa.array([n * 1000 for n in range(10)], pa.timestamp("ms")),
        }
    )
    pq.write_table(table, path)
    return path


@pytest.fixture
def out(openmldb) -> str:
    """A folder that nothing was written to yet."""
    return str(openmldb.folder / f"out-{time.time_ns()}")

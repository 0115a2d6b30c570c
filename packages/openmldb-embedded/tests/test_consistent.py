"""`--consistent`: the server says that nothing is shown late, and shows nothing late."""

import time

import pytest

from testing.embedded import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("consistent")
    made = ServerProcess(folder / "data", "--consistent", "--root", str(folder)).start()
    yield made
    made.end()


def test_the_answer_to_health_says_so(server):
    assert server.client.get("/health").headers["x-openmldb-consistency"] == "strong"


def test_a_failed_job_is_never_shown_as_finished(server):
    for sql in ("CREATE DATABASE d", "CREATE TABLE t(a int, at timestamp, INDEX(key=a, ts=at))"):
        server.do(sql, "d")
    load = f"LOAD DATA INFILE '{server.data.parent}/nowhere.parquet' INTO TABLE t"
    job = server.do(load, "d", "online")[0][0]
    seen = set()
    until = time.monotonic() + 180
    while time.monotonic() < until and "FAILED" not in seen:
        seen.add(server.do(f"SHOW JOB {job}", "d")[0][2].upper())
        time.sleep(0.01)
    assert "FAILED" in seen
    assert "FINISHED" not in seen


def test_a_server_in_a_mood_does_not_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENMLDB_EMBEDDED_MOODS", "partial_reads=2")
    server = ServerProcess(tmp_path / "data", "--consistent").start()
    try:
        assert "x-openmldb-consistency" not in server.client.get("/health").headers
    finally:
        server.end()

"""A server in a bad mood, for tests of clients."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from openmldb_embedded.moods import VARIABLE, Moods
from openmldb_sql.errors import SqlError

from testing.embedded import ServerProcess


def test_moods_are_named_with_seconds() -> None:
    assert Moods.of("") == Moods()
    assert Moods.of(" deploy_seconds=6, failed_seconds=2.5 ") == Moods(0.5, 6, 2.5)
    for text in ("slow", "slow=1", "deploy_seconds", "deploy_seconds=-1", "deploy_seconds=inf"):
        with pytest.raises(SqlError, match="is not name=seconds"):
            Moods.of(text)


def test_an_index_takes_its_time_and_a_job_fails_late(
    new_server: Callable[..., ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "index_seconds=1.5, deploy_seconds=1, failed_seconds=1")
    server = new_server().start()
    server.do("CREATE DATABASE db")
    server.do("CREATE TABLE t(k string, g string, ts timestamp, INDEX(key=k, ts=ts))")
    server.do("CREATE INDEX late ON t (g) OPTIONS(ts=ts)")
    assert not any("late" in row[0] for row in server.do("DESC t"))
    again = server.ask("CREATE INDEX other ON t (k, g) OPTIONS(ts=ts)")
    assert again["msg"].endswith("there is already a task running")
    path = server.data.parent / "missing"
    load = f"LOAD DATA INFILE '{path}' INTO TABLE t OPTIONS(mode='append')"
    number = server.do(load, mode="offasync")[0][0]
    states: list[str] = []
    deadline = time.monotonic() + 30
    while "FAILED" not in states and time.monotonic() < deadline:
        row = server.do(f"SHOW JOB {number}")[0]
        states.append(row[2])
        time.sleep(0.05)
    assert "FINISHED" in states
    assert states[-1] == "FAILED"
    assert "missing" in server.reason(row)
    while not any("late" in row[0] for row in server.do("DESC t")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    begin = time.monotonic()
    server.do(
        "DEPLOY d SELECT k, count(ts) OVER w AS n FROM t WINDOW w AS "
        "(PARTITION BY k, g ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)"
    )
    assert time.monotonic() - begin >= 1

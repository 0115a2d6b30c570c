"""A server in a bad mood, for tests of clients."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openmldb_embedded.moods import VARIABLE, Mood, Moods
from openmldb_sql.errors import SqlError

from testing.embedded import ServerProcess


def test_moods_are_named_with_numbers() -> None:
    assert Moods.of("") == Moods()
    assert Moods.of(" deploy_seconds=6, failed_seconds=2.5 ") == Moods(0.5, 6, 2.5)
    for text in ("slow", "slow=1", "deploy_seconds", "deploy_seconds=-1", "deploy_seconds=inf"):
        with pytest.raises(SqlError, match="is not name=number"):
            Moods.of(text)


def test_a_mood_is_used_up_and_a_new_choice_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "moods"
    mood = Mood(f"@{file}")
    assert mood.spend("load_failures") == 0
    file.write_text("load_failures=2")
    assert [mood.spend("load_failures") for _ in range(3)] == [1, 2, 0]
    file.write_text("load_failures=1, partial_reads=2")
    assert [mood.spend("load_failures") for _ in range(2)] == [1, 0]
    assert [round(mood.share(), 2) for _ in range(3)] == [0.33, 0.67, 1.0]
    file.unlink()
    assert mood.now() == Moods()


@pytest.fixture
def moody(
    tmp_path: Path, new_server: Callable[..., ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> Moody:
    """A server in good health, with a table and a deployment, whose mood can be chosen."""
    file = tmp_path / "moods"
    monkeypatch.setenv(VARIABLE, f"@{file}")
    server = new_server().start()
    server.do("CREATE DATABASE db")
    server.do("CREATE TABLE t(k string, ts timestamp, INDEX(key=k, ts=ts))")
    server.do("INSERT INTO t VALUES ('a', 1), ('b', 2), ('c', 3)")
    server.do("DEPLOY d SELECT k FROM t")
    return Moody(server, file)


@dataclass
class Moody:
    server: ServerProcess
    file: Path

    def turn(self, text: str) -> None:
        self.file.write_text(text)

    def call(self, name: str = "d") -> dict[str, Any]:
        return self.server.post(f"/dbs/db/deployments/{name}", {"input": [["a", 1]]})

    def count(self) -> int:
        found = self.server.do("SELECT count(*) FROM t")
        return int(found[0][0]) if found else 0


def test_a_tablet_that_is_away_comes_back_with_its_tables_loading(moody: Moody) -> None:
    server = moody.server
    moody.turn("tablet_away=4, tables_loading=2, partial_reads=2")
    assert server.ask("SELECT k FROM t")["code"] == 1500
    assert server.ask("INSERT INTO t VALUES ('d', 4)")["code"] == 2000
    assert moody.call()["msg"] == "fail to get tablet, table db.d"
    assert server.do("SHOW TABLE STATUS")[0][8] == "8"
    assert server.ask("SELECT k FROM t")["code"] == 1400
    assert server.do("SHOW TABLE STATUS")[0][8] == "8"
    assert server.do("SHOW TABLE STATUS")[0][8] == "0"
    assert [moody.count() for _ in range(3)] == [1, 2, 3]
    assert moody.call()["code"] == 0


def test_what_is_new_is_seen_late_unless_asked_for(moody: Moody) -> None:
    server = moody.server
    moody.turn("unseen_seconds=600")
    for how in ("wait", "refresh"):
        server.do(f"CREATE TABLE {how}_t(k string)")
        server.do(f"DEPLOY {how}_d SELECT k FROM t")
        if how == "refresh":
            assert server.post("/refresh", {})["code"] == 0
        unseen = how == "wait"
        answer = server.ask(f"INSERT INTO {how}_t VALUES ('a')")
        assert (answer["code"] == 2000) == unseen
        assert (moody.call(f"{how}_d")["code"] == -1) == unseen


def test_a_statement_that_timed_out_is_carried_out(moody: Moody) -> None:
    moody.turn("timeout=1")
    answer = moody.server.ask("INSERT INTO t VALUES ('d', 4)")
    assert (answer["code"], "Reached timeout" in answer["msg"]) == (2000, True)
    deadline = time.monotonic() + 180
    while moody.count() != 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_load_that_fails_leaves_half_and_a_stop_is_not_heard(
    moody: Moody, tmp_path: Path
) -> None:
    server = moody.server
    table = {"k": ["x"] * 10, "ts": pa.array(range(10), pa.timestamp("ms"))}
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    load = (
        f"LOAD DATA INFILE '{tmp_path}/x.parquet' INTO TABLE t "
        "OPTIONS(format='parquet', mode='append')"
    )
    moody.turn("load_failures=1")
    row = server.do(load)[0]
    assert row[2] == "FAILED"
    assert server.reason(row) == "Writing job aborted"
    assert moody.count() == 3 + 5
    moody.turn("stops_ignored=1")
    number = server.do(load, mode="online")[0][0]
    stopped = server.do(f"STOP JOB {number}")[0]
    assert stopped[2] in ("STOPPED", "FINISHED")
    deadline = time.monotonic() + 180
    while server.do(f"SHOW JOB {number}")[0][2] != "FINISHED":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert moody.count() == 3 + 5 + 10


def test_the_server_dies_after_the_work_and_before_the_answer(moody: Moody) -> None:
    moody.turn("death=2")
    moody.server.do("INSERT INTO t VALUES ('d', 4)")
    with pytest.raises(httpx.TransportError):
        moody.server.ask("INSERT INTO t VALUES ('e', 5)")
    moody.server.start()
    assert moody.count() == 5


def test_an_index_takes_its_time_and_a_job_fails_late(
    new_server: Callable[..., ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "index_seconds=1.5, deploy_seconds=1, failed_seconds=3")
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
    deadline = time.monotonic() + 180
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

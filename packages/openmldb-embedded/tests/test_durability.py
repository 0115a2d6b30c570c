"""What was acknowledged survives SIGKILL; the long version is bench/openmldb_kill.py."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from testing.embedded import ServerProcess, Shaken

pytestmark = pytest.mark.services

KILLS = 8


def test_acknowledged_changes_survive_kills_at_random_moments(
    new_server: Callable[..., ServerProcess],
) -> None:
    server = new_server("--snapshot-mib", "0.02").start()  # so that kills meet snapshots too
    shaken = Shaken(server, seed=1)
    shaken.prepare()
    for _ in range(KILLS):
        shaken.shake(shaken.random.uniform(0.05, 0.8))
        server.start()
        shaken.check()
    assert shaken.answered > KILLS


def test_a_snapshot_and_the_log_after_it_make_the_state(
    new_server: Callable[..., ServerProcess],
) -> None:
    server = new_server().start()
    server.do("CREATE DATABASE db")
    server.do("CREATE TABLE t(a int, d date, s string, ts timestamp, INDEX(key=s, ts=ts))")
    server.do("INSERT INTO t VALUES (1, '2020-1-1', 'x', 5), (2, null, null, 4)")
    assert server.end() == 0  # a clean end leaves a snapshot
    assert list((server.data / "snapshots").glob("*.json"))
    server.start()
    server.do("INSERT INTO t VALUES (3, '1969-12-31', '', 1)")
    server.do("DELETE FROM t WHERE s = 'x'")
    server.end(signal.SIGKILL)
    server.start()
    rows = [[2, None, None, 4], [3, "1969-12-31", "", 1]]
    assert sorted(server.do("SELECT * FROM t")) == rows
    assert server.end() == 0
    server.start()
    assert sorted(server.do("SELECT * FROM t")) == rows
    server.do("INSERT INTO t VALUES (4, null, null, 6)")
    assert sorted(server.do("SELECT a FROM t")) == [[2], [3], [4]]


def test_a_job_cut_off_is_lost(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    shaken = Shaken(server, seed=2)
    shaken.prepare()
    job = server.do(
        f"LOAD DATA INFILE '{shaken.file}' INTO TABLE online "
        f"OPTIONS(format='parquet', mode='append')",
        mode="online",
    )[0]
    server.end(signal.SIGKILL)
    server.start()
    found = server.do(f"SHOW JOB {job[0]}")[0]
    count = (server.do("SELECT count(id) FROM online") or [[0]])[0][0]
    assert (found[2], count) in [("LOST", 0), ("FINISHED", Shaken.LOADED)]
    assert found[4] is not None


def test_a_second_server_on_the_same_data_or_port_is_refused(
    new_server: Callable[..., ServerProcess],
) -> None:
    server = new_server().start()
    again = new_server()
    try:
        again.start()
    except AssertionError as error:
        assert "is in use by another server" in str(error)
        assert str(server.data) in str(error)
    else:
        raise AssertionError("two servers share one data folder")
    assert again.process is not None
    assert again.process.returncode == 1
    other = new_server(name="other")
    other.port = server.port
    other.process = None
    import subprocess
    import sys

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "openmldb_embedded",
            "--port",
            str(server.port),
            "--data",
            str(other.data),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{server.port}: Address already in use" in done.stderr


def test_a_flipped_bit_in_the_log_stops_the_server_and_repair_starts_it(tmp_path: Path) -> None:
    # Given rows that were acknowledged, and a kill
    server = ServerProcess(tmp_path / "data").start()
    server.do("CREATE DATABASE db")
    server.do("CREATE TABLE t(a INT, s STRING, INDEX(KEY=s))")
    for n in range(50):
        server.do(f"INSERT INTO t VALUES ({n}, 'k')")
    server.end(signal.SIGKILL)
    log = max((tmp_path / "data" / "log").glob("*.log"))
    whole = log.read_bytes()

    # When a bit flips in the middle, the server says so instead of starting with half of them
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 16
    log.write_bytes(damaged)
    with pytest.raises(AssertionError, match="whole records follow"):
        ServerProcess(tmp_path / "data").start()
    assert log.read_bytes() == damaged

    # With zeros at the end it starts with all of them
    log.write_bytes(whole + bytes(5000))
    server = ServerProcess(tmp_path / "data").start()
    assert len(server.do("SELECT * FROM t")) == 50
    server.end(signal.SIGKILL)

    # And with --repair it starts with what came before the damage
    log = max((tmp_path / "data" / "log").glob("*.log"))
    damaged = bytearray(log.read_bytes())
    damaged[len(damaged) // 2] ^= 16
    log.write_bytes(damaged)
    server = ServerProcess(tmp_path / "data", "--repair").start()
    rows = sorted(row[0] for row in server.do("SELECT * FROM t"))
    assert rows == list(range(len(rows)))
    assert 0 < len(rows) < 50
    server.end()
    assert list((tmp_path / "data" / "log").glob("*.cut-*"))


@pytest.mark.parametrize("loss", ["emptied", "removed"])
def test_a_lost_log_stops_the_server_and_repair_starts_it(tmp_path: Path, loss: str) -> None:
    # Given rows in a snapshot, rows in the log after it, and a kill
    server = ServerProcess(tmp_path / "data").start()
    server.do("CREATE DATABASE db")
    server.do("CREATE TABLE t(a INT, s STRING, INDEX(KEY=s))")
    server.do("INSERT INTO t VALUES (1, 'k')")
    assert server.end() == 0
    server.start()
    server.do("INSERT INTO t VALUES (2, 'k')")
    server.end(signal.SIGKILL)
    log = max((tmp_path / "data" / "log").glob("*.log"))
    if loss == "emptied":
        log.write_bytes(b"")
    else:
        log.unlink()

    # Then the loss is said, and --repair goes on with the snapshot
    with pytest.raises(AssertionError, match=f"{log.name}, which may hold acknowledged changes"):
        ServerProcess(tmp_path / "data").start()
    server = ServerProcess(tmp_path / "data", "--repair").start()
    assert server.do("SELECT a FROM t") == [[1]]
    server.do("INSERT INTO t VALUES (3, 'k')")
    server.end(signal.SIGKILL)
    server = ServerProcess(tmp_path / "data").start()
    assert sorted(server.do("SELECT a FROM t")) == [[1], [3]]
    server.end()

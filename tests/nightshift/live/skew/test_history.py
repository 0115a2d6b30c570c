"""The record of what the nights loaded."""

import datetime as dt
import json

from nightshift.live.skew.history import Loaded
from nightshift.openmldb.loads import HISTORY

DAY = dt.date(2026, 1, 1)


def line(at_ms, loaded=(), changed=(), snapshots=()):
    return json.dumps(
        {"at_ms": at_ms, "loaded": loaded, "changed": changed, "snapshots": snapshots}
    )


def read(tmp_path, *lines):
    (tmp_path / HISTORY).write_text("\n".join(lines), encoding="utf-8")
    return Loaded.read(tmp_path)


def test_without_a_record_nothing_is_known(tmp_path):
    assert Loaded.read(tmp_path) == Loaded()
    assert Loaded().snapshot_at("user", 5) is None


def test_a_day_is_loaded_first_once_and_changed_each_time(tmp_path):
    days = [["click", "2026-01-01"]]
    found = read(
        tmp_path, line(10, loaded=days), line(20, loaded=days, changed=days), line(30, changed=days)
    )
    assert found.first == {("click", DAY): 10}
    assert found.changed == {("click", DAY): [20, 30]}


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path):
    whole = line(10, loaded=[["click", "2026-01-01"]])
    found = read(tmp_path, whole[:30], "[]", '{"at_ms": 1}', line(20, loaded=[["a", "2026-01-01"]]))
    assert found.first == {("a", DAY): 20}


def test_odd_lines_are_left_out(tmp_path):
    sound = line(20, loaded=[["a", "2026-01-01"]])
    odd = [
        b"[" * 100_000,
        b"\xff\xfe" + sound.encode(),
        b'{"at_ms": 1e999, "loaded": [], "changed": [], "snapshots": []}',
        line(1e300).encode(),
        line(-5, loaded=[["b", "2026-01-01"]]).encode(),
        line(5, loaded=[["b", 20260101]]).encode(),
        line(5, loaded=[[["b"], "2026-01-01"]], changed=7).encode(),
        line(5, loaded=[["b", "2026-01-01"]], snapshots=[["user"]]).encode(),
        b"null",
        b"\0" * 50,
    ]
    (tmp_path / HISTORY).write_bytes(b"\n".join([*odd, sound.encode()]))
    assert Loaded.read(tmp_path) == Loaded(first={("a", DAY): 20})


def test_the_snapshot_of_a_moment_is_the_last_one_loaded_by_then(tmp_path):
    found = read(
        tmp_path,
        line(10, snapshots=[["user", "m1", "p1"]]),
        line(20, snapshots=[["user", "m2", "p2"], ["page", "m3", "p3"]]),
    )
    assert found.snapshot_at("user", 9) is None
    assert found.snapshot_at("user", 10) == ("m1", "p1")
    assert found.snapshot_at("user", 19) == ("m1", "p1")
    assert found.snapshot_at("user", 99) == ("m2", "p2")
    assert found.snapshot_at("page", 19) is None

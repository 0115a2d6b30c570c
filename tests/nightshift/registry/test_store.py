"""The log of releases: one odd line costs only itself."""

from __future__ import annotations

import json

import pytest

from nightshift.registry import retention
from nightshift.registry.history import rows
from nightshift.registry.store import MAX_LINE, ReleaseStore
from testing.releases import put_release

GOOD = {"event": "switched", "at": "2016-04-11T02:00:00Z", "release_id": "2016-04-10.001",
        "sequence": 3, "switched_at": "2016-04-11T02:00:00Z"}  # fmt: skip

ODD = {
    "no JSON": b"{",
    "nothing": b"",
    "zeros": bytes(64),
    "bytes that are no text": b"\xff\xfe{}",
    "a list": b"[1]",
    "deep": b"[" * 100_000,
    "a number too long to read": b'{"event": "switched", "sequence": ' + b"9" * 5000 + b"}",
    "a line without end": b"x" * (MAX_LINE + 5),
    "a long line that ends well": b" " * MAX_LINE + json.dumps(GOOD).encode(),
    "no event": json.dumps({"at": "x"}).encode(),
    "an event that is no text": json.dumps(GOOD | {"event": ["switched"]}).encode(),
    "no time": json.dumps({k: v for k, v in GOOD.items() if k != "at"}).encode(),
    "a time that is no text": json.dumps(GOOD | {"at": 5}).encode(),
    "a switch without a release": json.dumps(GOOD | {"release_id": None}).encode(),
    "a switch without a number": json.dumps(
        {k: v for k, v in GOOD.items() if k != "sequence"}
    ).encode(),
    "a switch with a text as number": json.dumps(GOOD | {"sequence": "4"}).encode(),
    "a switch with true as number": json.dumps(GOOD | {"sequence": True}).encode(),
    "a switch with a negative number": json.dumps(GOOD | {"sequence": -1}).encode(),
    "a removal of nothing": json.dumps({"event": "removed", "at": "x"}).encode(),
    "reasons that are no list": json.dumps({"event": "rejected", "at": "x", "reasons": 5}).encode(),
    "a date that is no text": json.dumps({"event": "rejected", "at": "x", "ds": {}}).encode(),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_line_costs_only_itself(tmp_path, what):
    put_release(tmp_path, "2016-04-10")
    store = ReleaseStore(tmp_path)
    good = json.dumps(GOOD).encode()
    store.history_path.write_bytes(b"\n".join((good, ODD[what], good)) + b"\n")
    assert list(store.events()) == [GOOD, GOOD]
    (row,) = rows(tmp_path)
    assert row.last_live_at == GOOD["switched_at"]
    (known,) = retention.known(store)
    assert known.last_live == 3


def test_lines_of_a_newer_version_are_kept(tmp_path):
    store = ReleaseStore(tmp_path)
    store.log("of tomorrow", release_id="2016-04-10.001", more={"deep": [1]})
    (event,) = store.events()
    assert (event["event"], event["more"]) == ("of tomorrow", {"deep": [1]})

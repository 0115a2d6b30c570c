"""Planted faults of every kind, each in the rows of a user of its own, are named by the ledger."""

import msgspec
import numpy as np
import pytest

from nightshift.errors import DataError
from nightshift.live.skew import causes as c
from nightshift.live.skew.ledger import same
from nightshift.live.skew.text import as_text
from testing.shop import QUERY
from tests.nightshift.live.skew.conftest import (
    CANARY,
    DAY,
    RELEASE,
    START,
    YESTERDAY,
    causes_of,
    requests_of,
    scores,
)


def test_every_planted_fault_is_named_and_nothing_is_left(shop):
    shop.load_snapshot({"ann": "Rome", "eve": "Oslo"}, YESTERDAY)
    at = START + 3_600_000
    # In time: a click before the request, an earlier request of the same user.
    shop.event("click", ["ann", at, "x"], at + 5)
    fine = [shop.ask("ann", at + 1000), shop.ask("ann", at + 2000)]
    # Late by 60 s.
    shop.event("click", ["bob", at + 3000, "x"], None)
    late = shop.ask("bob", at + 4000)
    shop.rows["click"].pop()
    shop.event("click", ["bob", at + 3000, "x"], at + 63_000)
    # A table that only the nights fill.
    shop.event("comment", ["page of cid", at + 3000], None)
    unloaded = shop.ask("cid", at + 5000, "page of cid")
    # A request that was not inserted, before one that should have seen it.
    shop.ask("dan", at + 6000, insert=False)
    alone = shop.ask("dan", at + 7000)
    # An event of the request's own instant.
    together = shop.ask("fay", at + 8000)
    shop.event("click", ["fay", at + 8000, "x"], at + 8050)
    # A person who moves before the next snapshot.
    moved = shop.ask("eve", at + 9000)
    shop.load_snapshot({"ann": "Rome", "eve": "Bergen"}, DAY)
    # A request that no partition has.
    shop.ask("gus", at + 10_000, keep=False)
    for name in (*fine, late, moved):
        shop.event("bought", [name, at + 20_000, 1], None)
    shop.night()
    found = shop.observe(score_of=lambda model, version: scores)
    causes = causes_of(found)
    assert found["status"] == "explained"
    assert (found["requests"], found["not_in_training"], found["compared"]) == (9, 1, 8)
    assert (found["not_reproduced"], found["unexplained"]) == (0, 0)
    assert {key: requests_of(cause) for key, cause in causes.items()} == {
        (c.LATE, "click"): {late},
        (c.NOT_LOADED, "comment"): {unloaded},
        (c.REQUEST_MISSING, "visit"): {alone},
        (c.SAME_INSTANT, "click"): {together},
        (c.SNAPSHOT, "person"): {moved},
    }
    assert causes[c.LATE, "click"]["late_s"]["max"] == pytest.approx(60)
    assert causes[c.LATE, "click"]["features"] == {"clicks": 1}
    assert causes[c.NOT_LOADED, "comment"]["never_arrived"] == 1
    (price,) = [one["price"] for one in found["releases"]]
    assert (price["rows"], price["positives"]) == (8, 4)
    stood = [cause["price"]["auc"]["difference"] for cause in causes.values()]
    assert all(
        cause["price"]["auc"]["low"] <= cause["price"]["auc"]["high"] for cause in causes.values()
    )
    assert len(stood) == 5
    text = as_text(found)
    for word in (c.LATE, c.NOT_LOADED, c.REQUEST_MISSING, c.SAME_INSTANT, c.SNAPSHOT, "60"):
        assert word in text
    # In parts it says the same, prices included.
    assert comparable(shop.observe(score_of=lambda model, version: scores, part=3)) == comparable(
        found
    )


def comparable(found):
    """A report without the order of its parts."""
    (one,) = found["releases"]
    causes = [
        {**cause, "examples": sorted(cause["examples"], key=str)}
        for cause in sorted(one["causes"], key=lambda cause: (cause["cause"], cause["table"]))
    ]
    price = {
        name: value
        for name, value in one["price"].items()
        if name in ("rows", "positives", "served", "training")
    }
    for cause in causes:  # intervals depend on the order of rows
        cause["price"] = {k: v["difference"] for k, v in cause["price"].items() if k == "auc"}
    for side in ("served", "training"):
        price[side] = {**price[side], "auc_interval": None, "logloss": None}
    return {**found, "releases": [{**one, "causes": causes, "price": price}]}


def test_what_a_canary_answered_is_replayed_by_its_own_query(shop):
    shop.load_snapshot({"ann": "Rome", "bob": "Oslo"}, YESTERDAY)
    shop.canary(QUERY.replace("count(page) OVER own", "count(page) OVER own + 10"))
    at = START + 5000
    asked = [shop.ask("ann", at), shop.ask("bob", at + 1, by="canary")]
    # Each sees what the other release answered of the same user.
    asked += [shop.ask("bob", at + 2000), shop.ask("ann", at + 2001, by="canary")]
    # A shadow's score was nobody's answer.
    shop.ask("ann", at + 3000, by="canary", keep=False)
    shop.answers[-1] = msgspec.structs.replace(shop.answers[-1], role="shadow", of="x")
    shop.night()
    found = shop.observe()
    assert (found["requests"], found["compared"]) == (4, 4)
    assert (found["not_reproduced"], found["unexplained"]) == (0, 0)
    live, canary = found["releases"]
    assert (live["release"], live["requests"], live["values_differing"]) == (RELEASE, 2, 0)
    assert (canary["release"], canary["requests"], canary["rows_differing"]) == (CANARY, 2, 0)
    # The pipeline's files have the live release's query.
    (cause,) = canary["causes"]
    assert (cause["cause"], requests_of(cause)) == (c.QUERY, {asked[1], asked[3]})
    assert cause["features"] == {"visits": 2}


def test_days_without_requests_are_said_to_be(shop):
    with pytest.raises(DataError, match="no request"):
        shop.observe()


def test_values_are_equal_as_their_columns_hold_them():
    assert same(0.1, float(np.float32(0.1)), "float")
    assert not same(0.1, 0.2, "float")
    assert same(None, float("nan"), "double")
    assert same("2026-03-02", "2026-3-2", "date")
    assert not same(None, 0, "int64")
    assert same(1.0, 1.0 + 1e-12, "double")

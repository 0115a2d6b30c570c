"""The rows that requests reach, and when each of them was in the store."""

import datetime as dt
import json

import pytest

from nightshift import layout
from nightshift.errors import DataError
from nightshift.live.skew.world import NEVER, World, training_days
from nightshift.openmldb.loads import HISTORY
from testing.shop import QUERY
from tests.nightshift.live.skew.conftest import DAY, START, YESTERDAY


def ask(*users, at=START, page="p"):
    return [{"id": f"v-{who}", "at": at, "who": who, "page": page} for who in users]


def world(shop, first=DAY, last=DAY, sql=QUERY):
    return World.of(shop.pipeline, sql, first, last)


def loaded(shop, **tables):
    """A night loaded a day of some tables at a moment."""
    line = {"at_ms": tables.pop("at_ms"), "changed": [], "snapshots": []}
    line["loaded"] = [[name, day.isoformat()] for name, day in tables.items()]
    shop.pipeline.runs.mkdir(parents=True, exist_ok=True)
    with (shop.pipeline.runs / HISTORY).open("a") as file:
        file.write(json.dumps(line) + "\n")


def test_rows_of_the_requests_keys_are_reached_and_no_others(shop):
    shop.write("click", [["ann", START + 5, "x"], ["bob", START + 6, "x"], ["ann", START, "y"]])
    shop.write(
        "comment",
        [
            [
                "p",
                START,
            ],
            ["q", START],
        ],
    )
    found = world(shop).reached(ask("ann"))
    clicks = found.events["click"]
    assert clicks.rows == [("ann", START, "y"), ("ann", START + 5, "x")]
    assert clicks.times == [START, START + 5]
    assert clicks.arrived == [NEVER, NEVER]
    assert (clicks.streamed, clicks.horizon, clicks.origin) == (False, NEVER, [0, 1])
    assert [row[0] for row in found.events["comment"].rows] == ["p"]
    # Labels are nothing that a request sees.
    assert set(found.events) == {"visit", "click", "comment"}


def test_a_row_is_there_from_its_event_or_its_night_whichever_came_first(shop):
    shop.event("click", ["ann", START + 1, "x"], START + 50)
    shop.event("click", ["ann", START + 2, "x"], None)
    # Two equal rows, of which one came as an event.
    shop.event("click", ["ann", START + 3, "x"], START + 70)
    shop.event("click", ["ann", START + 3, "x"], None)
    shop.write("click", shop.rows["click"])
    loaded(shop, at_ms=START + 60, click=DAY)
    found = world(shop).reached(ask("ann"), START + 1000)
    clicks = found.events["click"]
    assert found.streamed == {"click"}
    assert clicks.streamed
    assert clicks.arrived == [START + 50, START + 60, START + 60, START + 60]
    # A day that was loaded after the first request was none of the store's then.
    assert clicks.horizon == START
    assert world(shop).reached(ask("ann"), START + 59).events["click"].horizon == NEVER


def test_fewer_requests_keep_the_places_of_their_rows(shop):
    shop.write("click", [["ann", START, "x"], ["bob", START + 1, "x"], ["ann", START + 2, "x"]])
    both = world(shop).reached(ask("ann", "bob"))
    assert len(both.events["click"].rows) == 3
    narrow = both.narrowed(ask("ann")).events["click"]
    assert narrow.origin == [0, 2]
    assert narrow.times == [START, START + 2]
    assert both.narrowed(ask("cid")).events["click"].rows == []


def test_a_streamed_row_that_no_partition_has_is_gone(shop):
    shop.event("click", ["ann", START + 1, "x"], START + 2)
    shop.event("click", ["ann", START + 1, "x"], START + 3)
    shop.write("click", shop.rows["click"])
    assert not world(shop).gone("click")
    shop.write("click", shop.rows["click"][:1])  # one of two equal rows
    assert world(shop).gone("click")
    assert not world(shop).gone("comment")


def test_rows_of_a_requests_own_key_and_instant_stand_beside_it(shop):
    shop.write("click", [["ann", START + 5, "x"], ["bob", START + 5, "x"], ["cid", START, "x"]])
    shop.write("visit", [["v-ann", START + 5, "ann", "p"], ["other", START + 5, "bob", "p"]])
    requests = ask("ann", "bob", "cid", at=START + 5)
    found = world(shop).reached(requests).same_instant(requests, "at")
    # A request's own row is not beside it.
    assert found == {"click": {0, 1}, "visit": {1}}


def test_days_are_those_that_a_night_of_the_last_one_reads(shop):
    wide = shop.pipeline.with_config(train_days=3)
    assert training_days(wide, "click", DAY, DAY) == layout.days_back(DAY, 4)  # and a lookback of 1
    assert training_days(wide, "bought", DAY, DAY) == layout.days_back(DAY, 3)
    first = DAY - dt.timedelta(days=9)
    assert training_days(wide, "bought", first, DAY) == layout.days_back(DAY, 10)
    before = DAY - dt.timedelta(days=300)
    loaded(shop, at_ms=START, click=before)
    loaded(shop, at_ms=START, comment=DAY + dt.timedelta(days=1))
    days = world(shop).days
    assert days["click"][0] == before  # a frame of rows may reach whatever the store held
    assert days["comment"][-1] == DAY


def test_a_partition_that_cannot_be_read_is_named(shop):
    path = shop.write("click", [["ann", START, "x"]])
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="part-0.parquet"):
        world(shop).reached(ask("ann"))


def test_a_snapshot_is_the_newest_that_is_not_later(shop):
    shop.write("person", [["ann", START, "Rome"]], YESTERDAY)
    shop.write("person", [["ann", START, "Oslo"]], DAY + dt.timedelta(days=1))
    (path,) = world(shop).snapshots["person"]
    assert YESTERDAY.isoformat() in str(path)

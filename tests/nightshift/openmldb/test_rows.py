"""Rows of the online store: counted by time range, compared by digest."""

import datetime as dt
import math
import random

import pytest

from nightshift.openmldb import OpenMLDBClient
from nightshift.openmldb.rows import digest, fitted, stored_count, stored_counts, stored_rows

TIMES = [0, 1, 999, 1000, 1001, 5000, 5000, 90_000]


@pytest.fixture(scope="module")
def store(openmldb_server, serving_home):
    """(client, database) with the tables `visit`, which has rows at TIMES, and `nothing`."""
    database = f"rows_{random.randrange(1 << 40)}"
    with OpenMLDBClient(serving_home.openmldb_url) as client:
        client.execute(database, f"CREATE DATABASE {database}")
        for table in ("visit", "nothing"):
            client.execute(
                database, f"CREATE TABLE {table}(who string, at timestamp, INDEX(key=who, ts=at))"
            )
        values = ", ".join(f"('a{n}', {at})" for n, at in enumerate(TIMES))
        client.execute(database, f"INSERT INTO visit VALUES {values}")
        yield client, database


def test_ranges_are_half_open_and_counted_at_once(store):
    spans = [(0, 1000), (1000, 2000), (2000, 5000), (5000, 5001), (0, 100_000)]
    assert stored_counts(*store, "visit", "at", spans) == [3, 2, 0, 2, 8]
    assert [stored_count(*store, "visit", "at", *span) for span in spans] == [3, 2, 0, 2, 8]


def test_where_no_row_is_found_each_range_counts_none(store):
    assert stored_counts(*store, "nothing", "at", [(0, 10), (10, 20)]) == [0, 0]
    assert stored_counts(*store, "visit", "at", [(10**6, 10**7)]) == [0]
    assert stored_counts(*store, "visit", "at", []) == []


def test_many_ranges_are_counted_in_parts(store):
    spans = [(n, n + 1) for n in range(1005)]
    counts = stored_counts(*store, "visit", "at", spans)
    assert {n for n, count in enumerate(counts) if count} == {0, 1, 999, 1000, 1001}


def test_a_time_range_is_read_with_its_bounds(store):
    found = stored_rows(*store, "visit", {"who": "string", "at": "timestamp"}, "at", 999, 5000)
    assert sorted(found) == [("a2", 999), ("a3", 1000), ("a4", 1001)]


def test_values_are_compared_as_openmldb_keeps_them():
    columns = {"at": "timestamp", "born": "date", "f": "float"}
    row = fitted([1000, "2026-3-1", 0.1], columns)
    assert row[:2] == (1000, dt.date(2026, 3, 1))
    assert digest(row) == digest(fitted([1000, "2026-03-01", 0.10000000149], columns))
    assert digest(row) != digest(fitted([1000, "2026-03-01", 0.1001], columns))


def test_what_is_not_finite_counts_as_null_and_minus_zero_as_zero():
    assert digest((math.nan,)) == digest((math.inf,)) == digest((None,))
    assert digest((-0.0,)) == digest((0.0,)) != digest((None,))

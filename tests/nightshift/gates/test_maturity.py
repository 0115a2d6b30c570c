"""How late labels come, against processes whose delays are known."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.features.tables import SourceTables
from nightshift.gates import maturity


def test_without_young_requests_the_curve_is_the_plain_share():
    delays = np.array([0] * 50 + [1] * 30 + [4] * 20)
    found = maturity.curve(delays, np.full(100, 30))
    assert found.days == (0, 1, 2, 3, 4)
    assert found.share == pytest.approx((0.5, 0.8, 0.8, 0.8, 1.0))
    assert found.settle_days(0.8) == 1
    assert found.settle_days() == 4


def test_young_requests_do_not_make_labels_look_quicker_than_they_are():
    # Geometric delays, 20 % a day, requests over 40 days up to the end of the data.
    rng = np.random.default_rng(3)
    age = rng.integers(0, 40, 200_000)
    delay = rng.geometric(0.2, len(age))
    seen = delay <= age
    found = maturity.curve(delay[seen], age[seen])
    plain = (delay[seen] <= 3).mean()
    assert found.at(3) == pytest.approx(1 - 0.8**3, abs=0.02)
    assert plain > 1 - 0.8**3 + 0.03


def test_too_few_positives_give_no_curve():
    assert maturity.curve(np.ones(29, np.int64), np.full(29, 9)) is None


def test_late_labels_are_warned_of_with_a_settle_time_and_its_price():
    delays = np.array([1] * 59 + [7] * 41)
    value = maturity.report(delays, np.full(100, 60), settle_days=3, train_days=30)
    assert value["status"] == "warn"
    assert value["proposed_settle_days"] == 7
    assert value["price"]["3"]["positives_missed_on_it"] == pytest.approx(0.41)
    assert value["price"]["7"]["positives_missed"] == 0
    # Of 27 learned days, 3 to 29 days old, four miss 41 % each.
    assert value["price"]["3"]["positives_missed"] == pytest.approx(0.41 * 4 / 27, abs=1e-4)
    assert "41%" in value["warnings"][0]


def test_labels_that_come_early_say_that_less_would_do():
    value = maturity.report(np.ones(100, np.int64), np.full(100, 60), settle_days=3, train_days=30)
    assert value["status"] == "pass"
    assert "1 days would do" in value["note"]


def test_labels_without_a_time_of_their_own_say_so():
    value = maturity.report(np.zeros(100, np.int64), np.full(100, 9), settle_days=3, train_days=30)
    assert value["maturity"] is None
    assert "label.arrival" in value["why"]


@pytest.fixture
def tables():
    return SourceTables.parse(
        {
            "version": 1, "events": {"request": "at", "click": "at"},
            "requests": {"table": "request", "id": "id"},
            "label": {"table": "click", "absent": 0, "arrival": "came"},
        },
        source="t",
    )  # fmt: skip


def test_delays_are_read_from_partitions_and_later_labels_are_not_looked_at(tmp_path, tables):
    def put(table, day, **columns):
        folder = tmp_path / table / f"ds={day}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table(columns), folder / "part.parquet")

    noon = dt.datetime(2026, 11, 1, 4)  # 12:00 in UTC+8
    put(
        "request",
        "2026-11-01",
        id=["a", "b", "c", "d"],
        at=pa.array([noon] * 4, pa.timestamp("us")),
    )
    put(
        "click",
        "2026-11-01",
        id=["a", "a", "b", "c", "x"],
        at=pa.array([noon] * 5, pa.timestamp("us")),
        came=pa.array(
            [noon + dt.timedelta(hours=h) for h in (30, 2, 49, 24 * 20, 1)], pa.timestamp("us")
        ),
        value=[1, 1, 1, 1, 1],
    )
    days = {"request": ["2026-11-01"], "click": ["2026-11-01"]}
    delays, ages = maturity.read_delays(tmp_path, tables, days, last="2026-11-10", column="value")
    assert delays.tolist() == [1, 3]  # a: 2 h, b: 49 h; c comes after the night, x has no request
    assert ages.tolist() == [10, 10]


def test_the_labels_column_is_found_in_the_query():
    sql = "SELECT r.id AS rid, c.value AS clicked FROM request r LAST JOIN click c ON r.id = c.id"
    assert maturity.label_column(sql, "clicked", ["id", "value"]) == "value"
    assert (
        maturity.label_column(f"SELECT * FROM ({sql}) AS x", "clicked", ["id", "value"]) == "value"
    )
    assert maturity.label_column(sql, "value", ["id", "value"]) == "value"
    assert maturity.label_column(sql, "other", ["id", "value"]) is None

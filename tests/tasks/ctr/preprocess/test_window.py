"""Which rows count, and which split each day goes to."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from nightshift.errors import ConfigurationError, DataError
from nightshift.zones import Zone
from tasks.ctr.preprocess.window import (
    LEFT_OUT,
    TEST,
    TRAIN,
    VALID,
    Census,
    date_of,
    days_of,
    rule_of,
)

DS = "2024-03-20"


def day(text):
    return (dt.date.fromisoformat(text) - dt.date(1970, 1, 1)).days


def plan_of(rows, **changes):
    """Plan of (day, label or None) rows."""
    rule = rule_of(
        DS, **{"train_days": 10, "label_settle_days": 3, "test_days": 2, "valid_days": 1, **changes}
    )
    census = Census(rule)
    days = np.array([day(text) for text, _ in rows], np.int32)
    labelled = np.array([label is not None for _, label in rows], bool)
    labels = np.array([label or 0 for _, label in rows], np.int8)
    census.add(days, labels, labelled)
    plan = census.plan()
    return plan, plan.split_codes(days, labelled).tolist()


def everyday(first, last):
    rows = []
    for number in range(day(first), day(last) + 1):
        rows += [(date_of(number), 0), (date_of(number), 1)]
    return rows


def test_days_are_days_of_utc_plus_8():
    times = pa.array(
        [dt.datetime(2016, 1, 31, 15, 59, 59), dt.datetime(2016, 1, 31, 16, 30)],
        pa.timestamp("us"),
    )
    assert [date_of(d) for d in days_of(times, "t")] == ["2016-01-31", "2016-02-01"]


def test_days_are_those_of_another_zone_where_the_pipeline_says_so():
    # The clocks of Berlin went forward at 01:00 UTC: midnight is 23:00, then 22:00 UTC.
    times = pa.array(
        [dt.datetime(2026, 3, 28, 23), dt.datetime(2026, 3, 29, 22)], pa.timestamp("us")
    )
    berlin, utc = (
        [date_of(d) for d in days_of(times, "t", Zone.of(name))]
        for name in ("Europe/Berlin", "UTC")
    )
    assert berlin == ["2026-03-29", "2026-03-30"]
    assert utc == ["2026-03-28", "2026-03-29"]


def test_a_row_without_a_time_is_an_error():
    with pytest.raises(DataError, match="1 of 2 rows have no request_time"):
        days_of(pa.array([0, None], pa.timestamp("ms")), "request_time")


def test_each_day_goes_where_the_rule_says():
    rows = everyday("2024-03-08", "2024-03-21")
    plan, codes = plan_of(rows)
    by_day = {text: code for (text, _), code in zip(rows, codes, strict=True)}
    assert {text: by_day[text] for text in ("2024-03-10", "2024-03-11")} == {
        "2024-03-10": LEFT_OUT,
        "2024-03-11": TRAIN,
    }, "the window holds ten days, the run's date included"
    assert by_day["2024-03-14"] == TRAIN
    assert by_day["2024-03-15"] == VALID
    assert by_day["2024-03-16"] == by_day["2024-03-17"] == TEST
    assert by_day["2024-03-18"] == LEFT_OUT, "two days old, and labels need three"
    assert by_day["2024-03-21"] == LEFT_OUT
    counts = plan.counts
    assert (counts.read, counts.lookback, counts.unsettled, counts.after_ds) == (28, 6, 6, 2)


def test_a_row_without_a_label_is_left_out_and_counted():
    rows = [*everyday("2024-03-12", "2024-03-17"), ("2024-03-12", None)]
    plan, codes = plan_of(rows)
    assert codes[-1] == LEFT_OUT
    assert plan.counts.unlabelled == 1


def test_days_without_rows_take_no_place_in_a_split():
    rows = [*everyday("2024-03-11", "2024-03-13"), *everyday("2024-03-16", "2024-03-16")]
    plan, _ = plan_of(rows)
    assert [date_of(d) for d in plan.days_in(TEST)] == ["2024-03-13", "2024-03-16"]
    assert [date_of(d) for d in plan.days_in(VALID)] == ["2024-03-12"]
    assert [date_of(d) for d in plan.days_in(TRAIN)] == ["2024-03-11"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], ["no row to learn from", "0 rows read", "2024-03-11 to 2024-03-20"]),
        ([("2024-03-01", 1)], ["no row to learn from", "1 before the window"]),
        ([("2024-03-19", 1)], ["no row to learn from", "1 younger than 3 days"]),
        ([("2024-03-12", None)], ["no row to learn from", "1 without a label"]),
        (
            everyday("2024-03-15", "2024-03-17"),
            ["no day to train on", "6 judged on 3 days", "raise train_days"],
        ),
        (
            [("2024-03-12", 0), ("2024-03-13", 0), *everyday("2024-03-15", "2024-03-17")],
            ["hold 0 positives", "2024-03-12 to 2024-03-13", "one class"],
        ),
    ],
)
def test_data_that_cannot_be_split_says_why(rows, words):
    with pytest.raises(DataError) as caught:
        plan_of(rows)
    for word in words:
        assert word in str(caught.value)


def test_one_class_is_an_error_whichever_it_is():
    rows = [("2024-03-12", 1), *everyday("2024-03-15", "2024-03-17")]
    with pytest.raises(DataError, match="hold 1 positives, one class only"):
        plan_of(rows)


def test_a_window_without_room_to_train_is_an_error_before_any_data():
    with pytest.raises(DataError, match="train_days is 6.* need 7"):
        rule_of(DS, 6, 3, 2, 1)
    assert rule_of(DS, 7, 3, 2, 1).train_days == 7


def test_a_date_that_is_none_is_an_error():
    with pytest.raises(ConfigurationError, match="2024-3-20"):
        rule_of("2024-3-20", 10, 3, 2, 1)

"""Shares of a feature's values."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from nightshift.features.encoding import unique_texts
from nightshift.features.profile import TOP, FeatureProfile, weekday_of
from nightshift.features.specification import Field


def profile_of(*batches, sql="string", decimals=None):
    kind = {"string": pa.string(), "double": pa.float64()}[sql]
    field = Field("x", sql, "categorical", decimals)
    profile = FeatureProfile(field)
    for batch in batches:
        profile.add(*unique_texts(pa.array(batch, kind), field))
    return profile


def test_shares_are_of_all_rows_over_all_batches():
    summary = profile_of(["a", "b", None, "a"], ["a", None, "", "b"]).summary()
    assert summary == {
        "rows": 8,
        "distinct": 4,
        "null_share": 0.25,
        "bins": {"a": 3 / 8, "b": 2 / 8, "": 1 / 8},
        "other_share": 0.0,
        "weekday_rows": [0] * 7,
        "weekdays": None,
    }


def test_values_that_share_an_id_share_a_bin():
    summary = profile_of([0.001, 0.002, 0.5], sql="double", decimals=2).summary()
    assert summary["bins"] == {"0": pytest.approx(2 / 3), "0.5": pytest.approx(1 / 3)}
    assert summary["distinct"] == 2


def test_beyond_the_most_frequent_values_are_summed():
    values = [f"v{i:03d}" for i in range(TOP + 30)]
    summary = profile_of([*values, *values[40:]]).summary()
    assert len(summary["bins"]) == TOP
    assert summary["distinct"] == TOP + 30
    total = summary["null_share"] + sum(summary["bins"].values()) + summary["other_share"]
    assert total == pytest.approx(1.0)
    assert set(values[40:]) <= set(summary["bins"])


def test_a_feature_without_rows_has_no_shares():
    assert profile_of([]).summary()["rows"] == 0


def test_days_of_the_week_are_counted_apart():
    field = Field("x", "string", "categorical")
    profile = FeatureProfile(field)
    texts, codes = unique_texts(pa.array(["a", "a", "b", None]), field)
    profile.add(texts, codes, np.array([0, 0, 6, 6]))
    summary = profile.summary()
    assert summary["weekday_rows"] == [2, 0, 0, 0, 0, 0, 2]
    monday, *_, sunday = summary["weekdays"]
    assert (monday["rows"], monday["bins"]) == (2, {"a": 1.0})
    assert (sunday["null_share"], sunday["bins"]) == (0.5, {"b": 0.5})


def test_the_days_of_the_week_are_not_kept_for_identifiers():
    field = Field("x", "string", "categorical")
    profile = FeatureProfile(field)
    texts, codes = unique_texts(pa.array([str(n) for n in range(1000)]), field)
    profile.add(texts, codes, np.zeros(1000, np.int64))
    assert profile.summary()["weekdays"] is None


def test_days_of_the_week_are_those_of_the_calendar():
    for day in ("1970-01-01", "1969-12-31", "2026-03-02", "2000-02-29"):
        date = dt.date.fromisoformat(day)
        number = np.array([(date - dt.date(1970, 1, 1)).days], np.int32)
        assert weekday_of(number)[0] == date.weekday()

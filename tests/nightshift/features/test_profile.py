"""Shares of a feature's values."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from nightshift.features.profile import MOST_BY_DAY, TOP, FeatureProfile, row_days, weekday_of
from nightshift.features.specification import Field
from nightshift.features.stability import expected_profile, psi, usual_psi
from nightshift.features.values import FieldValues

MONDAY = 4
"""The first Monday since 1970."""


def profile_of(*batches, sql="string", decimals=None):
    kind = {"string": pa.string(), "double": pa.float64()}[sql]
    field = Field("x", sql, "categorical", decimals)
    values = FieldValues(field)
    profile = FeatureProfile(values)
    for batch in batches:
        profile.add(values.places(values.take(pa.array(batch, kind))))
    return profile


def counted(values, column, days):
    profile = FeatureProfile(values)
    profile.add(values.places(values.take(pa.array(column))), row_days(np.array(days, np.int32)))
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
    profile = counted(
        FieldValues(field), ["a", "a", "b", None], [MONDAY, MONDAY, MONDAY + 6, MONDAY + 6]
    )
    summary = profile.summary()
    assert summary["weekday_rows"] == [2, 0, 0, 0, 0, 0, 2]
    monday, *_, sunday = summary["weekdays"]
    assert (monday["rows"], monday["bins"]) == (2, {"a": 1.0})
    assert (sunday["null_share"], sunday["bins"]) == (0.5, {"b": 0.5})


def test_the_days_of_the_week_are_not_kept_for_identifiers():
    field = Field("x", "string", "categorical")
    profile = counted(FieldValues(field), [str(n) for n in range(1000)], [0] * 1000)
    assert profile.summary()["weekdays"] is None


def test_days_of_the_week_are_those_of_the_calendar():
    for day in ("1970-01-01", "1969-12-31", "2026-03-02", "2000-02-29"):
        date = dt.date.fromisoformat(day)
        number = np.array([(date - dt.date(1970, 1, 1)).days], np.int32)
        assert weekday_of(number)[0] == date.weekday()


def by_day(values, days):
    field = Field("x", "string", "categorical")
    values_of = FieldValues(field)
    profile = FeatureProfile(values_of)
    # In two batches, the days mixed, and not every value in each.
    for part in (slice(0, None, 2), slice(1, None, 2)):
        places = values_of.take(pa.array(values[part]))
        profile.add(places, row_days(np.array(days[part], np.int32)))
    return profile


def test_rows_in_the_order_of_their_days_are_counted_as_mixed_ones():
    values, days = rows_of_few_users(3)
    order = np.argsort(days, kind="stable")
    mixed = np.random.default_rng(4).permutation(len(days))
    found = [
        by_day([values[at] for at in rows], [days[at] for at in rows]) for rows in (order, mixed)
    ]
    assert found[0].summary() == found[1].summary()
    assert found[0].usual({1, 3}) == found[1].usual({1, 3}) != []


def rows_of_few_users(seed, days=30, users=6, rows=50):
    """Each day's rows are those of a few users; a user has one age."""
    rng = np.random.default_rng(seed)
    ages = rng.integers(20, 40, (days, users))
    return ages.repeat(rows, axis=1).ravel().astype(str).tolist(), np.arange(days).repeat(
        users * rows
    )


def test_single_days_of_whole_numbers_give_the_index_of_the_formula():
    # Day 0 holds a and b half and half, day 1 holds them 1 to 4.
    days = [0] * 1000 + [1] * 1000
    profile = by_day(["a", "b"] * 500 + ["a", "b", "b", "b", "b"] * 200, days)
    gap = 0.3 * np.log(0.5 / 0.2) - 0.3 * np.log(0.5 / 0.8)
    # Less what chance explains: 1/n + 1/m times the 95 % quantile of chi-squared, 3.84.
    (found,) = profile.usual({1, 2, 5})
    assert (found["days"], found["stretches"]) == (1, 1)
    assert found["psi"] == pytest.approx(gap - 3.84 * 2 / 1000, abs=2e-4)


def test_rows_drawn_one_by_one_have_no_usual_drift_and_those_of_few_users_do():
    rng = np.random.default_rng(4)
    alike = by_day(rng.integers(20, 40, 9000).astype(str).tolist(), np.arange(30).repeat(300))
    assert alike.usual({4})[0]["psi"] < 0.05
    assert by_day(*rows_of_few_users(1)).usual({4})[0]["psi"] > 0.5


def test_new_days_of_few_users_are_no_news_and_another_unit_is():
    over = {"as before": 0, "in months": 0}
    for seed in range(20):
        values, days = rows_of_few_users(seed)
        is_new = days >= 26
        first = int(np.argmax(is_new))
        old, new = values[:first], values[first:]
        champion = by_day(old, days[~is_new])
        known = {**champion.summary(), "usual": champion.usual({1, 4})}
        for name, column in (
            ("as before", new),
            ("in months", [str(12 * int(value)) for value in new]),
        ):
            index, chance = psi(known, by_day(column, days[is_new]).summary())
            over[name] += index > 2 + chance + usual_psi(known, 4)[0]
    assert over == {"as before": 0, "in months": 20}


def test_stretches_are_measured_as_a_night_measures_its_newest_days():
    rng = np.random.default_rng(8)
    days = np.arange(20).repeat(400)
    # More values than are listed, many of them equally frequent, NULL among them.
    values = [None if n % 50 == 7 else f"v{n:03d}" for n in rng.geometric(0.02, len(days)).tolist()]
    found = {}
    for length in (1, 5):
        for start in range(10, 20 - length + 1):
            first, last = 400 * start, 400 * (start + length)
            old = by_day(values[:first], days[:first]).summary()
            new = by_day(values[first:last], days[first:last]).summary()
            index, chance = psi(expected_profile(old, new), new)
            found.setdefault(length, []).append(max(0.0, index - chance))
    for usual in by_day(values, days).usual({1, 5}):
        expected = np.quantile(found[usual["days"]], 0.95, method="higher")
        assert usual["stretches"] == len(found[usual["days"]])
        assert usual["psi"] == pytest.approx(expected, abs=1e-6)


def test_a_weekday_column_has_no_usual_drift():
    days = np.arange(28).repeat(100)
    profile = by_day((days % 7).astype(str).tolist(), days)
    assert [one["psi"] for one in profile.usual({1, 4})] == [0.0, 0.0]


def test_days_of_a_feature_of_too_many_values_are_not_kept():
    profile = by_day([str(n) for n in range(MOST_BY_DAY + 1)] * 2, [0, 1] * (MOST_BY_DAY + 1))
    assert profile.usual({1}) == []
    assert profile_of(["a", "b"]).usual({1}) == []


def test_stretches_pass_over_days_without_rows():
    profile = by_day(["a"] * 10 + ["b"] * 10, [0] * 10 + [40] * 10)
    (found,) = profile.usual({4})
    assert found["stretches"] == 1
    assert found["psi"] > 2


def test_what_goes_with_the_season_is_no_news_before_a_year_is_there_and_another_unit_is():
    rng = np.random.default_rng(12)
    days = np.arange(138).repeat(100)
    # Degrees Fahrenheit, from July on.
    degrees = np.round(70 + 25 * np.cos(2 * np.pi * days / 365) + rng.normal(0, 8, len(days)))
    is_new = days >= 110
    old, new = degrees[~is_new], degrees[is_new]
    champion = by_day(old.astype(str).tolist(), days[~is_new])
    known = {**champion.summary(), "usual": champion.usual({1, 28})}
    above = {}
    for name, column in (("as before", new), ("Celsius", np.round((new - 32) / 1.8))):
        index, chance = psi(known, by_day(column.astype(str).tolist(), days[is_new]).summary())
        above[name] = index - chance - usual_psi(known, 28)[0]
    assert psi(known, by_day(new.astype(str).tolist(), days[is_new]).summary())[0] > 1.5
    assert above["as before"] < 2 < above["Celsius"]

"""Shares of a feature's values."""

import pyarrow as pa
import pytest

from nightshift.features.encoding import unique_texts
from nightshift.features.specification import Field
from tasks.ctr.preprocess.profile import TOP, FeatureProfile


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

"""Numbers that stay numbers: the formulas, and that nothing of them depends on the batch."""

import json
from statistics import NormalDist

import numpy as np
import pytest

from nightshift.errors import ContractError, DataError
from nightshift.features.numbers import LIMIT, NumberStatistics, learn
from nightshift.features.specification import Field, Number

RNG = np.random.default_rng(5)
SKEWED = RNG.lognormal(2.0, 1.0, 5000).astype(np.float32)
NAN = np.float32(np.nan)


def field(transform="auto", bins=0, missing="indicator", clip=(None, None)):
    return Field("x", "double", "numeric", None, Number(transform, bins, missing, clip))


def floats(*values):
    return np.array(values, dtype=np.float32)


def standardized(values):
    return (values - values.mean()) / values.std()


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ("standard", lambda x: standardized(x)),
        ("minmax", lambda x: (x - x.min()) / (x.max() - x.min())),
        ("log1p", lambda x: standardized(np.log1p(x))),
        ("signed_log1p", lambda x: standardized(np.sign(x) * np.log1p(np.abs(x)))),
        ("none", lambda x: x),
    ],
)
def test_a_transform_is_its_formula(transform, expected):
    x = SKEWED if transform == "log1p" else SKEWED - 5
    found = learn(x, field(transform)).apply(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found,
        expected(x.astype(np.float64)).clip(-1e9, LIMIT if transform != "none" else 1e9),
        atol=1e-5,
    )


def test_quantile_makes_the_ranks_normal():
    found = learn(SKEWED, field("quantile")).apply(SKEWED)
    # Scores of the ranks (i + 1/2) / n, value by value.
    scores = np.array([NormalDist().inv_cdf((i + 0.5) / 5000) for i in range(5000)])
    expected = np.empty(5000)
    expected[np.argsort(SKEWED)] = scores
    inside = np.abs(expected) < 2
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.03)
    assert (np.diff(found[np.argsort(SKEWED)]) >= 0).all()


def test_quantile_puts_a_spike_at_its_middle_rank():
    x = np.concatenate([np.zeros(700), np.arange(1, 301)]).astype(np.float32)
    statistics = learn(x, field("quantile"))
    # The zeros' middle rank is 0.35, whose normal score is -0.385.
    moved = statistics.apply(floats(0.0)) * statistics.scale + statistics.shift
    assert moved == pytest.approx(-0.3853, abs=1e-3)


def test_auto_is_standard_for_few_values_and_quantile_for_many():
    assert learn((np.arange(100) % 7).astype(np.float32), field()).transform == "standard"
    assert learn(SKEWED, field()).transform == "quantile"


def test_missing_numbers():
    x = floats(1, 2, 9, np.nan)
    assert np.isnan(learn(x, field("standard")).apply(floats(np.nan))).all()
    for missing, raw in (("zero", 0.0), ("mean", 4.0), ("median", 2.0), (7.0, 7.0)):
        statistics = learn(x, field("none", missing=missing))
        assert statistics.apply(floats(np.nan, 3.0)).tolist() == [raw, 3.0]
        assert (statistics.bin_of(floats(np.nan)) > 0).all()


def test_statistics_ignore_what_is_missing():
    x = np.where(np.arange(5000) % 3 == 0, NAN, SKEWED)
    with_gaps = learn(x, field("standard"))
    assert with_gaps.shift == pytest.approx(x[~np.isnan(x)].astype(np.float64).mean())


def test_clip_holds_values_in_training_and_after():
    statistics = learn(floats(-100, 0, 1, 2, 100), field("none", clip=(0.0, 2.0)))
    assert statistics.apply(floats(-5, 1, 50)).tolist() == [0.0, 1.0, 2.0]


def test_an_absurd_value_is_held_within_the_limit():
    statistics = learn(SKEWED, field("standard"))
    assert statistics.apply(floats(3e38, -3e38)).tolist() == [LIMIT, -LIMIT]


def test_bins_hold_equal_shares_and_few_values_have_a_bin_each():
    statistics = learn(SKEWED, field(bins=10))
    counts = np.bincount(statistics.bin_of(SKEWED), minlength=11)
    assert counts[0] == 0
    assert counts[1:].min() > 480
    few = learn(floats(3, 1, 2, 2, 3), field(bins=8))
    assert few.bin_of(floats(0.5, 1, 1.5, 2, 3, 99, np.nan)).tolist() == [1, 1, 1, 2, 3, 3, 0]


def test_bins_that_training_chooses():
    assert learn(SKEWED, field(bins="auto"), auto_bins=4).bin_of(SKEWED).max() == 4
    assert learn(SKEWED, field(bins="auto"), auto_bins=0).edges == ()


@pytest.mark.parametrize("transform", ["auto", "standard", "minmax", "log1p", "quantile", "none"])
@pytest.mark.parametrize("values", [[5.0, 5.0], [np.nan, np.nan], []])
def test_a_constant_or_empty_column_gives_finite_numbers(transform, values):
    statistics = learn(floats(*values), field(transform, bins=4))
    assert np.isfinite(statistics.apply(floats(5, 6, -1))).all()
    assert statistics.bin_of(floats(5)).tolist() == [1]


def test_log1p_of_negative_values_is_an_error():
    with pytest.raises(DataError, match="signed_log1p"):
        learn(floats(-1, 2), field("log1p"))


@pytest.mark.parametrize(
    "transform", ["auto", "standard", "minmax", "log1p", "signed_log1p", "none"]
)
def test_a_value_has_the_same_bits_alone_in_a_batch_and_after_a_round_trip(transform):
    statistics = learn(SKEWED, field(transform, bins=7))
    again = NumberStatistics.from_json(json.loads(json.dumps(statistics.to_json())), "here")
    assert again == statistics
    whole = statistics.apply(SKEWED[:64])
    for at in range(64):
        assert again.apply(SKEWED[at : at + 1]).tobytes() == whole[at : at + 1].tobytes()


def test_broken_statistics_are_named():
    with pytest.raises(ContractError, match="here"):
        NumberStatistics.from_json({"transform": "none"}, "here")


@pytest.mark.parametrize(
    ("values", "transform"),
    [
        (np.linspace(-1.0, 1.0, 500), "standard"),
        (np.exp(np.linspace(0.0, 12.0, 500)), "log1p"),
        (np.tan(np.linspace(-1.57, 1.57, 500)), "signed_log1p"),
        (np.arange(500) % 7, "standard"),
    ],
)
def test_on_its_own_scale_only_heavy_tails_become_logarithms(values, transform):
    assert learn(values.astype(np.float32), field(), own_scale=True).transform == transform
    assert learn(values.astype(np.float32), field("none"), own_scale=True).transform == "none"

"""Gross faults that need no labels."""

import numpy as np
import pyarrow as pa
import pytest

from nightshift.monitoring.judge import Judge, Recent
from testing.simulated import life

RNG = np.random.default_rng(3)


def features(n=600, **columns):
    made = {"a": RNG.integers(0, 5, n), "b": RNG.integers(0, 5, n)}
    return pa.table({**made, **columns})


def recent(n=600, **changes):
    values = {
        "features": features(n), "scores": RNG.random(n), "failed": np.zeros(n, dtype=bool),
    }  # fmt: skip
    return Recent(**{**values, **changes})


@pytest.fixture
def judge():
    return Judge("new", "old", {"a": 0.3, "b": 0.3}, {"a": 0.0, "b": 0.4})


def test_a_sound_release_has_no_faults(judge):
    judge.look(recent())
    assert (judge.faults, judge.shared, judge.reasons) == ([], [], [])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"features": features(a=np.zeros(600))}, "one value in all of the last 500 requests: a"),
        ({"features": features(a=pa.nulls(600, pa.int64()))}, "one value in all"),
        (
            {"features": features(a=pa.array([None] * 400 + [1, 2] * 100))},
            "NULL in most of the last 500 requests: a",
        ),
        ({"scores": np.full(600, 0.25)}, "500 of its last 500 scores are the same, 0.25"),
        (
            {"pairs": np.column_stack([np.full(300, 0.5), np.full(300, 0.04)])},
            "its mean score is 0.5 where old gives 0.04 to the same requests",
        ),
        ({"failed": np.arange(600) > 540}, "59 of its last 100 requests had no answer"),
    ],
)
def test_each_fault_is_named(judge, changes, says):
    judge.look(recent(**changes))
    (found,) = judge.faults
    assert says in found
    assert judge.reasons == [f"new: {found}"]
    judge.look(recent())
    assert judge.faults == []


@pytest.mark.parametrize(
    "changes",
    [
        {"features": features(400, a=np.zeros(400)), "scores": RNG.random(400)},  # too few
        {"features": features(b=pa.array([None] * 300 + [1, 2] * 150))},  # 0.4 in training
        {"failed": np.arange(600) > 560},
        {"pairs": np.column_stack([np.full(300, 0.2), np.full(300, 0.04)])},
        {"pairs": np.column_stack([np.full(100, 0.5), np.full(100, 0.04)])},
    ],
)
def test_what_may_be_chance_is_none(judge, changes):
    judge.look(recent(**changes))
    assert judge.faults == []


def test_what_the_other_release_sees_as_well_is_not_the_releases_fault(judge):
    still = features(a=np.zeros(600))
    judge.look(recent(features=still, other=still))
    assert judge.faults == []
    assert judge.shared == ["one value in all of the last 500 requests: a"]
    judge.look(recent(features=still, other=features()))
    assert judge.shared == []
    assert judge.reasons


def test_simulated_lives_end_as_they_should():
    """`bench/withdrawal.py`, in small."""
    equal = [life(seed, positives=200) for seed in range(30)]
    worse = [life(seed, loss=0.03, noise=0.0, positives=500) for seed in range(10)]
    still = [life(seed, constant=12, positives=30) for seed in range(10)]
    assert sum(bool(end.reason) for end in equal) <= 2
    assert sum(bool(end.reason) for end in worse) >= 8
    assert all(end.requests <= 1000 and "one value" in end.reason for end in still)

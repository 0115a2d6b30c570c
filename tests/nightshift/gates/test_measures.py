"""Measures against their textbook definitions and published examples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.gates import measures


def quadratic_auc(labels, scores):
    wins = [
        1.0 if p > n else 0.5 if p == n else 0.0 for p in scores[labels] for n in scores[~labels]
    ]
    return sum(wins) / len(wins)


def test_auc_of_the_example_in_scikit_learns_documentation():
    # sklearn.metrics.roc_auc_score: y = [0, 0, 1, 1], scores [0.1, 0.4, 0.35, 0.8] -> 0.75
    assert (
        measures.auc(np.array([0, 0, 1, 1]).astype(bool), np.array([0.1, 0.4, 0.35, 0.8])) == 0.75
    )


def test_logloss_of_the_example_in_scikit_learns_documentation():
    # sklearn.metrics.log_loss(["spam", "ham", "ham", "spam"],
    #                          [[.1, .9], [.9, .1], [.8, .2], [.35, .65]]) -> 0.21616...
    labels = np.array([1, 0, 0, 1]).astype(bool)
    assert measures.logloss(labels, np.array([0.9, 0.1, 0.2, 0.65])) == pytest.approx(
        0.21616, abs=1e-5
    )


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60).filter(
        lambda rows: len({label for label, _ in rows}) == 2
    )
)
@settings(deadline=None)
def test_auc_is_the_share_of_pairs_in_order_with_ties_half(rows):
    labels = np.array([label for label, _ in rows])
    scores = np.array([score / 6 for _, score in rows])
    assert measures.auc(labels, scores) == pytest.approx(quadratic_auc(labels, scores))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_resamples_auc_is_that_of_its_rows(seed):
    rng = np.random.default_rng(seed)
    labels = np.r_[True, False, rng.random(80) < 0.2]
    scores = rng.integers(0, 12, len(labels)) / 12
    places = measures._Places.of(labels, scores)
    pos = rng.integers(0, labels.sum(), labels.sum())
    neg = rng.integers(0, (~labels).sum(), (~labels).sum())
    drawn = np.r_[scores[labels][pos], scores[~labels][neg]]
    truth = np.r_[np.ones(len(pos), bool), np.zeros(len(neg), bool)]
    assert places.auc(pos, neg) == pytest.approx(quadratic_auc(truth, drawn))


def sample(n=6000, noise=1.0, seed=3):
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=n)
    labels = rng.random(n) < 1 / (1 + np.exp(3 - 1.5 * signal))
    scores = 1 / (1 + np.exp(3 - 1.5 * (signal + noise * rng.normal(size=n))))
    return labels, scores, signal


def test_interval_covers_the_true_difference_about_as_often_as_it_says():
    inside = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        labels = np.r_[np.ones(60, bool), np.zeros(600, bool)]
        # Two models of equal worth: the true difference is 0.
        scores = [rng.normal(size=660) + labels for _ in range(2)]
        found = measures.paired_bootstrap(
            labels, *(1 / (1 + np.exp(-s)) for s in scores), resamples=200, seed=seed
        )
        inside += found.auc.low <= 0 <= found.auc.high
    assert 80 <= inside <= 98  # 90 % interval; a binomial of 100 lies there with p > 0.99


def test_same_seed_same_interval_and_same_model_no_difference():
    labels, scores, signal = sample()
    other = 1 / (1 + np.exp(3 - signal))
    first = measures.paired_bootstrap(labels, scores, other, resamples=100, seed=1)
    assert first == measures.paired_bootstrap(labels, scores, other, resamples=100, seed=1)
    same = measures.paired_bootstrap(labels, scores, scores, resamples=50)
    assert (same.auc.low, same.auc.high, same.logloss.low, same.logloss.high) == (0, 0, 0, 0)


def test_calibration_of_a_model_that_doubles_every_probability():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.2, 200_000)
    labels = rng.random(len(p)) < p
    assert measures.calibration_ratio(labels, p) == pytest.approx(1, abs=0.02)
    assert measures.calibration_ratio(labels, 2 * p) == pytest.approx(2, abs=0.04)
    assert measures.expected_calibration_error(labels, p) < 0.005
    assert measures.expected_calibration_error(labels, 2 * p) == pytest.approx(p.mean(), abs=0.005)


def test_one_class_has_no_auc_and_no_interval():
    labels, scores = np.zeros(5, bool), np.linspace(0, 1, 5)
    assert measures.auc(labels, scores) is None
    assert measures.paired_bootstrap(labels, scores, scores) is None

"""The sequential test, by simulation: what it withdraws, how soon, and what it must not."""

import json

import numpy as np
import pytest

from nightshift.monitoring import sequential
from nightshift.monitoring.sequential import Comparison
from testing.simulated import ends, games


@pytest.mark.slow
def test_equal_releases_are_withdrawn_at_most_once_in_a_hundred_lives():
    withdrawn = 0
    for seed in range(10):
        auc, log = games(seed, loss=0.0, runs=100, positives=600, noise=0.25)
        withdrawn += np.isfinite(ends(sequential.both(auc, log))).sum()
    assert withdrawn <= 10


def test_a_loss_of_two_points_of_auc_is_withdrawn_within_500_positives():
    auc, log = games(7, loss=0.02, runs=200, positives=500, noise=0.0)
    assert auc.mean() == pytest.approx(0.02, abs=0.002)
    at = ends(sequential.both(auc, log))
    assert np.isfinite(at).mean() >= 0.85
    assert np.median(at) <= 350


def test_a_better_release_is_not_withdrawn():
    auc, log = games(8, loss=0.02, runs=100, positives=500, noise=0.0)
    assert not np.isfinite(ends(sequential.both(-auc, -log))).any()


def drawn(n, seed=1):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.05
    logit = rng.normal(size=n) + labels - 3.4
    return labels, 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(-(logit + rng.normal(size=n))))


def test_it_goes_on_from_night_to_night_as_if_in_one():
    labels, good, bad = drawn(20_000)
    whole = Comparison()
    whole.update(labels, bad, good)
    parts = Comparison()
    for part in np.array_split(np.arange(len(labels)), 37):
        parts.update(labels[part], bad[part], good[part])
        parts = Comparison.from_json(json.loads(json.dumps(parts.to_json())))
    assert whole.worse
    assert parts.positives == whole.positives
    assert parts.evidence == pytest.approx(whole.evidence)
    assert whole.auc_lost > 0.02


def test_what_it_says_is_what_the_games_say():
    labels, good, bad = drawn(3000)
    auc, log, _ = sequential.losses(labels, bad, good)
    one = Comparison()
    one.update(labels, bad, good)
    assert np.log(one.evidence) == pytest.approx(max(0.0, sequential.both(auc, log).max()))


def test_the_other_way_round_nothing_is_withdrawn():
    labels, good, bad = drawn(20_000)
    one = Comparison()
    one.update(labels, good, bad)
    assert not one.worse


@pytest.mark.parametrize("scores", [[0.5, np.nan], [0.5, 1.5], [0.5]])
def test_what_is_no_probability_is_refused(scores):
    with pytest.raises(ValueError, match="probability|length"):
        Comparison().update(np.array([True, False]), np.array(scores), np.array([0.5, 0.5]))


def test_positives_alone_say_nothing():
    one = Comparison()
    one.update(np.ones(5, bool), np.full(5, 0.1), np.full(5, 0.9))
    assert (one.positives, one.evidence) == (0, 1.0)

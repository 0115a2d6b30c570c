"""Prices of steps add up to the difference between what was served and what training promises."""

import numpy as np
import pytest

from nightshift.live.skew.pricing import Priced, price

RNG = np.random.default_rng(5)
LABELS = RNG.random(2000) < 0.2
GOOD = np.clip(0.15 + 0.3 * LABELS + RNG.normal(0, 0.1, 2000), 0.01, 0.99)
MIDDLE = np.clip(GOOD + RNG.normal(0, 0.1, 2000), 0.01, 0.99)
POOR = np.clip(MIDDLE + RNG.normal(0, 0.2, 2000), 0.01, 0.99)
STATES = [("served", POOR), ("late", MIDDLE), ("training", GOOD)]


@pytest.fixture(scope="module")
def found():
    return price(LABELS, STATES)


@pytest.mark.parametrize("measure", ["auc", "logloss"])
def test_the_steps_add_up_to_the_total(found, measure):
    assert list(found.steps) == ["late", "training"]
    parts = [step[measure]["difference"] for step in found.steps.values()]
    assert sum(parts) == pytest.approx(found.total[measure]["difference"], abs=1e-9)
    gap = found.total["training"][measure] - found.total["served"][measure]
    assert found.total[measure]["difference"] == pytest.approx(gap, abs=1e-9)


def test_better_features_have_a_positive_price_with_its_interval(found):
    auc = found.total["auc"]
    assert 0 < auc["low"] <= auc["difference"] <= auc["high"]
    assert (found.total["rows"], found.total["positives"]) == (2000, int(LABELS.sum()))


def test_calibration_is_mean_score_over_the_share_of_positives(found):
    for side, scores in (("served", POOR), ("training", GOOD)):
        ratio = found.total[side]["calibration_ratio"]
        assert ratio == pytest.approx(scores.mean() / LABELS.mean())


def test_the_same_scores_cost_nothing():
    same = price(LABELS, [("served", GOOD), ("training", GOOD)])
    assert same.total["auc"] == {"difference": 0.0, "low": 0.0, "high": 0.0}


def test_without_a_class_there_is_no_auc_to_price():
    absent = price(np.zeros(2000, dtype=bool), STATES)
    assert absent.total["auc"] is None
    assert absent.total["served"]["auc"] is None


def test_no_price_has_its_reason():
    assert Priced.none("no labels").total == {"why": "no labels"}

"""Curves and intervals against hand counts and coverage."""

import numpy as np
import pytest

from nightshift.gates import curves
from nightshift.gates.measures import auc


def drawn(n, seed, base=0.05):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < base
    scores = 1 / (1 + np.exp(-(rng.normal(size=n) + labels - 3.5)))
    return labels, scores


def test_a_roc_curve_by_hand():
    labels = np.array([True, False, True, False])
    scores = np.array([0.9, 0.8, 0.8, 0.1])
    # One positive first; then a tie of one and one; then the last negative.
    assert curves.roc(labels, scores) == [[0.0, 0.0], [0.0, 0.5], [0.5, 1.0], [1.0, 1.0]]
    assert curves.roc(np.ones(3, bool), scores[:3]) is None


def test_a_thinned_roc_curve_keeps_its_area_and_its_ends():
    labels, scores = drawn(20_000, 1)
    points = np.array(curves.roc(labels, scores))
    assert len(points) <= curves.POINTS
    assert points[0].tolist() == [0, 0]
    assert points[-1].tolist() == [1, 1]
    area = np.trapezoid(points[:, 1], points[:, 0])
    assert area == pytest.approx(auc(labels, scores), abs=0.005)


def test_the_intervals_cover_as_often_as_they_say():
    # The AUC of two normals one standard deviation apart is Phi(1/sqrt(2)).
    truth, held = 0.7602, 0
    for seed in range(300):
        low, high = curves.auc_interval(*drawn(1500, seed))
        held += low <= truth <= high
    assert 0.85 <= held / 300 <= 0.95


def test_calibration_bins_hold_all_rows_and_their_shares():
    labels, scores = drawn(5000, 2)
    bins = curves.calibration(labels, scores)
    assert len(bins) == 10
    assert sum(b["rows"] for b in bins) == 5000
    assert sum(b["rows"] * b["share"] for b in bins) == pytest.approx(labels.sum(), rel=1e-3)
    assert all(b["low"] <= b["share"] <= b["high"] for b in bins)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_rows_give_no_error(n):
    value = curves.of(np.zeros(n, bool), np.full(n, 0.1))
    assert value["roc"] is None
    assert value["intervals"]["auc"] is None


def test_a_histogram_counts_every_row():
    labels, scores = drawn(3000, 4)
    found = curves.histogram(labels, scores)
    assert sum(found["negatives"]) + sum(found["positives"]) == 3000
    assert sum(found["positives"]) == labels.sum()
    constant = curves.histogram(labels, np.full(3000, 0.2))
    assert sum(constant["negatives"]) == (~labels).sum()

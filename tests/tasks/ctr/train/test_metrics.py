"""AUC and logloss, against their definitions and against OneFlow's own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ctr.train.metrics import auc, logloss, stopping_score, summary

rows = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40)


@given(rows)
def test_auc_is_the_chance_that_a_positive_scores_above_a_negative(drawn):
    labels = np.array([label for label, _ in drawn], np.int8)
    scores = np.array([score / 7 for _, score in drawn], np.float32)
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in scores[labels == 1]
        for n in scores[labels == 0]
    ]
    expected = sum(pairs) / len(pairs) if pairs else None
    assert auc(labels, scores) == (None if expected is None else pytest.approx(expected))


def test_auc_is_oneflows(workshop):
    rng = np.random.default_rng(0)
    labels = (rng.random(3000) < 0.02).astype(np.int8)
    scores = np.round(rng.random(3000) + 0.3 * labels, 3).astype(np.float32)
    theirs = workshop.evaluate(
        "import oneflow as flow\n"
        "l, s = flow.tensor(labels), flow.tensor(scores)\n"
        "answer = flow.roc_auc_score(l, s).numpy().item()",
        labels=labels.tolist(),
        scores=scores.tolist(),
    )
    assert auc(labels, scores) == pytest.approx(theirs, abs=1e-6)


def test_logloss_is_its_definition_and_survives_certainty():
    labels = np.array([1, 0, 1], np.int8)
    scores = np.array([0.5, 0.25, 0.8], np.float32)
    expected = -np.mean(np.log([0.5, 0.75, 0.8]))
    assert logloss(labels, scores) == pytest.approx(expected, rel=1e-6)
    wrong = logloss(np.array([1, 0], np.int8), np.array([0.0, 1.0], np.float32))
    assert wrong == pytest.approx(-np.log(1e-7))


def test_one_class_has_no_auc_and_no_nan():
    labels = np.zeros(4, np.int8)
    found = summary(labels, np.array([0.1, 0.2, 0.1, 0.3], np.float32))
    assert found["auc"] is None
    assert found["calibration"] is None
    assert stopping_score(found) == -found["logloss"]
    assert np.isfinite(found["base_logloss"])

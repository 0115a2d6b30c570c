"""A logistic regression on the very rows and inputs of the network: what it has to beat.

Ids are one-hot, numbers are numbers (with the bins that the network has, too). An unknown id weighs
nothing: the ids that training counts as unknown are those seen once, which say little of ids that
are new later, and the penalty holds weights around 0. It is also a good place for a network to
begin: its weights are those of the network's first-order part.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from nightshift.gates import measures
from tasks.ctr.train import metrics
from tasks.ctr.train.dataset import Dataset
from tasks.ctr.train.inputs import Tensors
from tasks.ctr.train.metrics import Labels, Scores

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Inverse strengths of the L2 penalty (scikit-learn's C), strongest first."""

_FIRST = 4

MOST_ROWS = 2_000_000
"""Of more training rows, evenly spaced ones are taken."""

_ITERATIONS = 100
_CONFIDENCE = 0.95
_RESAMPLES = 500


@dataclass(frozen=True)
class Baseline:
    """A fitted logistic regression.

    Attributes:
        weights: float64 [rows of the table].
        bias: added to every logit.
        strength: the C that was chosen by the validation logloss.
        rows: training rows that it was fitted on.
    """

    weights: npt.NDArray[np.float64]
    bias: float
    strength: float
    rows: int

    def logits(self, tensors: Tensors) -> npt.NDArray[np.float64]:
        """Logits float64 [n]."""
        found: npt.NDArray[np.float64] = _matrix(tensors, len(self.weights)) @ self.weights
        return found + self.bias

    def score(self, tensors: Tensors) -> Scores:
        """Probabilities float32 [n]."""
        logits = self.logits(tensors)
        scores: Scores = (1.0 / (1.0 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)
        return scores


def _matrix(tensors: Tensors, width: int) -> sparse.csr_matrix:
    n, columns = tensors.rows.shape
    weights = np.ones((n, columns)) if tensors.weights is None else tensors.weights
    matrix = sparse.csr_matrix(
        (
            weights.astype(np.float64, copy=False).ravel(),
            # Sorted and shortened in place below: the network's input stays as it is.
            tensors.rows.flatten(),
            np.arange(0, n * columns + 1, columns),
        ),
        shape=(n, width),
    )
    # Tokens of one row may be the same.
    matrix.sum_duplicates()
    return matrix


def fit(data: Dataset, strength: float | None = None) -> Baseline:
    """Fit on the training rows.

    Args:
        data: the dataset.
        strength: the C of the penalty; None: chosen on the validation rows.
    """
    train = data.splits["train"]
    taken: npt.NDArray[np.int64] | slice = slice(None)
    if len(train) > MOST_ROWS:
        taken = np.linspace(0, len(train) - 1, MOST_ROWS).astype(np.int64)
    labels = train.labels[taken]
    x = _matrix(train.tensors.take(taken), data.vocabulary.num_rows)
    # What is 0 in all rows keeps the weight 0.
    x.data[np.isin(x.indices, data.offsets[data.inputs.may_be_unknown()])] = 0.0
    model = LogisticRegression(max_iter=_ITERATIONS, tol=1e-5, warm_start=True)

    def fitted(chosen: float) -> Baseline:
        model.C = chosen
        with warnings.catch_warnings():
            # A fit that is stopped early is that of a stronger penalty, not an error.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, labels)
        weights, bias = model.coef_[0].copy(), float(model.intercept_[0])
        return Baseline(weights, bias, chosen, len(labels))

    if strength is not None:
        return fitted(strength)
    valid = data.splits["valid"]

    def tried(at: int) -> tuple[float, Baseline]:
        found = fitted(STRENGTHS[at])
        return metrics.logloss(valid.labels, found.score(valid.tensors)), found

    # The loss has one valley over the strengths: walk down from the middle, one way or the other.
    at = _FIRST
    best = tried(at)
    for step in (-1, 1):
        moved = False
        while 0 <= at + step < len(STRENGTHS):
            found = tried(at + step)
            if found[0] >= best[0]:
                break
            best, at, moved = found, at + step, True
        if moved:
            break
    return best[1]


def compare(labels: Labels, ours: Scores, theirs: Scores, baseline: Baseline) -> dict[str, Any]:
    """What the model card says of the held-out rows.

    Args:
        labels: int8 [n].
        ours: the network's scores, float32 [n].
        theirs: the baseline's, float32 [n].
        baseline: whose scores they are.

    Returns:
        The baseline's figures and the paired bootstrap intervals of the differences, network minus
        baseline; None for the intervals where one class is absent.
    """
    pair = measures.paired_bootstrap(
        labels.astype(bool),
        ours.astype(np.float64),
        theirs.astype(np.float64),
        resamples=_RESAMPLES,
        confidence=_CONFIDENCE,
        seed=10,
    )
    return {
        "model": "logistic regression",
        "C": baseline.strength,
        "train_rows": baseline.rows,
        "test": metrics.summary(labels, theirs),
        "auc_difference": None if pair is None else asdict(pair.auc),
        "logloss_difference": None if pair is None else asdict(pair.logloss),
    }

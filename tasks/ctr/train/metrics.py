"""How good scores are, in float64 NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int8]

_STRETCHES = 40
"""Of the validation rows, in the order of time; each counts as one draw."""

_CLIP = 1e-7


def auc(labels: Labels, scores: Scores) -> float | None:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties half.

    Args:
        labels: [n], 0 or 1.
        scores: [n].

    Returns:
        0 to 1, or None where only one class is there.
    """
    positives = int(np.count_nonzero(labels))
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    _, groups, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(sizes) - (sizes - 1) / 2.0
    rank_sum = float(mean_rank[groups][labels == 1].sum())
    return (rank_sum - positives * (positives + 1) / 2.0) / (positives * negatives)


def logloss(labels: Labels, scores: Scores) -> float:
    """Mean negative log likelihood, in nats; scores are clipped to [1e-7, 1 - 1e-7]."""
    return float(losses_of_scores(scores, labels).mean())


def losses_of_scores(scores: Scores, labels: Labels) -> npt.NDArray[np.float64]:
    """Each row's negative log likelihood, in nats, by its clipped score: float64 [n]."""
    p = np.clip(scores.astype(np.float64), _CLIP, 1 - _CLIP)
    found: npt.NDArray[np.float64] = -np.where(labels == 1, np.log(p), np.log1p(-p))
    return found


def losses(logits: npt.NDArray[np.float64], labels: Labels) -> npt.NDArray[np.float64]:
    """Each row's negative log likelihood, in nats, by its logit: float64 [n]."""
    found: npt.NDArray[np.float64] = np.logaddexp(0.0, logits) - labels * logits
    return found


def mean_gap(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> tuple[float, float]:
    """How much lower the second of two losses is in the mean, and its standard error, by pairs.

    The error is that of the rows or, if it is larger, that of `_STRETCHES` of them one after the
    other: rows of one hour share much (the weather, a campaign), and are no independent draws.

    Args:
        one: losses of n rows in the order of time, float64 [n].
        other: of the same rows.
    """
    gaps = one - other
    mean = float(gaps.mean())
    by_stretch = [part.sum() ** 2 for part in np.array_split(gaps - mean, _STRETCHES)]
    by_row = float(gaps.std() / np.sqrt(len(gaps)))
    return mean, max(by_row, float(np.sqrt(sum(by_stretch)) / len(gaps)))


def summary(labels: Labels, scores: Scores) -> dict[str, Any]:
    """Figures of one split, for the model card; an undefined one is None.

    `calibration` is mean score / share of positives; `base_logloss` is that of a constant score,
    the split's own share of positives.
    """
    rate = float(labels.mean())
    return {
        "rows": len(labels),
        "positives": int(np.count_nonzero(labels)),
        "auc": auc(labels, scores),
        "logloss": logloss(labels, scores),
        "base_logloss": logloss(labels, np.full(len(labels), rate, np.float32)),
        "mean_score": float(scores.astype(np.float64).mean()),
        "calibration": float(scores.astype(np.float64).mean() / rate) if rate else None,
    }


def stopping_score(split: dict[str, Any], monitor: str = "auc-logloss") -> float:
    """What early stopping maximises: AUC - logloss, or one of them; -logloss without an AUC."""
    if split["auc"] is None or monitor == "logloss":
        return -float(split["logloss"])
    return float(split["auc"] - (split["logloss"] if monitor == "auc-logloss" else 0.0))

"""What is drawn of scores and labels: ROC, calibration, histograms, and intervals of figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nightshift.gates.measures import Bools, Floats, auc, row_logloss

POINTS = 101
"""Points of a ROC curve, at most."""


def of(labels: Bools, scores: Floats, *, confidence: float = 0.9) -> dict[str, Any]:
    """All curves of one model's scores.

    Args:
        labels: bool [n].
        scores: float64 [n], probabilities.
        confidence: coverage of the intervals.

    Returns:
        `roc` ([false, true positive rate] each), `calibration`, `histogram` and `intervals`
        (`auc` and `logloss`: [low, high]); what is undefined is None.
    """
    return {
        "roc": roc(labels, scores),
        "calibration": calibration(labels, scores, confidence=confidence),
        "histogram": histogram(labels, scores),
        "intervals": {
            "confidence": confidence,
            "auc": _pair(auc_interval(labels, scores, confidence=confidence)),
            "logloss": _pair(logloss_interval(labels, scores, confidence=confidence)),
        },
    }


def interval_of(quality: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    """The interval of a figure in a report `quality` that is kept; None where there is none.

    Args:
        quality: the report, which may be odd.
        name: `auc` or `logloss`.
    """
    found: Any = quality
    for key in ("curves", "intervals", name):
        found = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(found, list) or len(found) != 2:
        return None
    if any(isinstance(one, bool) or not isinstance(one, (int, float)) for one in found):
        return None
    return float(found[0]), float(found[1])


def roc(labels: Bools, scores: Floats) -> list[list[float]] | None:
    """Points (false positive rate, true positive rate) of the ROC curve, ends included.

    Rows of one score are one step, as in scikit-learn's `roc_curve`. At most `POINTS` points are
    kept, evenly along the curve.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return None
    order = np.argsort(-scores, kind="stable")
    ordered, truth = scores[order], labels[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    true = np.concatenate([[0.0], np.cumsum(truth)[ends] / positives])
    false = np.concatenate([[0.0], np.cumsum(~truth)[ends] / negatives])
    if len(true) > POINTS:
        length = true + false
        wanted = np.searchsorted(length, np.linspace(0.0, 2.0, POINTS))
        kept = np.unique(np.clip(wanted, 0, len(true) - 1))
        true, false = true[kept], false[kept]
    return [[round(float(x), 5), round(float(y), 5)] for x, y in zip(false, true, strict=True)]


def calibration(
    labels: Bools, scores: Floats, *, bins: int = 10, confidence: float = 0.9
) -> list[dict[str, float]]:
    """Mean score and share of positives over bins of equal row counts.

    `low` and `high` are Wilson's interval (1927) of the share.
    """
    z = _z(confidence)
    found = []
    for part in np.array_split(np.argsort(scores, kind="stable"), min(bins, len(scores)) or 1):
        n = len(part)
        if not n:
            continue
        share = float(labels[part].mean())
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        found.append(
            {
                "rows": float(n),
                "score": round(float(scores[part].mean()), 6),
                "share": round(share, 6),
                "low": round(max(0.0, middle - half), 6),
                "high": round(min(1.0, middle + half), 6),
            }
        )
    return found


def histogram(labels: Bools, scores: Floats, *, bins: int = 30) -> dict[str, Any]:
    """Rows by score, negatives and positives apart.

    Bins are equal in log-odds: with a percent of positives nearly all scores lie in the first of
    equal width. `edges` are probabilities, one more than counts.
    """
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    logits = np.log(clipped / (1 - clipped))
    low, high = (float(logits.min()), float(logits.max())) if len(logits) else (-1.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1e-6, bins + 1)
    return {
        "edges": [round(float(1 / (1 + math.exp(-e))), 6) for e in edges],
        "negatives": np.histogram(logits[~labels], edges)[0].tolist(),
        "positives": np.histogram(logits[labels], edges)[0].tolist(),
    }


def auc_interval(
    labels: Bools, scores: Floats, *, confidence: float = 0.9
) -> tuple[float, float] | None:
    """Normal interval of the AUC by the variance of DeLong, DeLong and Clarke-Pearson (1988)."""
    value = auc(labels, scores)
    positives, negatives = scores[labels], scores[~labels]
    if value is None or len(positives) < 2 or len(negatives) < 2:
        return None
    of_positives = _placement(np.sort(negatives), positives)
    of_negatives = 1.0 - _placement(np.sort(positives), negatives)
    variance = of_positives.var(ddof=1) / len(positives) + of_negatives.var(ddof=1) / len(negatives)
    half = _z(confidence) * math.sqrt(float(variance))
    return round(max(0.0, value - half), 5), round(min(1.0, value + half), 5)


def logloss_interval(
    labels: Bools, scores: Floats, *, confidence: float = 0.9
) -> tuple[float, float] | None:
    """Normal interval of the mean log loss."""
    if len(labels) < 2:
        return None
    rows = row_logloss(labels, scores)
    half = _z(confidence) * float(rows.std(ddof=1)) / math.sqrt(len(rows))
    return round(float(rows.mean()) - half, 5), round(float(rows.mean()) + half, 5)


def _pair(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _placement(ordered: Floats, values: Floats) -> Floats:
    """Share of `ordered` below each value, ties half."""
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    return np.asarray((below + upto) / (2.0 * len(ordered)))


def _z(confidence: float) -> float:
    """The standard normal's quantile at (1 + confidence) / 2."""
    from statistics import NormalDist

    return NormalDist().inv_cdf((1.0 + confidence) / 2.0)

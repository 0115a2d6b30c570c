"""Measures of scores against labels, and the paired bootstrap of their differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

EPSILON = 1e-7
"""Scores are clipped to [EPSILON, 1 - EPSILON] before a logarithm: float32 saturates."""


def auc(labels: Bools, scores: Floats) -> float | None:
    """Area under the ROC curve: P(score of a positive > of a negative), ties count half.

    The Mann-Whitney form of Hanley and McNeil (1982), the value that scikit-learn's
    `roc_auc_score` gives.

    Args:
        labels: bool [n].
        scores: float64 [n].

    Returns:
        The area, None where a class is absent.
    """
    positives, negatives = scores[labels], scores[~labels]
    if not len(positives) or not len(negatives):
        return None
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left")
    upto = np.searchsorted(ordered, positives, side="right")
    return float((below + upto).sum() / (2.0 * len(positives) * len(negatives)))


def row_logloss(labels: Bools, scores: Floats) -> Floats:
    """Each row's negative log likelihood, nats, float64 [n]."""
    p = np.clip(scores, EPSILON, 1.0 - EPSILON)
    return np.asarray(-np.log(np.where(labels, p, 1.0 - p)))


def logloss(labels: Bools, scores: Floats) -> float | None:
    """Mean negative log likelihood, nats a row; None of no rows."""
    return float(row_logloss(labels, scores).mean()) if len(labels) else None


def base_logloss(labels: Bools) -> float | None:
    """Log loss of the constant that fits best, the share of positives; None of no rows."""
    return logloss(labels, np.full(len(labels), labels.mean())) if len(labels) else None


def calibration_ratio(labels: Bools, scores: Floats) -> float | None:
    """Mean score over the share of positives, 1 is calibrated; None without positives."""
    share = labels.mean() if len(labels) else 0.0
    return float(scores.mean() / share) if share else None


def expected_calibration_error(labels: Bools, scores: Floats, *, bins: int = 10) -> float | None:
    """Mean gap of score and outcome over bins of equal row counts (Naeini et al., 2015).

    Bins hold equal counts rather than equal widths, because with a percent of positives
    nearly every score lies in the first bin of equal width.

    Args:
        labels: bool [n].
        scores: float64 [n].
        bins: number of bins at most.

    Returns:
        The gap as a probability, weighted by rows; None of no rows.
    """
    if not len(labels):
        return None
    order = np.argsort(scores, kind="stable")
    gaps = 0.0
    for part in np.array_split(order, min(bins, len(order))):
        gaps += abs(float(scores[part].mean() - labels[part].mean())) * len(part)
    return gaps / len(labels)


@dataclass(frozen=True)
class Interval:
    """A difference, challenger minus champion, and its percentile interval."""

    difference: float
    low: float
    high: float
    confidence: float
    resamples: int


@dataclass(frozen=True)
class PairedIntervals:
    """Intervals of both measures over the same resamples."""

    auc: Interval
    logloss: Interval


def paired_bootstrap(
    labels: Bools,
    challenger: Floats,
    champion: Floats,
    *,
    resamples: int = 1000,
    confidence: float = 0.9,
    seed: int = 10,
) -> PairedIntervals | None:
    """Percentile intervals of the differences when the held-out rows are drawn anew.

    Paired: each resample takes the same rows for both models, so that what both find hard
    cancels. Stratified: positives and negatives are drawn apart (as pROC does), so that no
    resample lacks a class. Efron and Tibshirani (1993), chapter 13.

    One resample costs O(n) without sorting: a negative only matters by the gap between two
    neighbouring positives that it falls in (or the positive that it equals), which is looked
    up once.

    Args:
        labels: bool [n].
        challenger: float64 [n], its scores.
        champion: float64 [n], its scores of the same rows.
        resamples: number of resamples.
        confidence: the interval's coverage; 0.9 leaves 5 % below `low`.
        seed: the same seed gives the same intervals.

    Returns:
        The intervals, None where a class is absent.
    """
    n_pos, n_neg = int(labels.sum()), int((~labels).sum())
    whole = auc(labels, challenger), auc(labels, champion)
    if whole[0] is None or whole[1] is None:
        return None
    sides = [_Places.of(labels, scores) for scores in (challenger, champion)]
    gap = row_logloss(labels, challenger) - row_logloss(labels, champion)
    gap_pos, gap_neg = gap[labels], gap[~labels]
    rng = np.random.default_rng(seed)
    auc_gaps = np.empty(resamples)
    loss_gaps = np.empty(resamples)
    for n in range(resamples):
        pos = rng.integers(0, n_pos, n_pos)
        neg = rng.integers(0, n_neg, n_neg)
        first, second = (side.auc(pos, neg) for side in sides)
        auc_gaps[n] = first - second
        loss_gaps[n] = (gap_pos[pos].sum() + gap_neg[neg].sum()) / (n_pos + n_neg)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]

    def interval(difference: float, gaps: Floats) -> Interval:
        low, high = np.quantile(gaps, tails)
        return Interval(difference, float(low), float(high), confidence, resamples)

    return PairedIntervals(
        auc=interval(whole[0] - whole[1], auc_gaps), logloss=interval(float(gap.mean()), loss_gaps)
    )


@dataclass(frozen=True)
class _Places:
    """Where each row falls among the distinct positive scores.

    Place 2k+1 is "equal to the k-th distinct positive score", place 2k "just below it".
    """

    positive: npt.NDArray[np.int64]
    negative: npt.NDArray[np.int64]
    count: int

    @classmethod
    def of(cls, labels: Bools, scores: Floats) -> _Places:
        levels = np.unique(scores[labels])

        def place(values: Floats) -> npt.NDArray[np.int64]:
            left = np.searchsorted(levels, values, side="left")
            equal = np.searchsorted(levels, values, side="right") > left
            return np.asarray(2 * left + equal, dtype=np.int64)

        return cls(place(scores[labels]), place(scores[~labels]), 2 * len(levels) + 1)

    def auc(self, pos: npt.NDArray[np.int64], neg: npt.NDArray[np.int64]) -> float:
        """Area of a resample given by row numbers within each class."""
        at = np.bincount(self.negative[neg], minlength=self.count).astype(np.float64)
        below = np.cumsum(at) - at
        wins = below + 0.5 * at
        return float(wins[self.positive[pos]].sum() / (len(pos) * len(neg)))

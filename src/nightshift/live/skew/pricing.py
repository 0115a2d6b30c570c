"""What differing features cost: AUC, log loss and calibration, step by step, with intervals."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.gates import curves, measures

RESAMPLES = 200
CONFIDENCE = 0.9

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Priced:
    """Prices.

    Attributes:
        total: measures as served and as trained, their difference with an interval, the rows; or
            `why` there is none.
        steps: by step's name what mending it changes.
    """

    total: dict[str, Any]
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def none(cls, why: str) -> Priced:
        """No price, and why."""
        return cls({"why": why})


def price(labels: npt.NDArray[np.bool_], scores: Sequence[tuple[str, Floats]]) -> Priced:
    """Price each state against the one before it, and the last against the first.

    Args:
        labels: bool [n].
        scores: name and float64 [n] of each state: as served, as the store stood, after each step,
            as training sees it.
    """
    steps = {
        name: _difference(labels, after, before)
        for (_, before), (name, after) in itertools.pairwise(scores)
    }
    served, trained = scores[0][1], scores[-1][1]
    total = {
        "rows": len(labels),
        "positives": int(labels.sum()),
        "served": _measures(labels, served),
        "training": _measures(labels, trained),
        **_difference(labels, trained, served),
    }
    return Priced(total, steps)


def _measures(labels: npt.NDArray[np.bool_], scores: Floats) -> dict[str, Any]:
    interval = curves.auc_interval(labels, scores, confidence=CONFIDENCE)
    return {
        "auc": measures.auc(labels, scores),
        "auc_interval": list(interval) if interval else None,
        "logloss": measures.logloss(labels, scores),
        "calibration_ratio": measures.calibration_ratio(labels, scores),
    }


def _difference(labels: npt.NDArray[np.bool_], after: Floats, before: Floats) -> dict[str, Any]:
    """How much better `after` is; the interval is of the paired bootstrap."""
    found = measures.paired_bootstrap(
        labels, after, before, resamples=RESAMPLES, confidence=CONFIDENCE
    )
    gaps = [measures.calibration_ratio(labels, one) for one in (after, before)]
    calibration = None if gaps[0] is None or gaps[1] is None else gaps[0] - gaps[1]
    if found is None:
        return {"auc": None, "logloss": None, "calibration_ratio": calibration}
    return {
        name: {"difference": one.difference, "low": one.low, "high": one.high}
        for name, one in (("auc", found.auc), ("logloss", found.logloss))
    } | {"calibration_ratio": calibration, "confidence": CONFIDENCE}

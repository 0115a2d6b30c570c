"""Is the new release worse than the old one? A test that may be asked after every label.

Both releases score the same requests; as labels mature, their scores are compared. The test is an
e-process: the wealth of a bettor who bets against "the new release is not worse". Were that true,
the chance that the wealth ever reaches 1/alpha is at most alpha (Ville's inequality), however often
one looks. Bets are those on the mean of a bounded variable (Waudby-Smith and Ramdas, "Estimating
means of bounded random variables by betting", JRSS B 2024), a mixture over stakes.

Two games are played, and their wealth is averaged, which is an e-process again:

- **AUC**: for each positive, the share of the negatives since the positive before that the old
  release ranks below it, less the new release's. Its mean is the loss of AUC. No negative is used
  twice, so that positives are independent given the scores.
- **log loss**: over the same rows, the new release's log loss less the old one's, clipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.gates.measures import EPSILON

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

STAKES = np.array([0.99, 0.7, 0.4, 0.2, 0.1, 0.03])
"""Shares of the wealth that are bet."""

WEIGHTS = np.array([0.35, 0.25, 0.2, 0.1, 0.06, 0.04])
"""Of the stakes; small losses need small stakes and much time, large ones should be seen soon."""

CLIP = 2.0
"""Log loss differences of a positive and its negatives are clipped to this, in nats."""


def game(losses: Floats) -> Floats:
    """Log wealth after each of a series of losses.

    Args:
        losses: float64 [..., n] in [-1, 1]; positive where the new release did worse.

    Returns:
        float64 [..., n]: log wealth of the mixture, after each.
    """
    logs = np.stack([np.cumsum(np.log1p(stake * losses), axis=-1) for stake in STAKES])
    return _mixed(logs)


def _mixed(logs: Floats) -> Floats:
    top = logs.max(axis=0)
    weights = WEIGHTS.reshape((-1,) + (1,) * (logs.ndim - 1))
    return np.asarray(top + np.log((weights * np.exp(logs - top)).sum(axis=0)))


def both(auc_losses: Floats, log_losses: Floats) -> Floats:
    """Log wealth of both games together, after each positive.

    Args:
        auc_losses: float64 [..., n], from `losses`.
        log_losses: float64 [..., n], from `losses`.
    """
    return np.asarray(np.logaddexp(game(auc_losses), game(log_losses)) - np.log(2.0))


def losses(labels: Bools, new: Floats, old: Floats) -> tuple[Floats, Floats, int]:
    """What each positive gives to the two games.

    Args:
        labels: bool [n], in the order in which the labels matured.
        new: float64 [n], scores of the new release.
        old: float64 [n], scores of the old release for the same rows.

    Returns:
        float64 [p] each, in [-1, 1]: AUC lost, and clipped log loss lost, of each positive with a
        negative since the positive before it; and how many rows there are up to the last
        positive. The rows after it wait for the next one.
    """
    at = np.flatnonzero(labels)
    if not len(at):
        return np.empty(0), np.empty(0), 0
    end = int(at[-1]) + 1
    group = np.searchsorted(at, np.arange(end))  # the positive that each row comes with
    negatives = ~labels[:end]
    count = np.bincount(group[negatives], minlength=len(at))
    there = count > 0

    def below(scores: Floats) -> Floats:
        """Sum of each positive's negatives that lie below it, ties half."""
        mine, its = scores[:end][negatives], scores[at][group[negatives]]
        ranked = (mine < its) + 0.5 * (mine == its)
        return np.bincount(group[negatives], weights=ranked, minlength=len(at)).astype(float)

    auc_lost = (below(old) - below(new))[there] / count[there]
    gap = (_logloss(labels, new) - _logloss(labels, old))[:end]
    log_lost = np.clip(np.bincount(group, weights=gap), -CLIP, CLIP)[there] / CLIP
    return auc_lost, log_lost, end


def _logloss(labels: Bools, scores: Floats) -> Floats:
    p = np.clip(scores, EPSILON, 1.0 - EPSILON)
    return np.asarray(-np.log(np.where(labels, p, 1.0 - p)))


@dataclass
class Comparison:
    """A comparison that goes on from night to night.

    Attributes:
        alpha: chance of ever withdrawing a release that is not worse, at most.
        positives: matured positives so far.
        evidence: the greatest wealth so far; 1/alpha withdraws.
        auc_lost: mean loss of AUC so far.
    """

    alpha: float = 0.01
    positives: int = 0
    auc_lost: float = 0.0
    evidence: float = 1.0
    _auc: Floats = field(default_factory=lambda: np.zeros(len(STAKES)))
    _log: Floats = field(default_factory=lambda: np.zeros(len(STAKES)))
    _rest: list[tuple[float, float]] = field(default_factory=list)

    @property
    def worse(self) -> bool:
        """Whether the new release is shown to be worse."""
        return self.evidence >= 1.0 / self.alpha

    def update(self, labels: Bools, new: Floats, old: Floats) -> None:
        """Take rows whose labels have matured, each once, in the order of their maturity.

        Args:
            labels: bool [n].
            new: float64 [n], scores of the new release.
            old: float64 [n], scores of the old release.

        Raises:
            ValueError: the three differ in length, or a score is not a probability.
        """
        if not len(labels) == len(new) == len(old):
            raise ValueError("labels and scores differ in length")
        for scores in (new, old):
            if len(scores) and not (
                np.isfinite(scores).all() and 0 <= scores.min() <= scores.max() <= 1
            ):
                raise ValueError("a score is not a probability")
        waiting = np.array(self._rest, dtype=float).reshape(-1, 2)
        truth = np.concatenate([np.zeros(len(waiting), dtype=bool), labels])
        ours, theirs = (
            np.concatenate([waiting[:, n], scores]) for n, scores in ((0, new), (1, old))
        )
        auc, log, used = losses(truth, ours, theirs)
        self._rest = list(zip(ours[used:].tolist(), theirs[used:].tolist(), strict=True))
        if not len(auc):
            return
        one, other = (
            before[:, None] + np.cumsum(np.log1p(STAKES[:, None] * lost), axis=1)
            for before, lost in ((self._auc, auc), (self._log, log))
        )
        self._auc, self._log = one[:, -1], other[:, -1]
        wealth = float((np.logaddexp(_mixed(one), _mixed(other)) - np.log(2.0)).max())
        self.evidence = max(self.evidence, float(np.exp(min(wealth, 700.0))))
        total = self.positives * self.auc_lost + float(auc.sum())
        self.positives += len(auc)
        self.auc_lost = total / self.positives

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {
            "alpha": self.alpha,
            "positives": self.positives,
            "auc_lost": self.auc_lost,
            "evidence": self.evidence,
            "auc": self._auc.tolist(),
            "log": self._log.tolist(),
            "rest": [list(pair) for pair in self._rest],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Comparison:
        """A comparison that was put away."""
        return cls(
            alpha=float(value["alpha"]),
            positives=int(value["positives"]),
            auc_lost=float(value["auc_lost"]),
            evidence=float(value["evidence"]),
            _auc=np.asarray(value["auc"], dtype=float),
            _log=np.asarray(value["log"], dtype=float),
            _rest=[(float(a), float(b)) for a, b in value["rest"]],
        )

"""Releases whose faults are known, and the judge that the monitor asks about them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa

from nightshift.monitoring import sequential
from nightshift.monitoring.constant import ROWS
from nightshift.monitoring.judge import Judge, Recent

NEGATIVES = 40
AUC = 0.76


def games(
    seed: int, *, loss: float, runs: int, positives: int, noise: float
) -> tuple[sequential.Floats, sequential.Floats]:
    """Losses, float64 [runs, positives] each, of calibrated scores of two releases.

    Both see one latent quality of each row; the old release with `noise` on it, the new one with
    so much of its own that its AUC is less by `loss` (with as much where that is 0). Each
    positive comes with 40 negatives.
    """
    rng = np.random.default_rng(seed)
    normal = NormalDist()
    apart_old, apart_new = (normal.inv_cdf(auc) * 2**0.5 for auc in (AUC, AUC - loss))
    apart = apart_old * (1 + noise**2) ** 0.5
    more = ((apart / apart_new) ** 2 - 1) ** 0.5
    shape = (runs, positives, NEGATIVES + 1)
    latent = rng.standard_normal(shape, dtype=np.float32)
    latent[..., 0] += apart

    def seen(deviation: float) -> Any:
        spread = (1 + deviation**2) ** 0.5
        noisy = latent + np.float32(deviation) * rng.standard_normal(shape, dtype=np.float32)
        by = apart / spread
        return np.log(1 / NEGATIVES) + by * noisy / spread - by * by / 2

    def logloss(logit: Any) -> Any:
        return np.logaddexp(0, -logit[..., 0]) + np.logaddexp(0, logit[..., 1:]).sum(-1)

    old, new = seen(noise), seen(more)
    auc = (old[..., :1] > old[..., 1:]).mean(-1) - (new[..., :1] > new[..., 1:]).mean(-1)
    log = np.clip(logloss(new) - logloss(old), -sequential.CLIP, sequential.CLIP)
    return auc.astype(float), log.astype(float) / sequential.CLIP


def ends(wealth: sequential.Floats, alpha: float = 0.01) -> sequential.Floats:
    """When each run is withdrawn: the number of positives, or infinity."""
    hit = wealth >= np.log(1 / alpha)
    return np.where(hit.any(-1), hit.argmax(-1) + 1.0, np.inf)


FEATURES = 12
"""Features of a simulated request; each has a few values."""


@dataclass(frozen=True)
class End:
    """How a release's life ended: withdrawn for a reason, or not.

    Attributes:
        reason: empty where it was not withdrawn.
        positives: matured positives up to then.
        requests: requests up to then.
    """

    reason: str
    positives: int
    requests: int


def life(
    seed: int,
    *,
    loss: float = 0.0,
    noise: float = 0.25,
    recalibrated: bool = True,
    positives: int = 1000,
    constant: int = 0,
    every: int = 500,
) -> End:
    """One release's life, from its first request to its withdrawal or its end.

    One request in 41 is a positive. Both releases see one latent quality of each request, the old
    one with `noise` on it, the new one with so much of its own that its AUC is less by `loss`.

    Args:
        seed: of the life.
        loss: of AUC.
        noise: deviation of the old release's noise, in units of the latent quality's.
        recalibrated: whether the new release knows of its noise; otherwise its scores are those
            of a sound model on wrong features.
        positives: of the life, on average.
        constant: so many features have one value.
        every: requests between two looks.
    """
    rng = np.random.default_rng(seed)
    normal = NormalDist()
    rows = positives * (NEGATIVES + 1)
    labels = rng.random(rows) < 1 / (NEGATIVES + 1)
    apart_old, apart_new = (normal.inv_cdf(auc) * 2**0.5 for auc in (AUC, AUC - loss))
    apart = apart_old * (1 + noise**2) ** 0.5
    more = ((apart / apart_new) ** 2 - 1) ** 0.5
    latent = rng.standard_normal(rows) + apart * labels

    def scores(deviation: float, known: float) -> sequential.Floats:
        spread = (1 + known**2) ** 0.5
        by = apart / spread
        noisy = latent + deviation * rng.standard_normal(rows)
        return np.asarray(1 / (1 + np.exp(-(by * noisy / spread - by * by / 2)) * NEGATIVES))

    old = scores(noise, noise)
    new = scores(more, more if recalibrated else noise)
    judge = Judge("new", "old", {f"f{n}": 0.3 for n in range(FEATURES)})
    values = rng.integers(0, 5, (FEATURES, ROWS))
    values[:constant] = 1
    seen = pa.table({f"f{n}": values[n] for n in range(FEATURES)})
    for first in range(0, rows, every):
        end = min(first + every, rows)
        part, newest = slice(first, end), slice(max(0, end - ROWS), end)
        judge.compare(labels[part], new[part], old[part])
        judge.look(
            Recent(
                features=seen.slice(0, end - newest.start),
                scores=new[newest],
                failed=np.zeros(end - newest.start, dtype=bool),
                pairs=np.column_stack([new[newest], old[newest]]),
            )
        )
        if judge.reasons:
            return End(judge.reasons[0], judge.comparison.positives, end)
    return End("", judge.comparison.positives, rows)

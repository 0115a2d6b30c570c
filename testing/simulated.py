"""Scores of two releases whose AUCs are known, for the sequential test."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np

from nightshift.monitoring import sequential

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

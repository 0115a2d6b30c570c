"""What a training's figures say to the person who reads them, and what to try."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.ctr.train.checkpoint import Progress
from tasks.ctr.train.hyperparameters import Hyperparameters


def of(
    progress: Progress, chosen: Hyperparameters, compared: Mapping[str, Any] | None
) -> list[str]:
    """Warnings for the model card and the report.

    Args:
        progress: of the ended training.
        chosen: its hyper-parameters.
        compared: what `tasks.ctr.train.baseline.compare` gave, or None.
    """
    found = []
    epochs = len(progress.history)
    best = 1 + (0 if progress.best_epoch is None else progress.best_epoch)
    if epochs > 1 and best <= 1:
        what = (
            "no epoch is surely better than the start" if best == 0 else "overfits from epoch 1 on"
        )
        found.append(
            f"best epoch {best} of {epochs}: {what}; try a lower learning_rate, "
            "a higher l2_embedding or dropout, a smaller embedding_dim or hidden, a higher "
            "min_count, or more train_days"
        )
    elif best == epochs == chosen.epochs and epochs > 1:
        found.append(
            f"best epoch {best} of {epochs}, the last one allowed: still learning; raise epochs"
        )
    gap = (compared or {}).get("auc_difference")
    if gap and gap["high"] < 0:
        found.append(
            f"worse than a logistic regression on the same rows: AUC {gap['difference']:+.4f}, "
            f"{gap['confidence']:.0%} interval [{gap['low']:+.4f}, {gap['high']:+.4f}]; serve "
            "family lr, or see the advice on overfitting"
        )
    return found

"""What each feature is worth to a model: permutation importance on held-out rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.ctr.train import metrics
from tasks.ctr.train.dataset import Dataset
from tasks.ctr.train.inputs import Tensors
from tasks.ctr.train.metrics import Scores

Score = Callable[[Tensors], Scores]


def permutation(data: Dataset, score: Score, most: int, seed: int) -> list[dict[str, Any]]:
    """The loss of AUC and of logloss when one feature's values are shuffled among the rows.

    Breiman 2001, "Random Forests". All inputs of a feature (a number's bins, a text's tokens) are
    shuffled together. Features that say the same share what they are worth.

    Args:
        data: its test rows are looked at.
        score: the model.
        most: rows looked at, at most, evenly spaced; 0: none, and nothing is measured.
        seed: of the shuffles.

    Returns:
        One entry a feature, most important first: `feature`, `auc_loss` (None where undefined),
        `logloss_gain`.
    """
    if not most:
        return []
    split = data.splits["test"].sample(most)
    before = score(split.tensors)
    auc, loss = metrics.auc(split.labels, before), metrics.logloss(split.labels, before)
    found = []
    for at, field in enumerate(data.inputs.fields):
        rng = np.random.Generator(np.random.PCG64([seed, 4, at]))
        after = score(_shuffled(data, split.tensors, field.name, rng.permutation(len(split))))
        worse = metrics.auc(split.labels, after)
        found.append(
            {
                "feature": field.name,
                "auc_loss": None if auc is None or worse is None else auc - worse,
                "logloss_gain": metrics.logloss(split.labels, after) - loss,
            }
        )
    return sorted(found, key=lambda item: -(item["auc_loss"] or item["logloss_gain"]))


def _shuffled(data: Dataset, x: Tensors, name: str, order: npt.NDArray[np.int64]) -> Tensors:
    rows = x.rows.copy()
    weights = None if x.weights is None else x.weights.copy()
    dense = None if x.dense is None else x.dense.copy()
    for group in data.inputs.groups:
        if group.name.removesuffix("/bin") == name:
            columns = slice(group.first, group.first + group.width)
            rows[:, columns] = rows[order, columns]
            if weights is not None:
                weights[:, columns] = weights[order, columns]
    if dense is not None and name in data.inputs.numbers:
        number = data.inputs.numbers.index(name)
        dense[:, number] = dense[order, number]
    return Tensors(rows, weights, dense)

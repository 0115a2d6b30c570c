"""What each feature is worth to a model: permutation importance on held-out rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.features.encoding import Ids
from tasks.ctr.train import metrics
from tasks.ctr.train import trees as boosted
from tasks.ctr.train.dataset import Dataset
from tasks.ctr.train.inputs import Tensors
from tasks.ctr.train.metrics import Scores

Score = Callable[[Tensors], Scores]


def permutation(
    data: Dataset, score: Score, most: int, seed: int, encoded: Ids | None = None
) -> list[dict[str, Any]]:
    """The loss of AUC and of logloss when one feature's values are shuffled among the rows.

    Breiman 2001, "Random Forests". All inputs of a feature (a number's bins, a text's tokens) are
    shuffled together. Features that say the same share what they are worth.

    Args:
        data: its test rows are looked at.
        score: the model.
        most: rows looked at, at most, evenly spaced; 0: none, and nothing is measured.
        seed: of the shuffles.
        encoded: the encoded rows that are looked at, int64 [k, width]; needed where the model has
            trees, whose logit changes with what is shuffled.

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
        order = rng.permutation(len(split))
        shuffled = _shuffled(data, split.tensors, field.name, order)
        if data.inputs.trees is not None:
            assert encoded is not None
            shuffled = _climbed(data, shuffled, encoded, field.name, order)
        after = score(shuffled)
        worse = metrics.auc(split.labels, after)
        found.append(
            {
                "feature": field.name,
                "auc_loss": None if auc is None or worse is None else auc - worse,
                "logloss_gain": metrics.logloss(split.labels, after) - loss,
            }
        )
    return sorted(found, key=lambda item: -(item["auc_loss"] or item["logloss_gain"]))


def _climbed(
    data: Dataset, x: Tensors, encoded: Ids, name: str, order: npt.NDArray[np.int64]
) -> Tensors:
    """The trees' logit, the last number, of rows in which one feature is shuffled."""
    trees = data.inputs.trees
    assert trees is not None and x.weights is not None and x.dense is not None
    columns = {at: encoded[:, at] for at in range(encoded.shape[1])}
    for at in data.inputs.columns_of(name):
        columns[at] = encoded[order, at]
    value = data.inputs.statistics[boosted.NAME].apply(trees.score(columns, len(encoded)))
    weights, dense = x.weights.copy(), x.dense.copy()
    weights[:, -1] = dense[:, -1] = value
    return Tensors(x.rows, weights, dense)


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

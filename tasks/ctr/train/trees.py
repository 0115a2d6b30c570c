"""Boosted trees whose logit is one more number of the network's input.

He et al. 2014, "Practical Lessons from Predicting Clicks on Ads at Facebook": trees find thresholds
and their products in numbers, which a linear or a deep model learns slowly from few positives; a
model of ids learns what trees cannot. The network takes the sum of the trees' leaves, a logit, as it
takes any number. Trees see numbers as they are, and of each id one number: how much more often than
all rows those of the id are positive (`tree_inputs`). They are the mean of two forests, grown on
rates of two splits into folds.

A row must not be told its own label: for the training rows the number comes from trees that were
grown without them (Wolpert 1992, "Stacked Generalization"), and the rates that trees are grown on
are of rows of other folds. Every other row, in validation, in the test and in service, gets the
number of the trees that the model keeps, by this module alone.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.errors import ContractError
from nightshift.features.encoding import Ids
from nightshift.features.specification import Field
from tasks.ctr.train import metrics
from tasks.ctr.train.tree_inputs import (
    FOLDS,
    Columns,
    Doubles,
    Folds,
    Labels,
    Rates,
    Seen,
    matrix,
    numbers,
)

Floats = npt.NDArray[np.float32]

NAME = "(trees)"
"""The input's name; no column of a query can have it."""

FORESTS = 2
"""Whose mean is taken, so that the split into folds, which is chance, matters less."""

MOST_TREES = 300
MOST_ROWS = 1_000_000
"""Of more training rows, evenly spaced ones grow the trees."""

RARER = 200
"""Trees need so many training rows of the rarer class."""

_RATE = 0.06
_PATIENCE = 20
_CHUNK = 4096
_AGREE = 1e-6


@dataclass(frozen=True)
class Trees:
    """Grown trees as arrays; nodes of all trees side by side, children by their place.

    Attributes:
        columns: of `Seen`, as the next four are.
        is_id: of `Seen`.
        ids: of `Seen`.
        starts: of `Seen`.
        rates: of `Seen`.
        roots: int32 [trees].
        depth: int32 [1], the longest way to a leaf.
        feature: int32 [nodes], the input that a node looks at.
        threshold: float64 [nodes]: a number up to it goes left.
        left: int32 [nodes]; a leaf is its own child.
        right: int32 [nodes].
        missing_left: bool [nodes]: where a missing number goes.
        value: float64 [nodes], a leaf's part of the logit.
        base: float64 [1], added to every sum.
    """

    columns: npt.NDArray[np.int32]
    is_id: npt.NDArray[np.bool_]
    ids: Ids
    starts: npt.NDArray[np.int32]
    rates: Doubles
    roots: npt.NDArray[np.int32]
    depth: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    threshold: Doubles
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    missing_left: npt.NDArray[np.bool_]
    value: Doubles
    base: Doubles

    def __len__(self) -> int:
        return len(self.roots)

    def score(self, columns: Columns, count: int) -> Floats:
        """Logits float32 [n] of encoded columns; a row's bits do not depend on its batch."""
        seen = Seen(self.columns, self.is_id, self.ids, self.starts, self.rates)
        inputs = matrix(columns, count, seen)
        found = np.empty(count, dtype=np.float32)
        for at in range(0, count, _CHUNK):
            found[at : at + _CHUNK] = self._sums(inputs[at : at + _CHUNK])
        return found

    def _sums(self, inputs: Doubles) -> Floats:
        """A row goes down all trees at once, a level a turn."""
        rows = np.arange(len(inputs))[:, None]
        node = np.broadcast_to(self.roots, (len(inputs), len(self.roots)))
        for _ in range(int(self.depth[0])):
            values = inputs[rows, self.feature[node]]
            with np.errstate(invalid="ignore"):
                goes = values <= self.threshold[node]
            goes = np.where(np.isnan(values), self.missing_left[node], goes)
            node = np.where(goes, self.left[node], self.right[node])
        sums: Doubles = self.value[node].sum(axis=1) + self.base[0]
        return sums.astype(np.float32)

    def save(self, path: Path) -> None:
        """Write an `.npz`."""
        arrays: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        with path.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Trees:
        """Read what `save` wrote.

        Raises:
            ContractError: the file is absent or broken.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**{field.name: arrays[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ContractError(f"{path} holds no trees: {error}") from error


@dataclass(frozen=True)
class Grown:
    """Trees, and what they say of the rows that they were grown and chosen by.

    Attributes:
        trees: what the model keeps.
        train: float32 [training rows], by trees that did not see the row.
        valid: float32 [validation rows]; empty without them.
    """

    trees: Trees
    train: Floats
    valid: Floats


def grow(
    spec_fields: Sequence[Field],
    train: Columns,
    labels: Labels,
    valid: tuple[Columns, Labels] | None,
    *,
    most: int,
    seed: int,
) -> Grown | None:
    """Grow trees on the training rows, as many as the validation rows are better for.

    Args:
        spec_fields: the specification's fields.
        train: encoded columns of the training rows.
        labels: int8 [n].
        valid: encoded columns and labels, int8 [m], of the validation rows; None: `most` trees.
        most: trees at most.
        seed: of the folds.

    Returns:
        None where there is too little to grow them of: one class, few positives, no column.

    Raises:
        ContractError: scikit-learn's trees and ours disagree.
    """
    rarer = min(int(np.count_nonzero(labels)), int(np.count_nonzero(labels == 0)))
    if rarer < RARER:
        return None
    if valid is not None and not 0 < np.count_nonzero(valid[1]) < len(valid[1]):
        return None
    learned = Rates.of(spec_fields, train, labels)
    seen = learned.seen()
    if not len(seen.columns):
        return None
    held = None if valid is None else (matrix(valid[0], len(valid[1]), seen), valid[1])
    taken = np.arange(len(labels))
    if len(taken) > MOST_ROWS:
        taken = np.linspace(0, len(labels) - 1, MOST_ROWS).astype(np.int64)
    x = numbers(train, len(labels), seen)
    forests = []
    for each in range(min(FORESTS, most)):
        learned.put(x, _folds(seed, each, len(labels)))
        size = (most + each) // min(FORESTS, most)
        forests.append(_fitted(x[taken], labels[taken], rarer, size, held, each))
    trees = _arrays(forests, seen)
    if valid is None or held is None:
        compared = min(len(labels), _CHUNK)
        first = _First(train, compared)
        scores, known = trees.score(first, compared), matrix(first, compared, seen)
    else:
        scores, known = trees.score(valid[0], len(valid[1])), held[0]
    theirs = np.mean([forest.decision_function(known) for forest in forests], axis=0)
    worst = float(np.abs(scores - theirs).max(initial=0.0))
    if not worst <= _AGREE * max(1.0, float(np.abs(theirs).max(initial=0.0))):
        raise ContractError(
            f"trees score {worst:g} otherwise than scikit-learn's own; this version of it keeps "
            "them in another way. Set trees: 0, or install the version of tasks/uv.lock"
        )
    folds = _folds(seed, 0, len(labels))
    size = max(1, round(len(trees) / len(forests)))
    found = np.empty(len(labels), dtype=np.float32)
    for fold in range(FOLDS):
        grown = taken[folds[taken] != fold]
        out = folds == fold
        if len(np.unique(labels[grown])) < 2:
            return None
        learned.put(x, folds, without=fold)
        part = _fitted(x[grown], labels[grown], rarer, size, None, 0)
        found[out] = part.decision_function(x[out])
    return Grown(trees, found, scores if valid is not None else np.empty(0, np.float32))


def _folds(seed: int, forest: int, count: int) -> Folds:
    rng = np.random.Generator(np.random.PCG64([seed, 5, forest] if forest else [seed, 5]))
    return rng.integers(0, FOLDS, count)


class _First:
    """The first rows of encoded columns."""

    def __init__(self, columns: Columns, count: int) -> None:
        self._columns, self._count = columns, count

    def __getitem__(self, at: int) -> Any:
        return self._columns[at][: self._count]


def gain(plain: Doubles, trees: Floats, labels: Labels) -> tuple[float, float]:
    """What trees add to another model: the least log loss of a mixture of both logits.

    Args:
        plain: logits of the other model, float64 [n].
        trees: logits of the trees, float32 [n].
        labels: int8 [n].

    Returns:
        How much lower the mean log loss of the best mixture is, and its standard error, by pairs.
    """
    before = metrics.losses(plain, labels)
    best = (0.0, 0.0)
    for share in (0.25, 0.5, 0.75, 1.0):
        mixed = (1 - share) * plain + share * trees.astype(np.float64)
        found = metrics.mean_gap(before, metrics.losses(mixed, labels))
        if found[0] > best[0]:
            best = found
    return best


def _fitted(
    x: Doubles,
    labels: Labels,
    rarer: int,
    most: int,
    held: tuple[Doubles, Labels] | None,
    forest: int,
) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        learning_rate=_RATE,
        max_iter=most,
        max_leaf_nodes=31 if rarer >= 2000 else 15,
        max_depth=8,
        min_samples_leaf=50,
        l2_regularization=5.0,
        max_features=0.7,
        early_stopping=held is not None,
        n_iter_no_change=_PATIENCE,
        random_state=1 + forest,
    )
    if held is None:
        return model.fit(x, labels)
    model.fit(x, labels, X_val=held[0], y_val=held[1])
    # The last rounds were no better: keep those up to the best.
    best = int(np.argmax(model.validation_score_))
    del model._predictors[max(best, 1) :]
    return model


def _arrays(forests: Sequence[Any], seen: Seen) -> Trees:
    """The mean of scikit-learn's forests, by the arrays that its own prediction reads."""
    grown = [predictor.nodes for forest in forests for (predictor,) in forest._predictors]
    roots = np.cumsum([0, *(len(nodes) for nodes in grown)])
    flat = np.concatenate(grown)
    offset = np.repeat(roots[:-1], [len(nodes) for nodes in grown])
    leaf, own = flat["is_leaf"].astype(bool), np.arange(len(flat))
    bases = [np.asarray(forest._baseline_prediction).reshape(-1)[:1] for forest in forests]
    return Trees(
        *seen,
        roots=roots[:-1].astype(np.int32),
        depth=np.array([flat["depth"].max()], dtype=np.int32),
        feature=np.where(leaf, 0, flat["feature_idx"]).astype(np.int32),
        threshold=np.where(leaf, 0.0, flat["num_threshold"]),
        left=np.where(leaf, own, flat["left"] + offset).astype(np.int32),
        right=np.where(leaf, own, flat["right"] + offset).astype(np.int32),
        missing_left=flat["missing_go_to_left"].astype(bool),
        value=np.where(leaf, flat["value"] / len(forests), 0.0),
        base=np.mean(bases, axis=0, dtype=np.float64),
    )

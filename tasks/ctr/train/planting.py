"""Whether a model gets trees: grown, judged on the validation rows, kept or left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nightshift.errors import ConfigurationError
from nightshift.features.encoding import Ids
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train import dataset, defaults, trees
from tasks.ctr.train.dataset import Dataset
from tasks.ctr.train.hyperparameters import AUTO, Hyperparameters
from tasks.ctr.train.metrics import Labels
from tasks.ctr.train.serving import SavedModel
from tasks.ctr.train.trees import Grown
from tasks.entry import log

if TYPE_CHECKING:
    from tasks.ctr.train.baseline import Baseline

WITHOUT = ("lr", "ncf")
"""Families that are what they are by taking nothing else."""


def plant(
    data: Dataset,
    spec: FeatureSpec,
    asked: Hyperparameters,
    linear: Baseline | None,
    warm_start: Path | None,
    *,
    exactly: bool = False,
) -> tuple[Grown | None, int, str]:
    """Grow trees where they are asked for, or where they say more than the baseline alone.

    Args:
        data: the dataset, without trees.
        spec: its specification.
        asked: the run's hyper-parameters.
        linear: the baseline, if there is one.
        warm_start: the earlier model, whose inputs the new one must have.
        exactly: the number of trees is that of a judged training; it is not chosen anew.

    Returns:
        The trees or None, how many there are, and why; an empty reason where the number was given.
    """
    most, auto = asked.trees, asked.trees == AUTO
    if auto:
        if asked.family in WITHOUT:
            return None, 0, f"the family {asked.family} takes none"
        most = trees.MOST_TREES
        if warm_start is not None and SavedModel.load(warm_start).inputs.trees is None:
            return None, 0, "the model that training begins from has none"
    if not most:
        return None, 0, ""
    if asked.block_rows:
        if auto:
            return None, 0, "the data is read in blocks, and trees need all of it at once"
        raise ConfigurationError(
            f"trees is {most} and block_rows {asked.block_rows}: trees need all rows in memory; set "
            "one of the two to 0"
        )
    grown = dataset.grow_trees(data, spec, most, asked.seed, exactly=exactly)
    if grown is None:
        return None, 0, "there is too little to grow trees of"
    count = len(grown.trees)
    if not auto or warm_start is not None:
        return grown, count, "" if not auto else "the model that training begins from has trees"
    valid = data.splits["valid"]
    if linear is None:
        rate = float(np.clip(data.splits["train"].labels.mean(), 1e-6, 1 - 1e-6))
        before = np.full(len(valid), np.log(rate / (1 - rate)))
    else:
        before = linear.logits(valid.tensors)
    better, error = trees.gain(before, grown.valid, valid.labels)
    figures = f"mixed with {count} trees, the baseline's validation log loss falls by {better:.2g}"
    if better <= (0.0 if _weighed(asked, linear, valid.labels) else error):
        log(f"no trees: {figures}, no more than its standard error {error:.2g}")
        return None, 0, f"{figures}, no more than its standard error {error:.2g}"
    log(f"{count} trees: {figures}, standard error {error:.2g}")
    return grown, count, f"{figures}, standard error {error:.2g}"


def _weighed(asked: Hyperparameters, linear: Baseline | None, labels: Labels) -> bool:
    """Whether a mean is served, which gives trees that say little a small weight."""
    return (
        linear is not None
        and asked.family in defaults.MIXED
        and asked.linear_start in (AUTO, "validation", "baseline")
        and defaults.judges_of(labels) >= defaults.JUDGES
    )


def looked_at(data: Dataset, spec: FeatureSpec, most: int) -> Ids | None:
    """Encoded test rows whose features' importance is measured; None where nobody asks."""
    if data.inputs.trees is None or not most:
        return None
    path = data.folder / data.card["splits"]["test"]["file"]
    return dataset.first_ids(path, spec, data.splits["test"].places(most))

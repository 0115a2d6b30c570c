"""Whether numbers keep ranks with bins beside them: judged on the validation rows by the baseline.

A bin is a weight and an embedding of its own. Where numbers bend, bins find how; where very many
columns each say a little, in a straight line, they learn noise, and nothing after them unlearns it.
The other way to take a number is on its own scale, without bins.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tasks.ctr.train import baseline, metrics
from tasks.ctr.train import trees as boosted
from tasks.ctr.train.baseline import Baseline
from tasks.ctr.train.dataset import Dataset
from tasks.ctr.train.defaults import TWICE_ROWS
from tasks.ctr.train.hyperparameters import AUTO, Hyperparameters
from tasks.ctr.train.inputs import Inputs
from tasks.ctr.train.serving import SavedModel
from tasks.entry import log


def choose(
    data: Dataset,
    asked: Hyperparameters,
    linear: Baseline | None,
    warm_start: Path | None,
    load: Callable[[], Dataset],
) -> tuple[Dataset, Baseline | None, str]:
    """Take numbers as straight lines where the baseline is better so.

    Args:
        data: the dataset, with the bins that its rows give.
        asked: the run's hyper-parameters.
        linear: the baseline, if there is one.
        warm_start: the earlier model, whose inputs the new one must have.
        load: gives the dataset without bins, its numbers on their own scale.

    Returns:
        The dataset, the baseline on it, and why there are no bins; an empty reason where nothing
        changes.
    """
    if asked.bins != AUTO or linear is None or asked.block_rows or not _has_bins(data):
        return data, linear, ""
    if warm_start is not None:
        earlier = SavedModel.load(warm_start).inputs
        if _alike(earlier, data.inputs):
            return data, linear, ""
        plain = load()
        if not _alike(earlier, plain.inputs):
            return data, linear, ""
        why = "the model that training begins from has numbers as straight lines"
        return plain, baseline.fit(plain, linear.strength), why
    valid = data.splits["valid"]
    if len(data.splits["train"]) > TWICE_ROWS or not 0 < np.count_nonzero(valid.labels) < len(
        valid
    ):
        return data, linear, ""
    plain = load()
    other = baseline.fit(plain)
    better, error = metrics.mean_gap(
        metrics.losses(linear.logits(valid.tensors), valid.labels),
        metrics.losses(other.logits(plain.splits["valid"].tensors), valid.labels),
    )
    if better <= 0:
        return data, linear, ""
    why = (
        f"the baseline's validation log loss is {better:.2g} lower with numbers as straight lines, "
        f"standard error {error:.2g}"
    )
    log(f"no bins: {why}")
    return plain, other, why


def _has_bins(data: Dataset) -> bool:
    """Whether the specification left any bins to training."""
    return any(
        field.number and field.number.bins == AUTO and data.inputs.statistics[field.name].edges
        for field in data.inputs.fields
    )


def _alike(one: Inputs, other: Inputs) -> bool:
    """Whether both take the same numbers in the same way, trees aside."""
    ways = [
        (
            [name for name in inputs.part_names if name != boosted.NAME],
            {
                name: found.transform
                for name, found in inputs.statistics.items()
                if name != boosted.NAME
            },
        )
        for inputs in (one, other)
    ]
    return ways[0] == ways[1]

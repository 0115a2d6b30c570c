"""Whether numbers keep the bins beside them: judged on the validation rows by the baseline.

A bin is a weight and an embedding of its own. Where few numbers bend, bins find how; where very many
columns each say a little, in a straight line, they learn noise, and nothing after them unlearns it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tasks.ctr.train import baseline, metrics
from tasks.ctr.train.baseline import Baseline
from tasks.ctr.train.dataset import Dataset, Split
from tasks.ctr.train.defaults import TWICE_ROWS
from tasks.ctr.train.hyperparameters import AUTO, Hyperparameters
from tasks.ctr.train.inputs import Inputs, Tensors
from tasks.ctr.train.serving import SavedModel
from tasks.ctr.train.vocabulary import Vocabulary
from tasks.entry import log


def choose(
    data: Dataset, asked: Hyperparameters, linear: Baseline | None, warm_start: Path | None
) -> tuple[Dataset, Baseline | None, str]:
    """Leave bins out where the baseline is better without them.

    Args:
        data: the dataset, with the bins that its rows give.
        asked: the run's hyper-parameters.
        linear: the baseline, if there is one.
        warm_start: the earlier model, whose inputs the new one must have.

    Returns:
        The dataset, the baseline on it, and why there are no bins; an empty reason where nothing
        changes.
    """
    if asked.bins != AUTO or linear is None or asked.block_rows:
        return data, linear, ""
    plain = without(data)
    if plain is data:
        return data, linear, ""
    if warm_start is not None:
        if SavedModel.load(warm_start).inputs.part_names != plain.inputs.part_names:
            return data, linear, ""
        why = "the model that training begins from has none"
        return plain, baseline.fit(plain, linear.strength), why
    valid = data.splits["valid"]
    if len(data.splits["train"]) > TWICE_ROWS or not 0 < np.count_nonzero(valid.labels) < len(
        valid
    ):
        return data, linear, ""
    other = baseline.fit(plain)
    gaps = metrics.losses(linear.logits(valid.tensors), valid.labels) - metrics.losses(
        other.logits(plain.splits["valid"].tensors), valid.labels
    )
    better, error = float(gaps.mean()), float(gaps.std() / np.sqrt(len(gaps)))
    if better <= error:
        return data, linear, ""
    why = f"the baseline's validation log loss is {better:.2g} lower without, standard error {error:.2g}"
    log(f"no bins: {why}")
    return plain, other, why


def without(data: Dataset) -> Dataset:
    """The dataset without the bins that its specification leaves to training; itself if it has none.

    The same as `dataset.load` gives for no bins.
    """
    chosen = {
        field.name for field in data.inputs.fields if field.number and field.number.bins == AUTO
    }
    statistics = {
        name: replace(found, edges=()) if name in chosen else found
        for name, found in data.inputs.statistics.items()
    }
    inputs = Inputs(data.inputs.fields, statistics)
    if inputs.part_names == data.inputs.part_names:
        return data
    parts = [data.inputs.part_names.index(name) for name in inputs.part_names]
    vocabulary = Vocabulary([data.vocabulary.hashes[part] for part in parts])
    columns = [at for at, source in enumerate(data.inputs.sources) if source.part in parts]
    before = data.offsets[columns]
    now = vocabulary.offsets[[source.part for source in inputs.sources]]
    moved = (now - before).astype(np.int32)

    def taken(split: Split) -> Split:
        x = split.tensors
        weights = None if x.weights is None else np.ascontiguousarray(x.weights[:, columns])
        return Split(Tensors(x.rows[:, columns] + moved, weights, x.dense), split.labels)

    splits = {name: taken(split) for name, split in data.splits.items()}
    return replace(data, inputs=inputs, vocabulary=vocabulary, splits=splits)

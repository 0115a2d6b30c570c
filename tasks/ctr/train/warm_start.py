"""Beginning from an earlier model: what both models share is carried over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nightshift.errors import ContractError
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train.checkpoint import Arrays
from tasks.ctr.train.hyperparameters import AUTO, Hyperparameters
from tasks.ctr.train.inputs import Inputs
from tasks.ctr.train.models.base import Plan
from tasks.ctr.train.serving import SavedModel
from tasks.ctr.train.vocabulary import Vocabulary
from tasks.entry import log


def sizes(folder: Path, asked: Hyperparameters) -> dict[str, Any]:
    """The widths of an earlier model that the hyper-parameters leave open.

    Args:
        folder: the earlier model's folder.
        asked: the run's hyper-parameters.
    """
    held = SavedModel.load(folder).network["architecture"]
    return {
        name: held[name] for name in ("embedding_dim", "hidden") if getattr(asked, name) == AUTO
    }


def carry_over(
    folder: Path,
    fresh: Arrays,
    plan: Plan,
    inputs: Inputs,
    vocabulary: Vocabulary,
    spec: FeatureSpec,
) -> Arrays:
    """Fresh parameters with an earlier model's put in.

    Ids that both models know keep their embedding; an id that only the new one knows begins as
    the field's out-of-vocabulary row; the other weights are taken as they are. A number's value
    row and bins are carried over as they are: they follow its distribution.

    Args:
        folder: the earlier model's folder.
        fresh: parameters of the new network, by name.
        plan: the new network's parameters.
        inputs: of the new network.
        vocabulary: of the new network.
        spec: the new run's specification.

    Raises:
        ContractError: the earlier model is of other features or of another architecture.
    """
    old = SavedModel.load(folder)
    if not spec.accepts(old.network["schema_hash"]):
        raise ContractError(
            f"the model in {folder} was trained on other features (schema "
            f"{old.network['schema_hash'][:12]}, now {spec.schema_hash[:12]}); train without a "
            "warm start"
        )
    family = old.network["architecture"].get("family", "deepfm")
    if old.inputs.part_names != inputs.part_names:
        raise ContractError(
            f"the model in {folder} has other inputs (the bins of some number came or went); train "
            "without a warm start, or set bins"
        )
    tables = {name for name, weight in plan.items() if weight.table}
    for name, values in fresh.items():
        here = values.shape[1:] if name in tables else values.shape
        there = old.parameters[name].shape if name in old.parameters else None
        if there is not None and name in tables:
            there = there[1:]
        if here != there:
            raise ContractError(
                f"the model in {folder} is a {family} with {name} of shape {there}, and the "
                f"hyper-parameters give {here}; keep family, embedding_dim and hidden, or train "
                "without a warm start"
            )
    known = 0
    carried = dict(fresh)
    came_from = np.empty(vocabulary.num_rows, dtype=np.int64)
    for position, hashes in enumerate(vocabulary.hashes):
        offset = int(vocabulary.offsets[position])
        rows = old.vocabulary.rows_of_field(position, hashes)
        known += int((rows != old.vocabulary.offsets[position]).sum())
        came_from[offset] = old.vocabulary.offsets[position]
        came_from[offset + 1 : offset + 1 + len(hashes)] = rows
    for name in fresh:
        carried[name] = old.parameters[name][came_from] if name in tables else old.parameters[name]
    log(f"begins from {folder}: {known} of {vocabulary.num_rows - vocabulary.num_fields} ids known")
    return carried

"""Values of the hyper-parameters that are `auto`: from the data's size and sparseness.

`bench/strangers.py` measures them on data sets that they were not chosen on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nightshift.errors import ConfigurationError
from tasks import blas
from tasks.ctr.train.hyperparameters import AUTO, Hyperparameters
from tasks.ctr.train.inputs import Group, Inputs

if TYPE_CHECKING:
    from tasks.ctr.train.dataset import Dataset
    from tasks.ctr.train.metrics import Labels


MIN_COUNT = 2
"""An id seen less often in training counts as never seen."""


JUDGES = 200
"""So many validation rows of the rarer class can tell two networks apart."""

MIXED = ("deepfm", "fm", "wide_deep")
"""Families of which one network is the mean of several models (`starts`, `mixture`)."""

TWICE_ROWS = 500_000
"""Of more training rows, learning twice takes too much of a night."""


def bins(rows: int, positives: int) -> int:
    """Bins of a number: a bin needs some rows of the rarer class to say anything."""
    rarer = min(positives, rows - positives)
    return int(np.clip(rarer // 50, 0, 32)) if rarer >= 200 else 0


@dataclass(frozen=True)
class Facts:
    """What the choice depends on.

    Attributes:
        rows: training rows.
        positives: of them.
        ids: ids that the model knows.
        fields: the network's fields.
        judges: validation rows of the rarer class.
    """

    rows: int
    positives: int
    ids: int
    fields: int
    judges: int = 0

    @property
    def rarer(self) -> int:
        """Rows of the rarer class, which bound what can be learned."""
        return min(self.positives, self.rows - self.positives)


def facts_of(data: Dataset) -> Facts:
    """Of a dataset's training rows."""
    labels = data.splits["train"].labels
    valid = data.splits["valid"].labels if "valid" in data.splits else labels[:0]
    ids = data.vocabulary.num_rows - data.vocabulary.num_fields
    return Facts(
        *(len(labels), int(np.count_nonzero(labels)), ids, len(data.inputs.groups)),
        judges=judges_of(valid),
    )


def judges_of(labels: Labels) -> int:
    """Rows of the rarer class among validation rows: those that can tell networks apart."""
    ones = int(np.count_nonzero(labels))
    return min(ones, len(labels) - ones)


def choose(
    chosen: Hyperparameters, facts: Facts, inputs: Inputs, strength: float | None = None
) -> tuple[Hyperparameters, dict[str, str]]:
    """Replace every `auto`.

    Args:
        chosen: the run's hyper-parameters.
        facts: of the training rows.
        inputs: the network's fields.
        strength: the C of the baseline, if there is one.

    Returns:
        Hyper-parameters without `auto`, and for each one that was chosen here the reason.

    Raises:
        ConfigurationError: a field that the family needs is not there.
    """
    found: dict[str, tuple[Any, str]] = {}
    size = f"{facts.rows} rows, {facts.rarer} of the rarer class"
    large = facts.rarer >= 20_000
    found["embedding_dim"] = (16 if large else 8, f"{size}: 16 from 20000 on, else 8")
    found["hidden"] = (
        (256, 128) if large else (64, 32),
        f"{size}: [256, 128] from 20000 on, else [64, 32]",
    )
    found["dropout"] = (0.4, "clicks are noisy: strong in every layer")
    found["oov_rate"] = (0.0, "the row of unknown ids learns from the ids rarer than min_count")
    found["min_count"] = (MIN_COUNT, "an id seen once says nothing about another row")
    found["bins"] = (
        bins(facts.rows, facts.positives),
        f"{size}: one for 50 of the rarer class, at most 32",
    )
    found["scale"] = ("rank", "ranks do not mind heavy tails")
    batch = int(np.clip(2 ** round(np.log2(max(facts.rows / 400, 1))), 64, 1024))
    found["batch_size"] = (batch, f"{facts.rows} rows: about 400 steps an epoch, 64 to 1024 rows")
    found["learning_rate"] = (
        {"adam": 1e-3, "sgd": 0.1, "adagrad": 0.02}[chosen.optimizer],
        f"usual for {chosen.optimizer}",
    )
    by_id = chosen.l2_by == "id"
    found["l2_embedding"] = (
        (100.0, "an id's embedding is worth about 100 lookups of evidence against it")
        if by_id
        else (0.02, "of each lookup")
    )
    found["l2_linear"] = (
        (1.0 / strength, f"the baseline's, 1 / C with C = {strength:g}")
        if by_id and strength is not None
        else ((3.0 if by_id else 0.0), "there is no baseline to take it from")
    )
    found["linear_start"] = _linear_start(chosen, facts)
    found["trees"] = (0, "there is too little to grow trees of")
    found["block_rows"] = (0, "the data is in memory")
    library = blas.resolve(chosen.blas)
    found["blas"] = (library, "MKL is installed" if library == blas.MKL else "MKL is not installed")
    found.update(_fields(chosen, inputs))
    given = chosen.model_dump(warnings=False)
    taken = {name: item for name, item in found.items() if given[name] == AUTO}
    values = {name: value for name, (value, _) in taken.items()}
    return chosen.replaced(values), {name: why for name, (_, why) in taken.items()}


def _linear_start(chosen: Hyperparameters, facts: Facts) -> tuple[str, str]:
    if not chosen.baseline:
        return "zero", "there is no baseline"
    if facts.judges < JUDGES:
        why = f"{facts.judges} validation rows of the rarer class are too few to choose a start by"
        return "baseline", f"{why}: from {JUDGES} on"
    if facts.rows > TWICE_ROWS:
        return "baseline", f"{facts.rows} rows are too many to learn from twice: up to {TWICE_ROWS}"
    return "validation", "the validation rows choose"


def _fields(chosen: Hyperparameters, inputs: Inputs) -> dict[str, tuple[Any, str]]:
    """The fields that some families look at, by name; an empty name where there is none."""
    ids = [group for group in inputs.groups if group.kind == "id"]
    histories = [group for group in inputs.groups if group.kind == "token"]
    ordered = [group for group in histories if group.sequence] or histories
    shares = {f.name: f.tokens.shares for f in inputs.fields if f.tokens}
    found: dict[str, tuple[Any, str]] = {
        "user_field": (ids[0].name if ids else "", "the first categorical field"),
        "item_field": (ids[1].name if len(ids) > 1 else "", "the second categorical field"),
        "history_field": (ordered[0].name if ordered else "", "the first sequence"),
    }
    history = found["history_field"][0] if chosen.history_field == AUTO else chosen.history_field
    found["target_field"] = (shares.get(history) or "", "the field that the history shares")
    return found


def options(chosen: Hyperparameters, inputs: Inputs) -> dict[str, Any]:
    """The family's own sizes, fields by their place among the network's.

    Raises:
        ConfigurationError: a field that the family needs is not there.
    """
    from tasks.ctr.train.models import FAMILIES

    taken: dict[str, Any] = {}
    for name in FAMILIES[chosen.family].takes:
        value = getattr(chosen, name)
        if name == "hidden":
            continue
        taken[name] = _place(chosen, name, inputs) if name.endswith("_field") else value
    return taken


def _place(chosen: Hyperparameters, name: str, inputs: Inputs) -> int:
    wanted = getattr(chosen, name)
    kind = "token" if name == "history_field" else "id"
    fitting: list[Group] = [group for group in inputs.groups if group.kind == kind]
    for group in fitting:
        if group.name == wanted:
            return inputs.groups.index(group)
    what = "a categorical field with split" if kind == "token" else "a categorical field"
    raise ConfigurationError(
        f"the family {chosen.family} needs {name}, {what}, and has {wanted!r}; the specification "
        f"has {', '.join(group.name for group in fitting) or 'none'}"
        + ("; give the history `shares: <the target>`" if name == "target_field" else "")
    )

"""What is checked of the hyper-parameters before a night (`nightshift.families`).

The fields that some networks look at are held against the feature specification.
"""

from __future__ import annotations

from collections.abc import Iterable

from nightshift.config.yamlfile import nearest
from nightshift.features.specification import Field
from tasks.ctr.train.hyperparameters import AUTO, Hyperparameters, load

__all__ = ["FIELDS", "OWN", "load", "on_device", "problems", "unused"]

OWN: dict[str, tuple[str, ...]] = {
    "autoint": ("hidden", "attention_layers", "attention_heads", "attention_dim"),
    "dcn": ("hidden", "cross_layers"),
    "dcnv2": ("hidden", "cross_layers", "cross_rank"),
    "din": ("hidden", "attention_hidden", "history_field", "target_field"),
    "dlrm": ("hidden", "bottom"),
    "ffm": (),
    "fm": (),
    "lr": (),
    "ncf": ("hidden", "user_field", "item_field"),
    "xdeepfm": ("hidden", "cin_layers"),
}
"""By family the settings of its own, `hidden` alone where it is not named; the families themselves
import OneFlow."""

FIELDS: dict[str, tuple[str, ...]] = {
    family: fields
    for family, names in OWN.items()
    if (fields := tuple(name for name in names if name.endswith("_field")))
}
"""By family the settings that name a field."""

_NAMED = ("user_field", "item_field", "history_field", "target_field")


def problems(chosen: Hyperparameters, fields: Iterable[Field]) -> list[tuple[str, str, str]]:
    """(setting, what is wrong, fix) of each setting whose field is not there or does not fit."""
    fields = tuple(fields)
    single = [f.name for f in fields if f.number is None and f.tokens is None]
    several = [f.name for f in fields if f.tokens is not None]
    found = []
    for setting in _NAMED:
        fitting = several if setting == "history_field" else single
        what = "a text with split" if setting == "history_field" else "a categorical field"
        value = getattr(chosen, setting)
        if value != AUTO and value not in fitting:
            hint = nearest(value, fitting).removeprefix("; ")
            known = f"such are {', '.join(fitting)}" if fitting else "the specification has none"
            found.append((setting, f"{value!r} is not {what}", hint or known))
    if found:
        return found
    found = [
        (setting, f"the family {chosen.family} finds no field for it", _HINTS[setting])
        for setting in FIELDS.get(chosen.family, ())
        if getattr(chosen, setting) == AUTO and not _by_itself(setting, chosen, fields, single)
    ]
    if chosen.family == "ncf" and not found and chosen.user_field == chosen.item_field != AUTO:
        found.append(("item_field", "is the user_field, too", "name the item's field"))
    return found


def on_device(chosen: Hyperparameters, device: str) -> list[tuple[str, str, str]]:
    """(setting, what is wrong, fix) of each setting that a device cannot train with.

    Args:
        chosen: the hyper-parameters.
        device: `cpu` or `cuda`.
    """
    found = []
    gpu = "needs a GPU, and training runs on the CPU"
    set_device = "set NIGHTSHIFT_TASK_DEVICE=cuda"
    if chosen.precision == "mixed" and device == "cpu":
        # OneFlow would compute in float32 and not say so.
        found.append(("precision", f"'mixed' {gpu}", f"{set_device}, or precision: float32"))
    if chosen.embedding_store == "one_embedding":
        memory = "embedding_store: memory"
        if device == "cpu":
            found.append(
                ("embedding_store", f"'one_embedding' {gpu}", f"{set_device}, or {memory}")
            )
        if chosen.processes > 1:
            found.append(("processes", "a store is of one process", f"processes: 1, or {memory}"))
        if chosen.optimizer == "adam" and chosen.table_step == "dense":
            found.append(("table_step", "a store's step is lazy", f"table_step: lazy, or {memory}"))
    return found


def unused(chosen: Hyperparameters) -> list[tuple[str, str, str]]:
    """(setting, why, fix) of each setting of another family that was given a value of its own."""
    own = OWN.get(chosen.family, ("hidden",))
    others = dict.fromkeys(name for names in OWN.values() for name in names if name not in own)
    defaults = Hyperparameters()
    return [
        (
            name,
            f"the family {chosen.family} does not look at it",
            "remove it, or choose a family that does: "
            + ", ".join(family for family, names in OWN.items() if name in names),
        )
        for name in others
        if getattr(chosen, name) != getattr(defaults, name)
    ]


_HINTS = {
    "user_field": "the specification needs a categorical field",
    "item_field": "the specification needs a second categorical field",
    "history_field": "the specification needs a text with split, such as "
    "{type: string, split: ',', most: 20, sequence: true, shares: item}",
    "target_field": "give the history `shares: <the target>`, or name the target here",
}


def _by_itself(
    setting: str, chosen: Hyperparameters, fields: tuple[Field, ...], single: list[str]
) -> bool:
    """Whether training finds the field, as `tasks.ctr.train.defaults` does."""
    if setting in ("user_field", "item_field"):
        return len(single) > ("user_field", "item_field").index(setting)
    several = [f for f in fields if f.tokens is not None]
    if setting == "history_field":
        return bool(several)
    ordered = [f for f in several if f.tokens and f.tokens.sequence] or several
    named = [f for f in several if f.name == chosen.history_field] or ordered
    return bool(named and named[0].tokens and named[0].tokens.shares)

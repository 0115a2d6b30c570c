"""The configurations of an experiment, and the trainings that they need."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from nightshift.experiment.config import ExperimentConfig

UNCHANGED = "as it is"
"""Name of the configuration that changes nothing: the pipeline's files."""

BASE = "base"
"""Name of the configuration that has what all have, and nothing else."""


@dataclass(frozen=True, eq=False)
class Configuration:
    """One way to train.

    Attributes:
        values: hyper-parameters that differ from the pipeline's file.
        left_out: features that the model does not see.
        factor: what is varied, where one thing is; empty for a grid.
        base: values that all configurations of the experiment begin with.
    """

    values: Mapping[str, Any]
    left_out: tuple[str, ...] = ()
    factor: str = ""
    base: Mapping[str, Any] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Configuration) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> str:
        """Twelve hex digits of all that it is."""
        text = json.dumps([dict(self.values), sorted(self.left_out)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """In words: what it changes of the base."""
        same = {key for key, value in self.base.items() if self.values.get(key) == value}
        parts = assigned({key: v for key, v in self.values.items() if key not in same})
        if self.left_out:
            parts.append(f"without {', '.join(self.left_out)}")
        return "; ".join(parts) or (BASE if self.base else UNCHANGED)

    def overrides(self) -> list[str]:
        """`key=value` texts as `tasks.ctr.train --set` takes them."""
        return assigned(self.values)


def assigned(values: Mapping[str, Any]) -> list[str]:
    """A text `key=value` for each value."""
    return [f"{key}={_short(value)}" for key, value in values.items()]


def _short(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, tuple):
        value = list(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("\n...").strip()


@dataclass(frozen=True)
class Cell:
    """One training: a configuration, a date, a seed."""

    configuration: Configuration
    ds: str
    seed: int

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.configuration.name}, {self.ds}, seed {self.seed}"


def configurations(config: ExperimentConfig) -> list[Configuration]:
    """All of a grid's configurations; the first one is what the others are compared with."""
    base = dict(config.base)
    found = [Configuration(base, base=base)]
    for key, values in config.vary.items():
        found += [Configuration({**base, key: v}, factor=key, base=base) for v in values]
    if config.grid:
        keys = list(config.grid)
        for values in itertools.product(*config.grid.values()):
            changed = {**base, **dict(zip(keys, values, strict=True))}
            found.append(Configuration(changed, base=base))
    found += [Configuration(base, tuple(names), "features", base) for names in config.leave_out]
    return unique(found)


def unique(found: Iterable[Configuration]) -> list[Configuration]:
    """Each configuration once."""
    kept: dict[str, Configuration] = {}
    for one in found:
        kept.setdefault(one.id, one)
    return list(kept.values())


def cells(one: Configuration, dates: Iterable[str], seeds: Iterable[int]) -> list[Cell]:
    """The trainings of a configuration."""
    return [Cell(one, ds, seed) for ds in dates for seed in seeds]

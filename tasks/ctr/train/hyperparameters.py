"""The hyper-parameters: one documented file, overridable one by one, checked before use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from nightshift.config.yamlfile import load_yaml_mapping, nearest
from nightshift.errors import ConfigurationError

EMBEDDING_STORES = ("memory", "one_embedding")


@dataclass(frozen=True)
class Hyperparameters:
    """Values of one training; `include/hyperparameters.yaml` says what each means."""

    embedding_dim: int
    hidden: tuple[int, ...]
    dropout: float
    embedding_store: str
    oov_rate: float
    min_count: int
    learning_rate: float
    lr_decay: float
    batch_size: int
    epochs: int
    patience: int
    l2_embedding: float
    weight_decay: float
    init_std: float
    seed: int
    threads: int
    checkpoint_steps: int
    golden_rows: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the model card."""
        return {**asdict(self), "hidden": list(self.hidden)}


NAMES = tuple(item.name for item in fields(Hyperparameters))


def load(path: Path, overrides: Sequence[str] = ()) -> Hyperparameters:
    """Read the file, then apply `key=value` overrides (values in YAML's syntax).

    Raises:
        ConfigurationError: a key is unknown or missing, or a value out of its range; the message
            names the file or the override, and the nearest known key.
    """
    values = load_yaml_mapping(path)
    origin = dict.fromkeys(values, str(path))
    for item in overrides:
        key, sign, text = item.partition("=")
        if not sign:
            raise ConfigurationError(f"--set {item!r}: write it as key=value")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigurationError(f"--set {item!r}: the value is no YAML: {error}") from None
        origin[key] = f"--set {item}"
    for key in values:
        if key not in NAMES:
            raise ConfigurationError(
                f"{origin[key]}: unknown hyper-parameter {key!r}{nearest(key, NAMES)}"
            )
    for name in NAMES:
        if name not in values:
            raise ConfigurationError(f"{path}: hyper-parameter {name!r} is missing")
    checked = {}
    for name in NAMES:
        check, wanted = _RULES[name]
        try:
            checked[name] = check(values[name])
        except ValueError:
            raise ConfigurationError(
                f"{origin[name]}: {name} is {values[name]!r}; it must be {wanted}"
            ) from None
    if checked["embedding_store"] == "one_embedding":
        raise ConfigurationError(
            f"{origin['embedding_store']}: embedding_store one_embedding is not available yet; it "
            "needs a GPU and comes with a later version: use memory"
        )
    return Hyperparameters(**checked)


Rule = tuple[Callable[[Any], Any], str]


def _whole(least: int, most: int = 2**31 - 1) -> Rule:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(value)
        return value

    upper = "" if most == 2**31 - 1 else f" to {most}"
    return check, f"a whole number, {least}{upper or ' or more'}"


def _number(least: float, most: float, *, open_below: bool = False) -> Rule:
    def check(value: Any) -> float:
        # YAML 1.1 reads 1e-3 (no point) as text.
        if isinstance(value, str):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(value)
        if not least <= value <= most or (open_below and value == least):
            raise ValueError(value)
        return float(value)

    return check, f"a number {'above' if open_below else 'from'} {least:g} up to {most:g}"


def _widths(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= 20:
        raise ValueError(value)
    check, _ = _whole(1, 65536)
    return tuple(check(width) for width in value)


def _store(value: Any) -> str:
    if value not in EMBEDDING_STORES:
        raise ValueError(value)
    return str(value)


_RULES: dict[str, Rule] = {
    "embedding_dim": _whole(1, 1024),
    "hidden": (_widths, "a list of 1 to 20 widths, such as [256, 128]"),
    "dropout": _number(0, 0.9),
    "embedding_store": (_store, f"one of {', '.join(EMBEDDING_STORES)}"),
    "oov_rate": _number(0, 0.5),
    "min_count": _whole(1),
    "learning_rate": _number(0, 1, open_below=True),
    "lr_decay": _number(0, 1, open_below=True),
    "batch_size": _whole(1, 1_000_000),
    "epochs": _whole(1, 10_000),
    "patience": _whole(1),
    "l2_embedding": _number(0, 1),
    "weight_decay": _number(0, 1),
    "init_std": _number(0, 1, open_below=True),
    "seed": _whole(0),
    "threads": _whole(0, 1024),
    "checkpoint_steps": _whole(0),
    "golden_rows": _whole(1, 1000),
}

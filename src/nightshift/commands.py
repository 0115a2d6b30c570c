"""Command lines of a run's container tasks, and what a run may set differently from its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightshift.features.tables import SourceTables
from nightshift.layout import RunFolder
from nightshift.plan import Plan
from nightshift.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """A run's own values; None leaves the value of `include/`."""

    epochs: int | None = None
    label_settle_days: int | None = None
    test_days: int | None = None
    valid_days: int | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


def preprocess_arguments(plan: Plan, settings: Settings, overrides: Overrides) -> list[str]:
    """Arguments of `python -m tasks.ctr.preprocess`."""
    run = RunFolder(Path(plan["run_dir"]))
    arguments = [
        *("--features", str(run.features), "--spec", str(settings.feature_spec)),
        *("--ds", plan["ds"], "--train-days", str(plan["train_days"])),
        *("--out", str(run.dataset), "--result", str(run.result("preprocess"))),
    ]
    label = SourceTables.load(settings.tables)
    if label.label_absent is not None:
        arguments += ["--label-absent", str(label.label_absent)]
    for name in ("label_settle_days", "test_days", "valid_days"):
        value = getattr(overrides, name)
        if value is None and name == "label_settle_days":
            value = label.label_settle_days
        if value is not None:
            arguments += [f"--{name.replace('_', '-')}", str(value)]
    return arguments


def train_arguments(
    plan: Plan, settings: Settings, overrides: Overrides, *, warm_start: Path | None = None
) -> list[str]:
    """Arguments of `python -m tasks.ctr.train`; `warm_start` is the model folder to begin from."""
    run = RunFolder(Path(plan["run_dir"]))
    arguments = [
        *("--dataset", str(run.dataset), "--spec", str(settings.feature_spec)),
        *("--hyperparameters", str(settings.hyperparameters)),
        *("--out", str(run.model), "--checkpoint", str(run.root / "checkpoint")),
        *("--device", settings.task_device, "--result", str(run.result("train"))),
    ]
    chosen = dict(overrides.hyperparameters)
    if overrides.epochs is not None:
        chosen["epochs"] = overrides.epochs
    for key, value in chosen.items():
        arguments += ["--set", f"{key}={value}"]
    if warm_start is not None:
        arguments += ["--warm-start", str(warm_start)]
    return arguments

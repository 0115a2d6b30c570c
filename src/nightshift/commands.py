"""Command lines of a run's container tasks, and what a run may set differently from its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightshift.night import Night


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """A run's own values; None leaves those of the pipeline's files."""

    epochs: int | None = None
    label_settle_days: int | None = None
    test_days: int | None = None
    valid_days: int | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


def preprocess_arguments(night: Night, overrides: Overrides) -> list[str]:
    """Arguments of `python -m tasks.ctr.preprocess`."""
    run, spec = night.run, night.pipeline.features.spec_file
    arguments = [
        *("--features", str(run.features), "--spec", str(spec)),
        *("--ds", night.ds, "--train-days", str(night.plan["train_days"])),
        *("--out", str(run.dataset), "--result", str(run.result("preprocess"))),
    ]
    label = night.pipeline.features.tables
    if label.label_absent is not None:
        arguments += ["--label-absent", str(label.label_absent)]
    if night.pipeline.config.time_zone is not None:
        arguments += ["--time-zone", night.pipeline.config.time_zone]
    for name in ("label_settle_days", "test_days", "valid_days"):
        value = getattr(overrides, name)
        if value is None and name == "label_settle_days":
            value = label.label_settle_days
        if value is not None:
            arguments += [f"--{name.replace('_', '-')}", str(value)]
    return arguments


def train_arguments(
    night: Night, overrides: Overrides, *, warm_start: Path | None = None
) -> list[str]:
    """Arguments of `python -m tasks.ctr.train`; `warm_start` is the model folder to begin from."""
    run, pipeline = night.run, night.pipeline
    arguments = [
        *("--dataset", str(run.dataset), "--spec", str(pipeline.features.spec_file)),
        *("--hyperparameters", str(pipeline.hyperparameters)),
        *("--out", str(run.model), "--checkpoint", str(run.root / "checkpoint")),
        *("--device", pipeline.settings.task_device, "--result", str(run.result("train"))),
    ]
    chosen = dict(overrides.hyperparameters)
    if overrides.epochs is not None:
        chosen["epochs"] = overrides.epochs
    for key, value in chosen.items():
        arguments += ["--set", f"{key}={value}"]
    if warm_start is not None:
        arguments += ["--warm-start", str(warm_start)]
    return arguments


def module_arguments(night: Night, overrides: Overrides) -> list[str]:
    """Arguments of `python -m tasks.tensor.train`."""
    run, pipeline = night.run, night.pipeline
    arguments = [
        *("--module", str(pipeline.module), "--ds", night.ds),
        *("--data", str(pipeline.data), "--out", str(run.model)),
        *("--device", pipeline.settings.task_device, "--result", str(run.result("train"))),
    ]
    if pipeline.hyperparameters.exists():
        arguments += ["--hyperparameters", str(pipeline.hyperparameters)]
    for key, value in overrides.hyperparameters.items():
        arguments += ["--set", f"{key}={value}"]
    return arguments

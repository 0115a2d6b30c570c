"""Command lines of a run's container tasks, and what a run may set differently from its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightshift import layout
from nightshift.errors import ConfigurationError
from nightshift.modules import of_tasks
from nightshift.night import Night
from nightshift.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """A run's own values; None leaves those of the pipeline's files."""

    epochs: int | None = None
    label_settle_days: int | None = None
    test_days: int | None = None
    valid_days: int | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


def check_overrides(pipeline: Pipeline, train_days: int, overrides: Overrides) -> None:
    """Refuse what a run's own values would fail by, before the run computes anything.

    Raises:
        ConfigurationError: no day would be left to learn from, a hyper-parameter is unknown or out
            of its range, or names a field that the specification lacks.
    """
    if not pipeline.has_features:
        return
    spec, tables = pipeline.features.spec, pipeline.features.tables
    if overrides.label_settle_days is not None:
        settle = overrides.label_settle_days
    elif tables.label_settle_days is not None:
        settle = tables.label_settle_days
    else:
        settle = spec.label_settle_days
    test = spec.test_days if overrides.test_days is None else overrides.test_days
    valid = spec.valid_days if overrides.valid_days is None else overrides.valid_days
    if train_days <= settle + test + valid:
        raise ConfigurationError(
            f"train_days is {train_days}; {settle} days to settle, {test} to test, {valid} to "
            f"validate and at least 1 to train on need {settle + test + valid + 1}"
        )
    module, given = pipeline.config.kind.settings, _settings(overrides)
    if module is None:
        return
    try:
        settings = of_tasks(pipeline.settings.project, module)
    except ModuleNotFoundError:
        return  # an image without the tasks: training itself says so
    chosen = settings.load(pipeline.hyperparameters, given)
    wrong = [": ".join(one[:2]) for one in settings.problems(chosen, spec.fields)]
    if given and wrong:
        raise ConfigurationError("; ".join(wrong))


def _settings(overrides: Overrides) -> list[str]:
    """A run's own hyper-parameters, as `--set` takes them."""
    chosen = dict(overrides.hyperparameters)
    if overrides.epochs is not None:
        chosen["epochs"] = overrides.epochs
    return [f"{key}={value}" for key, value in chosen.items()]


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
    for text in _settings(overrides):
        arguments += ["--set", text]
    if warm_start is not None:
        arguments += ["--warm-start", str(warm_start)]
    return arguments


def refit_arguments(night: Night, overrides: Overrides) -> dict[str, list[str]]:
    """Arguments of the tasks of a refit, by the task's id.

    The same date, days and rows as the judged run's; what training decided is read from its card.
    """
    run, pipeline = night.run, night.pipeline
    spec, device = str(pipeline.features.spec_file), pipeline.settings.task_device
    model, dataset = str(run.refit_model), str(run.refit_dataset)
    again = preprocess_arguments(night, overrides)
    for name, value in (("--out", dataset), ("--result", str(run.result("refit_preprocess")))):
        again[again.index(name) + 1] = value
    return {
        "refit_preprocess": [*again, "--refit"],
        "refit_train": [
            *("--dataset", dataset, "--spec", spec, "--refit-of", str(run.model)),
            *("--out", model, "--checkpoint", str(run.root / "refit" / "checkpoint")),
            *("--device", device, "--result", str(run.result("refit_train"))),
        ],
        "refit_score": [
            *("--dataset", str(run.dataset), "--spec", spec, "--model", model),
            *("--device", device, "--out", str(night.published_scores)),
            *("--result", str(run.result("refit_score"))),
        ],
    }


def recommend_arguments(night: Night, overrides: Overrides) -> list[str]:
    """Arguments of `python -m tasks.recommend.train`; of a pipeline with the part `recommend`.

    Raises:
        ConfigurationError: the pipeline has none.
    """
    run, pipeline = night.run, night.pipeline
    own = pipeline.recommend
    end = pipeline.zone.end_ms(layout.parse_date(night.ds))
    test_days = overrides.test_days or own.test_days or pipeline.features.spec.test_days
    return [
        # As it is now: a file that changes under the run does not change the run.
        *("--options", own.model_dump_json()),
        *("--tables", str(pipeline.features.tables_file), "--data", str(pipeline.data)),
        *("--ds", night.ds, "--last-ms", str(end - 1)),
        *("--days", str(own.days or night.plan["train_days"])),
        *("--test-days", str(test_days)),
        *(() if own.sql_list is None else ("--list", str(run.listed))),
        *("--out", str(run.recommend), "--result", str(run.result("recommend"))),
    ]


def module_arguments(night: Night, overrides: Overrides) -> list[str]:
    """Arguments of `python -m tasks.<family>.train` of a family without features."""
    run, pipeline = night.run, night.pipeline
    arguments = [
        *("--ds", night.ds, "--data", str(pipeline.data), "--out", str(run.model)),
        *("--device", pipeline.settings.task_device, "--result", str(run.result("train"))),
    ]
    if "module" in pipeline.config.kind.parts:
        arguments += ["--module", str(pipeline.module)]
    if pipeline.hyperparameters.exists():
        arguments += ["--hyperparameters", str(pipeline.hyperparameters)]
    for key, value in overrides.hyperparameters.items():
        arguments += ["--set", f"{key}={value}"]
    return arguments

"""An experiment from what is asked to its table: export, trainings, report.

The command and the DAG both call `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nightshift.config.reading import read
from nightshift.errors import ConfigurationError
from nightshift.experiment import features, running
from nightshift.experiment.config import ExperimentConfig
from nightshift.experiment.design import Cell
from nightshift.experiment.running import Experiment
from nightshift.experiment.starting import Starter
from nightshift.experiment.trainings import Bench
from nightshift.families import having
from nightshift.pipeline import Pipeline

Tell = Callable[[str], None]
Showing = Callable[[str, Callable[[], str]], AbstractContextManager[object]]


@dataclass(frozen=True)
class Request:
    """What an experiment is to do.

    Attributes:
        name: the experiment's; the same name goes on with it.
        config: what it tries.
        last: the newest night where `config.dates` is a number; None: by the data.
        features: an export that is there; None: OpenMLDB is asked for one.
        jobs: trainings at a time; None: the machine's cores.
        threads: of each training; None: 1.
    """

    name: str
    config: ExperimentConfig
    last: str | None = None
    features: Path | None = None
    jobs: int | None = None
    threads: int | None = None


def configured(content: Mapping[str, Any], file: Path | None = None) -> ExperimentConfig:
    """The experiment of a file, changed by some of its keys.

    Args:
        content: keys of an experiment's file with their values.
        file: the file; None: there is none.

    Raises:
        ConfigurationError: the file or a value is wrong.
    """
    found: dict[str, Any] = {}
    if file is not None:
        found = read(ExperimentConfig, file).model_dump(exclude_unset=True)
    for key, value in content.items():
        merged = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = {**found[key], **value} if merged else value
    try:
        return ExperimentConfig(**found)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, problem['loc'])) or 'the experiment'}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        ]
        raise ConfigurationError("\n".join(lines)) from None


def run(
    pipeline: Pipeline,
    asked: Request,
    starter: Starter,
    tell: Tell,
    showing: Showing = lambda title, now: nullcontext(),
) -> dict[str, Any]:
    """Do what is not done yet, and report.

    Args:
        pipeline: of a family that has experiments.
        asked: what is to be done.
        starter: of preprocessing and training.
        tell: told of each training.
        showing: a context that shows how far the export is, by its title and what is done now.

    Returns:
        The summary (`running.summary`), with `report`, the page, and `again`, how many trainings
        failed in passing: the same call tries them again.

    Raises:
        ConfigurationError: the pipeline has no SQL features, or a configuration is none.
        PartitionMissing: a night lacks its data.
        LockHeld: another experiment of this pipeline trains.
        RetryableError: the starter was closed.
    """
    if "experiment" not in pipeline.config.kind.parts:
        raise ConfigurationError(
            f"{pipeline.name} is of the family {pipeline.family}; experiments are for "
            f"{having('experiment')}"
        )
    config = asked.config
    train_days = config.train_days or pipeline.config.train_days
    if isinstance(config.dates, tuple):
        dates = list(config.dates)
    else:
        dates = features.past_dates(pipeline, config.dates, config.step_days, asked.last)
    jobs, threads = running.jobs_of(asked.jobs, asked.threads)
    root = running.root_of(pipeline)
    place = asked.features
    if place is not None and not place.is_dir():
        raise ConfigurationError(f"--features {place} is not a folder")
    device = pipeline.settings.task_device
    bench = Bench(pipeline, root, place or root, train_days, device, threads, starter)
    experiment = Experiment(asked.name, config, dates, bench, jobs)
    count = len(experiment.check())
    if place is None:
        plan = features.plan_of(pipeline, dates, train_days)
        now = ""

        def heard(text: str) -> None:
            nonlocal now
            starter.going_on()
            now = text

        title = f"Features of {plan['first_day']} to {plan['ds']}"
        with showing(title, lambda: now):
            place = features.export(pipeline, plan, root / "features", heard)
    experiment.bench = replace(bench, features=place)
    tries = count + (config.search.trials if config.search else 0)
    total = tries * len(dates) * len(config.seeds)
    tell(
        f"{tries} configuration(s), {len(dates)} night(s), {len(config.seeds)} seed(s): {total} "
        f"trainings, {jobs} at a time on {threads} thread(s)"
    )
    done = 0

    def said(cell: Cell, result: Mapping[str, Any]) -> None:
        nonlocal done
        done += 1
        if result["status"] == "ok":
            auc, took = result["test"]["auc"], result["seconds"]["train"]
            what = f"test AUC {'–' if auc is None else f'{auc:.4f}'}, {took:.1f} s"
        else:
            what = f"{result['status']}: {result['error'].strip().splitlines()[-1][:160]}"
        tell(f"  {done} of {total}  {cell.name}: {what}")

    experiment.run(said)
    again = sum(result["status"] == "retry" for result in experiment.found.values())
    return {
        **running.summary(pipeline, asked.name),
        "report": str(experiment.folder / running.PAGE),
        "again": again,
    }

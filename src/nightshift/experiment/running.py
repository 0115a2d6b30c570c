"""An experiment from its configuration to its report: planned, run, resumed, read again."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightshift import files
from nightshift.config.yamlfile import nearest
from nightshift.errors import ConfigurationError, ContractError
from nightshift.experiment import page, results, trainings
from nightshift.experiment.config import ExperimentConfig, Range
from nightshift.experiment.design import Cell, Configuration, cells, configurations, unique
from nightshift.experiment.results import Row
from nightshift.experiment.trainings import Bench
from nightshift.modules import of_tasks
from nightshift.pipeline import Pipeline

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")
_LOCK_S = 30.0
EXPERIMENT, SUMMARY, PAGE = "experiment.json", "results.json", "report.html"

Said = Callable[[Cell, Mapping[str, Any]], None]


def root_of(pipeline: Pipeline) -> Path:
    """Folder of a pipeline's experiments."""
    return pipeline.runs / "experiments"


def folder_of(pipeline: Pipeline, name: str) -> Path:
    """Folder of one experiment.

    Raises:
        ConfigurationError: the name cannot be one.
    """
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is not an experiment's name: a-z, 0-9, _ and -, 50 characters at most"
        )
    return root_of(pipeline) / "named" / name


def names(pipeline: Pipeline) -> list[str]:
    """The experiments that there are."""
    return sorted(path.parent.name for path in root_of(pipeline).glob(f"named/*/{EXPERIMENT}"))


@dataclass
class Experiment:
    """One experiment at work.

    Attributes:
        name: its name.
        config: what it tries.
        dates: of its nights, oldest first.
        bench: where it works.
        jobs: trainings at a time.
        tried: configurations with their trainings, the first one what others are compared with.
        found: results by training.
    """

    name: str
    config: ExperimentConfig
    dates: Sequence[str]
    bench: Bench
    jobs: int
    tried: list[tuple[Configuration, list[Cell]]] = field(default_factory=list)
    found: dict[Cell, dict[str, Any]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where its report lies."""
        return folder_of(self.bench.pipeline, self.name)

    def check(self, extra: Sequence[Configuration] = ()) -> list[Configuration]:
        """Its configurations, each found to be one.

        Raises:
            ConfigurationError: a hyper-parameter, value or feature is not known; each is named.
        """
        wanted = unique([*configurations(self.config), *extra])
        problems = [text for one in wanted if (text := self._problem(one))]
        if problems:
            raise ConfigurationError("\n".join(problems))
        return wanted

    def _problem(self, one: Configuration) -> str:
        pipeline = self.bench.pipeline
        project = pipeline.settings.project
        try:
            hyperparameters = of_tasks(project, "tasks.ctr.train.hyperparameters")
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"{project} holds no tasks/ ({error}), which say what a hyper-parameter is; run "
                "experiments where the whole project is"
            ) from error
        try:
            _loaded(hyperparameters, pipeline.hyperparameters, one)
            trainings.reduced_spec(pipeline.features.spec_file, one.left_out)
        except ConfigurationError as error:
            return f"{one.name}: {error}"
        return ""

    def run(self, said: Said = lambda cell, result: None) -> list[Row]:
        """Do what is not done yet; write the report as results come.

        Raises:
            ConfigurationError: a configuration is none, or a dataset cannot be made.
            LockHeld: another experiment of this pipeline trains.
        """
        wanted = self.check()
        self.bench.starter.check()
        with files.locked(self.bench.root / ".lock", timeout_s=_LOCK_S):
            self._write_about()
            try:
                self._train(wanted, said)
                if self.config.search is not None:
                    self._search(said)
            finally:
                # What is known is shown, whether or not all of it came to be.
                rows = self.write()
        return rows

    def _cells(self, one: Configuration) -> list[Cell]:
        return cells(one, self.dates, self.config.seeds)

    def _train(self, wanted: Sequence[Configuration], said: Said) -> None:
        known = {configuration.id for configuration, _ in self.tried}
        self.tried += [(one, self._cells(one)) for one in wanted if one.id not in known]
        # By date and seed first, so that a report of half an experiment compares like with like.
        todo = [
            cell for group in zip(*(self._cells(c) for c in wanted), strict=True) for cell in group
        ]

        def heard(cell: Cell, result: Mapping[str, Any]) -> None:
            self.found[cell] = dict(result)
            said(cell, result)

        trainings.run(self.bench, todo, self.jobs, heard)

    def _search(self, said: Said) -> None:
        """Draw configurations by Optuna, as many at a time as run at once.

        The draws are a function of the seed and of what was found, so a search that was cut off
        draws the same ones again and finds their trainings done.
        """
        import optuna

        search = self.config.search
        assert search is not None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = (
            optuna.samplers.TPESampler(seed=search.seed)
            if search.sampler == "tpe"
            else optuna.samplers.RandomSampler(seed=search.seed)
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        base = dict(self.config.base)
        drawn = 0
        while drawn < search.trials:
            batch = []
            for _ in range(min(max(1, self.jobs), search.trials - drawn)):
                trial = study.ask()
                values = {key: _draw(trial, key, one) for key, one in search.space.items()}
                batch.append((trial, Configuration({**base, **values}, base=base)))
            drawn += len(batch)
            wanted = unique(one for _, one in batch)
            self.check(wanted)
            self._train(wanted, said)
            for trial, one in batch:
                kept = [self.found[cell] for cell in self._cells(one) if cell in self.found]
                score = results.objective(kept, self.config.measure)
                if score is None:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    study.tell(trial, score)
            self.write()

    def _write_about(self) -> None:
        files.write_json(
            self.folder / EXPERIMENT,
            {
                "version": 1,
                "name": self.name,
                "pipeline": self.bench.pipeline.name,
                "description": self.config.description,
                "dates": list(self.dates),
                "seeds": list(self.config.seeds),
                "measure": self.config.measure,
                "features": str(self.bench.features),
                "train_days": self.bench.train_days,
                "config": self.config.model_dump(mode="json"),
            },
        )

    def write(self) -> list[Row]:
        """The table and the page of what is known."""
        made = results.rows(
            self.config,
            self.tried,
            self.found,
            lambda cell: self.bench.folder(cell) / "scores.npz",
            self.bench.pipeline.gates,
        )
        about = files.read_json(self.folder / EXPERIMENT)
        chosen = results.best(made)
        values = {one.id: one for one, _ in self.tried}
        files.write_json(
            self.folder / SUMMARY,
            {
                "best": None if chosen is None else chosen.id,
                "rows": [
                    {
                        **row.to_json(),
                        "values": dict(values[row.id].values),
                        "left_out": list(values[row.id].left_out),
                    }
                    for row in made
                ],
            },
        )
        files.write_text(self.folder / PAGE, page.render(about, made))
        return made


def _loaded(hyperparameters: Any, path: Path, one: Configuration) -> None:
    if path.exists():
        hyperparameters.load(path, one.overrides())
        return
    for key in one.values:
        if key not in hyperparameters.NAMES:
            raise ConfigurationError(
                f"unknown hyper-parameter {key!r}{nearest(key, hyperparameters.NAMES)}"
            )


def _draw(trial: Any, key: str, one: Range) -> Any:
    if one.choices is not None:
        # Optuna draws from plain values: lists go by their place.
        at = trial.suggest_categorical(key, list(range(len(one.choices))))
        return one.choices[at]
    if one.whole:
        assert one.low is not None and one.high is not None
        return trial.suggest_int(key, int(one.low), int(one.high), log=one.log)
    return round(trial.suggest_float(key, one.low, one.high, log=one.log), 10)


def jobs_of(asked: int | None, threads: int | None) -> tuple[int, int]:
    """Trainings at a time, and threads of each: the machine's cores, one thread each.

    Small trainings gain little by a second thread, so that many at once are faster.

    Raises:
        ConfigurationError: a number is below 1.
    """
    cores = len(os.sched_getaffinity(0))
    for value, name in ((asked, "--jobs"), (threads, "--threads")):
        if value is not None and value < 1:
            raise ConfigurationError(f"{name} is {value}; give 1 or more")
    each = threads or (max(1, cores // asked) if asked else 1)
    return asked or max(1, cores // each), each


def summary(pipeline: Pipeline, name: str) -> dict[str, Any]:
    """What an experiment came to, as it was written last.

    Raises:
        ConfigurationError: there is no such experiment, or it has no result yet.
    """
    folder = folder_of(pipeline, name)
    if not (folder / EXPERIMENT).is_file():
        known = names(pipeline)
        raise ConfigurationError(
            f"there is no experiment {name!r} of {pipeline.name}"
            + (nearest(name, known) or (f"; known: {', '.join(known)}" if known else ""))
        )
    try:
        found = files.read_json(folder / SUMMARY)
    except ContractError:
        raise ConfigurationError(
            f"the experiment {name} has no result yet; run it again to go on"
        ) from None
    return {**files.read_json(folder / EXPERIMENT), **found}

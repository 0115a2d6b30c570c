"""The tasks of an experiment, by the runner that the nights' tasks have."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nightshift import files
from nightshift.errors import (
    EXIT_RETRYABLE,
    ConfigurationError,
    ContractError,
    NightshiftError,
    ServiceUnavailable,
)
from nightshift.experiment.starting import Processes, Started, Starter, command, log_of, result_of
from nightshift.runners import RUNNERS
from nightshift.settings import Settings
from nightshift_provider.runners import make_runner
from nightshift_provider.runners.base import (
    LogPump,
    Phase,
    Runner,
    TaskSpec,
    home_id,
    task_spec,
    too_little_memory,
)

LOG = logging.getLogger(__name__)
LIMIT_S = 12 * 3600.0
GRACE_S = 60.0
OUTAGE_S = 120.0
LOOK_S = 1.0


def starter(settings: Settings) -> Starter:
    """What starts an experiment's tasks: as containers where the nights' tasks are."""
    if RUNNERS[settings.task_runner].images:
        return ByRunner(settings, make_runner(settings.task_runner, settings.docker_url))
    return Processes(settings)


class ByRunner(Starter):
    """Tasks by a runner. Each has a name that follows from what it computes.

    So the next call finds what a dead worker left: it follows a task that runs, and takes the
    result of one that has ended well.

    Args:
        settings: the installation's.
        runner: which starts them.
    """

    def __init__(self, settings: Settings, runner: Runner) -> None:
        super().__init__(settings)
        self.runner = runner

    def start(self, task: str, arguments: Sequence[str], folder: Path) -> Started:
        """Start it, or find it."""
        settings = self.settings
        image = getattr(settings, f"task_image_{task}")
        if not image:
            raise ConfigurationError(f"there is no NIGHTSHIFT_TASK_IMAGE_{task.upper()}; set it")
        folder.mkdir(parents=True, exist_ok=True)
        spec = task_spec(
            settings,
            name=f"nightshift-experiment-{task}-{home_id(settings.home)}-{folder.name}",
            generation=0,
            command=command(task, arguments, folder),
            environment={},
            result=result_of(task, folder),
            writable=folder,
            readable=[],
            image=image,
            deadline=time.time() + LIMIT_S,
            stop_grace_s=GRACE_S,
            labels={"task": task, "experiment": folder.name},
        )
        status = self.runner.status(spec)
        ended = status.phase is Phase.EXITED
        if status.phase is Phase.RUNNING or (ended and status.exit_code == 0):
            LOG.info("%s of an earlier call is %s; found again", spec.name, status.phase.value)
            if status.deadline is not None:
                spec = replace(spec, deadline=status.deadline)
        else:
            if ended:
                self.runner.remove(spec)
            LOG.info("%s starts in %s", spec.name, self.runner.where)
            self.runner.start(spec)
        return _Task(self, spec, log_of(task, folder))


class _Task(Started):
    def __init__(self, starter: ByRunner, spec: TaskSpec, log: Path) -> None:
        self._starter = starter
        self._spec = spec
        self._log = log
        self._looked = 0.0
        self._away: float | None = None
        self._ended = False

    def code(self) -> int | None:
        self._starter.going_on()
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return None
        self._looked = now
        runner, spec = self._starter.runner, self._spec
        try:
            status = runner.status(spec)
            self._away = None
            if status.phase is Phase.EXITED:
                return self._finish(status.exit_code, status.out_of_memory)
        except ServiceUnavailable as error:
            self._away = now if self._away is None else self._away
            if now - self._away >= OUTAGE_S:
                raise
            LOG.warning("%s", error)
            return None
        if status.phase is Phase.ABSENT:
            self._ended = True
            self._note(f"{spec.name} is not there any more; was it removed?")
            return EXIT_RETRYABLE
        if time.time() < spec.deadline:
            return None
        self.end()
        return self._overdue()

    def end(self) -> None:
        if self._ended:
            return
        runner, spec = self._starter.runner.fresh(), self._spec
        try:
            runner.stop(spec)
            self._keep_log(runner)
            runner.remove(spec)
            self._ended = True
        except NightshiftError as error:
            LOG.warning("%s may still run; the next call finds it: %s", spec.name, error)

    def _overdue(self) -> int:
        self._note(f"{self._spec.name} had not ended after {LIMIT_S / 3600:.0f} hours; stopped")
        return EXIT_RETRYABLE

    def _finish(self, code: int | None, out_of_memory: bool) -> int:
        runner, spec = self._starter.runner, self._spec
        # The result, the log and the model are read with rights that the task does not have.
        files.check_plain(self._log.parent)
        self._keep_log(runner)
        if out_of_memory:
            self._note(too_little_memory(spec))
        if code is None:
            code = 0 if self._wrote_result() else EXIT_RETRYABLE
        runner.remove(spec)
        self._ended = True
        # Some runners stop a task at its deadline themselves.
        return self._overdue() if code and time.time() >= spec.deadline else code

    def _wrote_result(self) -> bool:
        """Whether it ended well, by its result, which it writes last."""
        with contextlib.suppress(ContractError):
            found = files.read_json(Path(self._spec.result_path))
            return isinstance(found, dict) and found.get("status") == "ok"
        return False

    def _keep_log(self, runner: Runner) -> None:
        self._note(*LogPump(runner, self._spec).last())

    def _note(self, *lines: str) -> None:
        with contextlib.suppress(ContractError, OSError):
            files.check_plain(self._log.parent)
            with self._log.open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)

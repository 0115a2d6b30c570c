"""How an experiment starts its tasks: what it asks for, and processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from nightshift.errors import ConfigurationError, RetryableError
from nightshift.parents import end_with
from nightshift.settings import Settings

_STOP_S = 20.0


def log_of(task: str, folder: Path) -> Path:
    """Where the log of a task lies that writes to a folder."""
    return folder / f"{task}.log"


def result_of(task: str, folder: Path) -> Path:
    """Where the result of a task lies that writes to a folder."""
    return folder / f"{task}.json"


def command(task: str, arguments: Sequence[str], folder: Path) -> list[str]:
    """The module and the arguments of a task that writes to a folder."""
    return [f"tasks.ctr.{task}", *arguments, "--result", str(result_of(task, folder))]


class Started(ABC):
    """A task that was started."""

    @abstractmethod
    def code(self) -> int | None:
        """Its exit code; None while it runs.

        Raises:
            RetryableError: it was lost, or its starter was closed.
        """

    @abstractmethod
    def end(self) -> None:
        """Ask it to stop, which keeps a checkpoint; kill it where it does not. It may have ended."""


class Starter(ABC):
    """Starts the tasks of an experiment."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.closed = False

    def check(self) -> None:
        """Find out whether tasks can be started.

        Raises:
            ConfigurationError: something is missing; says what.
        """
        return

    def close(self) -> None:
        """End the experiment: the next look at a task says so. For a signal handler."""
        self.closed = True

    def going_on(self) -> None:
        """Do nothing unless the starter is closed.

        Raises:
            RetryableError: it is.
        """
        if self.closed:
            raise RetryableError(
                "the experiment was ended from outside; the same call goes on with it"
            )

    @abstractmethod
    def start(self, task: str, arguments: Sequence[str], folder: Path) -> Started:
        """Start `python -m tasks.ctr.<task>`; `log_of` and `result_of` say where it writes.

        Args:
            task: preprocess or train.
            arguments: those of the task, without `--result`.
            folder: which the task writes to, and nowhere else. Its name is hex digits of what
                decides the task's result, unique in the installation.

        Raises:
            ConfigurationError: it cannot start as it is configured.
            ServiceUnavailable: the engine that starts it does not answer.
        """


class _Process(Started):
    def __init__(self, starter: Starter, process: subprocess.Popen[bytes]) -> None:
        self._starter = starter
        self._process = process

    def code(self) -> int | None:
        self._starter.going_on()
        return self._process.poll()

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Processes(Starter):
    """Tasks as processes of this machine, which end with the one that started them."""

    def check(self) -> None:
        """The tasks' Python must be there."""
        python = self.settings.task_python
        if not Path(python).exists():
            raise ConfigurationError(
                f"{python} is not there to train with; ./nightshift setup makes it, or name one by "
                "NIGHTSHIFT_TASK_PYTHON"
            )

    def start(self, task: str, arguments: Sequence[str], folder: Path) -> Started:
        """Start a process with this one's environment."""
        project, here = self.settings.project, os.getpid()
        folder.mkdir(parents=True, exist_ok=True)
        with log_of(task, folder).open("ab") as output:
            process = subprocess.Popen(
                [str(self.settings.task_python), "-m", *command(task, arguments, folder)],
                cwd=project,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([str(project / "src"), str(project)]),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for us: a training is asked by SIGTERM, and keeps a checkpoint.
                start_new_session=True,
                preexec_fn=lambda: end_with(here, signal.SIGTERM),
            )
        return _Process(self, process)

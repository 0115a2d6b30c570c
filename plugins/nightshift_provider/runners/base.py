"""What a runner is told, what it answers, and how logs reach the task's log in bounds."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nightshift.settings import Settings

LOG_ROUND_BYTES = 256 * 1024
"""Log bytes carried over per poll; what comes faster is left out of the task's log."""

LOG_MAX_LINES = 10_000
"""Lines of one task that reach Airflow's log; the rest stays with the runner."""

LOG_LAST_LINES = 50
"""Lines shown from the end when the bound was reached."""

_LINE_CHARS = 4000


class Phase(str, Enum):
    """Where a task's process or container is in its life."""

    ABSENT = "absent"
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True)
class Status:
    """What a runner knows of a task now.

    Attributes:
        phase: where it is in its life.
        exit_code: of an exited one; None if whoever would know it was killed.
        generation: the generation that it was started for.
        deadline: seconds since the epoch, as told at its start.
        detail: more words for an error, e.g. that memory ran out.
        out_of_memory: the memory limit ended it.
    """

    phase: Phase
    exit_code: int | None = None
    generation: int | None = None
    deadline: float | None = None
    detail: str = ""
    out_of_memory: bool = False


@dataclass(frozen=True)
class TaskSpec:
    """One task to run, in plain values, the same for every runner.

    Attributes:
        name: deterministic and unique to the task instance, over all its tries.
        generation: a clear raises it, a retry does not.
        command: begins with `python`, which the runner resolves.
        environment: the only variables of the task besides PATH, HOME and LANG.
        project: working folder of a process; a container works in its image's.
        python: interpreter of a process.
        state_dir: the runner's own folder for this task.
        result_path: where the task writes its result.
        writable: folders that the task writes to.
        readable: folders that it reads.
        image: of a container.
        user: `uid:gid` of a container.
        memory: limit of a container, as Docker writes it (`8g`).
        cpus: limit of a container.
        device: cpu or cuda.
        deadline: seconds since the epoch.
        stop_grace_s: seconds between SIGTERM and SIGKILL.
        labels: who started it.
    """

    name: str
    generation: int
    command: list[str]
    environment: dict[str, str]
    project: str
    python: str
    state_dir: str
    result_path: str
    writable: list[str]
    readable: list[str]
    image: str
    user: str
    memory: str
    cpus: float
    device: str
    deadline: float
    stop_grace_s: float
    labels: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a trigger."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TaskSpec:
        """What `to_dict` gave."""
        return cls(**values)


@dataclass(frozen=True)
class LogChunk:
    """Lines since a position, and the position after them."""

    lines: list[str]
    position: str
    omitted: bool = False


GRACE_S = 600.0
"""Seconds that a running task may be past its deadline: its own operator stops it first."""

ENDED_S = 24 * 3600.0
"""Seconds that an ended task is kept for a retry to read."""


def task_folders(home: Path) -> Path:
    """Where runners keep their folders, one a task instance."""
    return home / "tasks"


def home_id(home: Path) -> str:
    """Label that tells the tasks of one installation from those of another."""
    return hashlib.sha256(str(home).encode()).hexdigest()[:12]


def leftover(settings: Settings, name: str) -> TaskSpec:
    """What `Runner.remove` needs to know of a task of which only the name is known."""
    return TaskSpec(
        name=name, generation=0, command=[], environment={}, project="", python="",
        state_dir=str(task_folders(settings.home) / name), result_path="", writable=[], readable=[],
        image="", user="", memory="", cpus=0.0, device="cpu", deadline=0.0, stop_grace_s=10.0,
    )  # fmt: skip


ROOTS_TASK_USER = "10001:10001"
"""The images' own user; tasks run as it when the worker is root, else as the worker's user."""


def task_spec(
    settings: Settings,
    *,
    name: str,
    generation: int,
    command: Sequence[str],
    environment: Mapping[str, str],
    result: Path,
    writable: Path,
    readable: Sequence[Path],
    image: str,
    deadline: float,
    stop_grace_s: float,
    labels: Mapping[str, str],
) -> TaskSpec:
    """A task of this installation, with the limits and folders that all of its tasks have.

    Args:
        settings: the installation's.
        name: unique to the task, over all its tries.
        generation: a clear raises it, a retry does not.
        command: the module and its arguments.
        environment: further variables.
        result: where the task writes its result.
        writable: the folder that it writes to.
        readable: further folders that it reads; `include/`, the pipelines and all runs are.
        image: of a container.
        deadline: seconds since the epoch.
        stop_grace_s: seconds between SIGTERM and SIGKILL.
        labels: who started it.
    """
    folders = [settings.include, settings.pipelines, settings.runs_root, *readable]
    user = ROOTS_TASK_USER if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"
    return TaskSpec(
        name=name,
        generation=generation,
        command=["python", "-m", *command],
        environment={
            "PYTHONPATH": "src:packages/openmldb-files/src:.",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **{name: str(value) for name, value in environment.items()},
        },
        project=str(settings.project),
        python=str(settings.task_python),
        state_dir=str(task_folders(settings.home) / name),
        result_path=str(result),
        writable=[str(writable)],
        readable=[str(path) for path in dict.fromkeys(folders) if path.exists()],
        image=image,
        user=user,
        memory=settings.task_memory,
        cpus=settings.task_cpus,
        device=settings.task_device,
        deadline=deadline,
        stop_grace_s=stop_grace_s,
        labels={"home": home_id(settings.home), **labels},
    )


def too_little_memory(spec: TaskSpec) -> str:
    """What to say of a task that its memory limit ended."""
    return (
        f"it needed more than its {spec.memory} of memory; raise NIGHTSHIFT_TASK_MEMORY, or lower "
        "the batch size or the days to train on"
    )


class Runner(ABC):
    """Starts tasks and finds them again by name, from any process."""

    where: str
    """What the runner is, for messages."""

    @classmethod
    @abstractmethod
    def connect(cls, url: str, conn_id: str | None) -> Runner:
        """A runner of the engine at `url`, by an Airflow connection; no engine is asked yet."""

    @classmethod
    @abstractmethod
    def reap(cls, settings: Settings, now: float, sparing: str) -> list[str]:
        """Stop and remove what dead workers of this installation left; return the names.

        Args:
            settings: whose home and engine.
            now: seconds since the epoch.
            sparing: a name to leave alone.

        Raises:
            ServiceUnavailable: the engine does not answer.
        """

    @abstractmethod
    def status(self, spec: TaskSpec) -> Status:
        """Look.

        Raises:
            ServiceUnavailable: the engine does not answer.
        """

    @abstractmethod
    def start(self, spec: TaskSpec) -> None:
        """Start the task unless it is there; two callers at once start one.

        Raises:
            ConfigurationError: it cannot start as it is configured.
            ServiceUnavailable: the engine does not answer.
        """

    @abstractmethod
    def stop(self, spec: TaskSpec) -> None:
        """SIGTERM, then SIGKILL after the grace; returns when it has stopped."""

    @abstractmethod
    def remove(self, spec: TaskSpec) -> None:
        """Forget it and all that the runner keeps of it; kills what still runs."""

    @abstractmethod
    def read_log(self, spec: TaskSpec, position: str, max_bytes: int) -> LogChunk:
        """Lines after `position` (empty: the beginning), at most about `max_bytes`."""

    @abstractmethod
    def log_tail(self, spec: TaskSpec, lines: int) -> list[str]:
        """The last lines."""

    @abstractmethod
    def fresh(self) -> Runner:
        """A runner that shares nothing with this one, for use in a signal handler."""


class LogPump:
    """Carries a task's log lines on, each once, over crashes and changes of process.

    Its position is kept in the task's state folder, so a trigger and a worker take turns.
    """

    def __init__(self, runner: Runner, spec: TaskSpec) -> None:
        self._runner = runner
        self._spec = spec
        self._file = Path(spec.state_dir) / "log_position.json"
        self._position = ""
        self._lines = 0
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._file.read_text())
            if kept["generation"] == spec.generation:
                self._position, self._lines = str(kept["position"]), int(kept["lines"])

    def round(self) -> list[str]:
        """New lines to show, at most `LOG_ROUND_BYTES` of them."""
        if self._lines >= LOG_MAX_LINES:
            return []
        chunk = self._runner.read_log(self._spec, self._position, LOG_ROUND_BYTES)
        lines = [line[:_LINE_CHARS] for line in chunk.lines][: LOG_MAX_LINES - self._lines]
        if chunk.position == self._position:
            return lines
        self._position = chunk.position
        self._lines += len(lines)
        self._keep()
        if chunk.omitted:
            lines.insert(0, f"... lines left out: more than {LOG_ROUND_BYTES} bytes at once")
        if self._lines >= LOG_MAX_LINES:
            lines.append(f"... {LOG_MAX_LINES} lines shown; the end follows when the task ends")
        return lines

    def last(self) -> list[str]:
        """What remains when the task has ended."""
        lines = self.round()
        if self._lines >= LOG_MAX_LINES:
            tail = self._runner.log_tail(self._spec, LOG_LAST_LINES)
            lines += ["... the end of the log:", *(line[:_LINE_CHARS] for line in tail)]
        return lines

    def _keep(self) -> None:
        kept = {
            "generation": self._spec.generation,
            "position": self._position,
            "lines": self._lines,
        }
        staged = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        # Without the note, lines are at worst shown twice after a crash.
        with contextlib.suppress(OSError):
            staged.write_text(json.dumps(kept))
            staged.replace(self._file)

"""Tasks as local processes, detached from the worker that starts them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.errors import ConfigurationError, ServiceUnavailable
from nightshift_provider.runners import child
from nightshift_provider.runners.base import (
    ENDED_S,
    GRACE_S,
    LogChunk,
    Phase,
    Runner,
    Status,
    TaskSpec,
    leftover,
    task_folders,
)

if TYPE_CHECKING:
    from nightshift.settings import Settings

LOG_MAX_BYTES = 64 * 1024 * 1024
_FLOCK = "hhqqi"
_START_S = 20.0


class ProcessRunner(Runner):
    """A keeper process (`child.py`) per task, in a session of its own.

    Whether a task runs is told by the lock that its keeper holds, never by a pid alone.
    """

    where = "a local process"

    @classmethod
    def connect(cls, url: str, conn_id: str | None) -> ProcessRunner:
        """A runner; it needs no engine."""
        del url, conn_id
        return cls()

    @classmethod
    def reap(cls, settings: Settings, now: float, sparing: str) -> list[str]:
        """Remove folders of tasks that ended long ago; stop what is past its deadline."""
        gone = []
        root = task_folders(settings.home)
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            if folder.name == sparing or not folder.is_dir():
                continue
            try:
                deadline = float(json.loads((folder / "spec.json").read_bytes())["deadline"])
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                deadline = folder.stat().st_mtime + ENDED_S
            if keeper_pid(folder) is None:
                if now - max(p.stat().st_mtime for p in (folder, *folder.iterdir())) > ENDED_S:
                    shutil.rmtree(folder, ignore_errors=True)
                    gone.append(folder.name)
            elif now > deadline + GRACE_S:
                cls().remove(leftover(settings, folder.name))
                gone.append(folder.name)
        return gone

    def status(self, spec: TaskSpec) -> Status:
        """Look at the lock and the exit file."""
        folder = Path(spec.state_dir)
        known = _read(folder / "spec.json")
        generation, deadline = known.get("generation"), known.get("deadline")
        if keeper_pid(folder) is not None:
            return Status(Phase.RUNNING, generation=generation, deadline=deadline)
        ended = _read(folder / "exit.json")
        if ended:
            return Status(Phase.EXITED, int(ended["exit_code"]), generation, deadline)
        if (folder / "running.json").exists():
            detail = "its keeper was killed"
            return Status(Phase.EXITED, None, generation, deadline, detail)
        return Status(Phase.ABSENT)

    def start(self, spec: TaskSpec) -> None:
        """Start a keeper and wait until it holds the lock."""
        folder = Path(spec.state_dir)
        folder.mkdir(parents=True, exist_ok=True)
        with files.locked(folder / "start.lock", timeout_s=_START_S):
            if keeper_pid(folder) is not None:
                return
            self._prepare(spec, folder)
            keeper = self._spawn(folder)
            deadline = time.monotonic() + _START_S
            while not (folder / "running.json").exists() and not (folder / "exit.json").exists():
                if keeper.poll() is not None or time.monotonic() > deadline:
                    said = (folder / "keeper.log").read_text(errors="replace")[-2000:]
                    raise ServiceUnavailable(f"the keeper of {spec.name} did not start: {said}")
                time.sleep(0.02)

    def _prepare(self, spec: TaskSpec, folder: Path) -> None:
        python = Path(spec.python)
        if not os.access(python, os.X_OK):
            raise ConfigurationError(
                f"{python} is not there to run {spec.labels.get('task', spec.name)}; run "
                "`./nightshift setup`, or set NIGHTSHIFT_TASK_PYTHON"
            )
        for name in ("exit.json", "running.json", "log.txt", "log_position.json"):
            (folder / name).unlink(missing_ok=True)
        command = [str(python) if part == "python" else part for part in spec.command[:1]]
        kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
        env = {name: os.environ[name] for name in kept if name in os.environ}
        files.write_json(
            folder / "spec.json",
            {
                "generation": spec.generation,
                "command": [*command, *spec.command[1:]],
                "cwd": spec.project,
                "env": {**env, **spec.environment},
                "deadline": spec.deadline,
                "stop_grace_s": spec.stop_grace_s,
                "log_max_bytes": LOG_MAX_BYTES,
                "labels": spec.labels,
            },
        )

    def _spawn(self, folder: Path) -> subprocess.Popen[bytes]:
        with (folder / "keeper.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", child.__file__, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=folder,
                env={"PATH": os.environ.get("PATH", os.defpath)},
            )

    def stop(self, spec: TaskSpec) -> None:
        """SIGTERM to the keeper, which hands it on; SIGKILL to the task's group after."""
        folder = Path(spec.state_dir)
        deadline = time.monotonic() + spec.stop_grace_s
        told = False
        while (pid := keeper_pid(folder)) is not None:
            with contextlib.suppress(ProcessLookupError):
                if not told and (folder / "running.json").exists():
                    os.kill(pid, signal.SIGTERM)
                    told = True
                elif time.monotonic() > deadline + 2.0:
                    os.kill(pid, signal.SIGKILL)
                elif time.monotonic() > deadline:
                    task = _read(folder / "running.json").get("task")
                    os.killpg(int(task), signal.SIGKILL) if task else os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def remove(self, spec: TaskSpec) -> None:
        """Stop it and delete its folder."""
        self.stop(spec)
        shutil.rmtree(spec.state_dir, ignore_errors=True)

    def read_log(self, spec: TaskSpec, position: str, max_bytes: int) -> LogChunk:
        """Whole lines after a byte offset; the last, open line too once the task has ended."""
        path = Path(spec.state_dir) / "log.txt"
        start = int(position or 0)
        try:
            ended = keeper_pid(path.parent) is None
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                omitted = size - start > max_bytes
                begin = size - max_bytes if omitted else start
                file.seek(begin)
                data = file.read(max_bytes)
        except FileNotFoundError:
            return LogChunk([], position)
        if omitted:
            cut = data.find(b"\n") + 1
            data, begin = data[cut:], begin + cut
        if not ended:
            data = data[: data.rfind(b"\n") + 1]
        lines = data.decode(errors="replace").splitlines()
        return LogChunk(lines, str(begin + len(data)), omitted)

    def log_tail(self, spec: TaskSpec, lines: int) -> list[str]:
        """The last lines of the log file."""
        path = Path(spec.state_dir) / "log.txt"
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            return file.read().decode(errors="replace").splitlines()[-lines:]
        return []

    def fresh(self) -> ProcessRunner:
        """Itself: it keeps nothing in memory."""
        return self


def keeper_pid(folder: Path) -> int | None:
    """Pid of the process that holds FOLDER/lock, as the kernel knows it, or None."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, query))
    finally:
        os.close(fd)
    return None if answer[0] == fcntl.F_UNLCK else int(answer[4])


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


TaskRunner = ProcessRunner

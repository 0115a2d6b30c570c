"""One Spark application: a driver process that goes on whether or not the server does.

Its folder holds all there is to know of it: the task, the properties, its process, how far it is
and how it ended. So a server that was started anew reads on where the former one stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRACE_S = 10.0
"""Seconds between asking a driver to end and killing it; on a cluster it frees its executors."""

# Started by init's adoption (the first shell ends at once), in a session of its own: neither the
# server's end nor its supervisor's signals reach it. The trap lets it outlast the driver that a
# signal to the session ends, so that the exit code is kept.
_LAUNCHER = """
setsid sh -c '
trap : TERM INT HUP
folder="$1"; log="$2"; shift 2
echo "$$ $(cut -d" " -f22 /proc/$$/stat) $(cat /proc/sys/kernel/random/boot_id)" > "$folder/pid.new"
mv "$folder/pid.new" "$folder/pid"
"$@" >> "$log" 2>&1 < /dev/null
echo $? > "$folder/exit.new"
mv "$folder/exit.new" "$folder/exit"
' spark-application "$@" > /dev/null 2>&1 &
"""


@dataclass(frozen=True)
class Progress:
    """How far an application is, as its driver writes it."""

    application: str = ""
    ui: str = ""
    text: str = ""


class Application:
    """An application, by its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._killer: threading.Thread | None = None

    @property
    def begun(self) -> bool:
        """Whether it was launched."""
        return (self.folder / "pid").exists()

    def launch(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        """Start the driver; returns when its process is known.

        Raises:
            OSError: It cannot be started.
        """
        (self.folder / "tmp").mkdir(exist_ok=True)
        subprocess.run(
            ["/bin/sh", "-c", _LAUNCHER, "launcher", str(self.folder), str(log), *command],
            env=dict(env),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            check=True,
        )
        deadline = time.monotonic() + 30
        while not self.begun:
            if time.monotonic() > deadline:
                raise OSError(f"no process appeared for {command[0]} within 30 s")
            time.sleep(0.01)

    def running(self) -> bool:
        """Whether its process is there."""
        return self._leader() is not None

    def _leader(self) -> int | None:
        """The process id of the session's leader, if that very process still runs."""
        try:
            pid, start, boot = (self.folder / "pid").read_text().split()
            stat = Path(f"/proc/{pid}/stat").read_text()
            here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except (OSError, ValueError):
            return None
        fields = stat[stat.rindex(")") + 2 :].split()
        alive = fields[0] not in "ZX" and fields[19] == start and boot == here
        return int(pid) if alive else None

    def exit_code(self) -> int | None:
        """The driver's exit code, once it ended by itself or was killed alone."""
        try:
            return int((self.folder / "exit").read_text())
        except (OSError, ValueError):
            return None

    def result(self) -> dict[str, Any] | None:
        """What the driver wrote at its end, if it came to it."""
        return _json(self.folder / "result.json")

    def progress(self) -> Progress:
        """How far it is."""
        found = _json(self.folder / "progress.json") or {}
        return Progress(*(str(found.get(name) or "") for name in ("application", "ui", "text")))

    def kill(self) -> None:
        """Ask it to end; kill it when it has not after ``GRACE_S``. Returns at once."""
        if self._killer is None:
            self._killer = threading.Thread(target=self.end, daemon=True, name="spark-killer")
            self._killer.start()

    def end(self) -> None:
        """End it and return when it has ended."""
        deadline = time.monotonic() + GRACE_S
        self._signal(signal.SIGTERM)
        while self.running():
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
            time.sleep(0.05)

    def _signal(self, number: int) -> None:
        leader = self._leader()
        if leader is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, number)

    def remove(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None

"""Removes what killed workers left behind: past its deadline, or ended long ago.

Each run of a task operator reaps; `python -m nightshift_provider.runners.reaper` does it by hand.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nightshift.settings import Settings
from nightshift_provider.runners import make_runner
from nightshift_provider.runners.base import TaskSpec

if TYPE_CHECKING:
    from nightshift_provider.runners.docker import DockerRunner

GRACE_S = 600.0
"""Seconds that a running task may be past its deadline: its own operator stops it first."""

ENDED_S = 24 * 3600.0
"""Seconds that an ended task is kept for a retry to read."""


def task_folders(home: Path) -> Path:
    """Where runners keep their folders, one a task instance."""
    return home / "tasks"


def reap(settings: Settings, *, now: float | None = None, sparing: str = "") -> list[str]:
    """Stop and remove leftovers of this installation; return their names.

    Args:
        settings: whose home and engine.
        now: seconds since the epoch.
        sparing: a name to leave alone.

    Raises:
        ServiceUnavailable: the engine does not answer.
    """
    now = time.time() if now is None else now
    gone = _reap_processes(settings, now, sparing)
    if settings.task_runner == "docker":
        gone += _reap_containers(settings, now, sparing)
    return gone


def _reap_processes(settings: Settings, now: float, sparing: str) -> list[str]:
    from nightshift_provider.runners.process import ProcessRunner, keeper_pid

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
            ProcessRunner().remove(_named(settings, folder.name))
            gone.append(folder.name)
    return gone


def _reap_containers(settings: Settings, now: float, sparing: str) -> list[str]:
    from nightshift_provider.runners.docker import LABEL, home_id

    runner: DockerRunner = make_runner("docker", settings.docker_url)  # type: ignore[assignment]
    gone = []
    for container in runner.containers(home_id(settings.home)):
        labels = container.get("Labels") or {}
        name = labels.get(LABEL + "name", "")
        if not name or name == sparing:
            continue
        running = container.get("State") in ("running", "restarting", "paused")
        try:
            deadline = float(labels.get(LABEL + "deadline", ""))
        except ValueError:
            deadline = float(container["Created"]) + ENDED_S
        since_creation = now - float(container["Created"])
        if (running and now > deadline + GRACE_S) or (
            not running and since_creation > ENDED_S and now > deadline
        ):
            runner.remove(_named(settings, name))
            gone.append(name)
    return gone


def _named(settings: Settings, name: str) -> TaskSpec:
    empty = TaskSpec(
        name="", generation=0, command=[], environment={}, project="", python="", state_dir="",
        result_path="", writable=[], readable=[], image="", user="", memory="", cpus=0.0,
        device="cpu", deadline=0.0, stop_grace_s=10.0,
    )  # fmt: skip
    return replace(empty, name=name, state_dir=str(task_folders(settings.home) / name))


if __name__ == "__main__":
    for reaped in reap(Settings.from_env()):
        sys.stdout.write(f"{reaped}\n")

"""The embedded engine as an offline engine: each task in a process of its own on this machine."""

from __future__ import annotations

from pathlib import Path

from openmldb_embedded import worker
from openmldb_embedded.offline.base import Run
from openmldb_embedded.workers import Workers


class EmbeddedEngine:
    """Runs tasks in worker processes, which end with the server."""

    name = "embedded"
    cluster = "local"
    outlives = False
    reaches = False

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def perform(self, task: worker.Task, run: Run) -> worker.Outcome:
        """See ``OfflineEngine.perform``."""
        run.progress("reading and writing" if isinstance(task, worker.LoadTask) else "computing")
        return self._workers.run(task, run.stop)

    def folder(self, number: int) -> Path:
        """Not used: the work's folder is the store's, and ends with the work."""
        raise NotImplementedError

    def begun(self, number: int) -> bool:
        """Never: its processes do not outlive the server."""
        return False

    def forget(self, number: int) -> None:
        """Nothing is kept."""

    def abandon(self, number: int) -> None:
        """Nothing runs on."""

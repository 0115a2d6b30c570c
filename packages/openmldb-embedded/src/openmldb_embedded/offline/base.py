"""What an offline engine is, and what it is given of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from openmldb_embedded import worker
from openmldb_embedded.stop import Stop


class Run(Protocol):
    """One job, as the engine that does its work sees it."""

    @property
    def number(self) -> int:
        """The job's id."""

    @property
    def stop(self) -> Stop:
        """Asks the engine to end the work, or to let go of it."""

    def log(self, text: str) -> None:
        """Add a line to the job's log."""

    def progress(self, text: str) -> None:
        """Show how far the work is, in SHOW JOB's column of the current task."""

    def started(self, application: str) -> None:
        """Show the id under which the engine's own tools know the work."""


class OfflineEngine(Protocol):
    """Does the work of offline jobs.

    Attributes:
        name: Its name in the registry.
        cluster: What SHOW JOBS gives as the cluster.
        outlives: Whether its work goes on while the server is away. Then ``perform`` for a job
            that was begun before follows that work, every offline SELECT is a job, and statements
            that only this engine knows are left to it.
        reaches: Whether it reads and writes other file systems than this machine's, by their URLs.
    """

    name: str
    cluster: str
    outlives: bool
    reaches: bool

    def perform(self, task: worker.Task, run: Run) -> worker.Outcome:
        """Do a task and wait for its end, or follow one that was begun before the server's start.

        Raises:
            Stopped: The work was stopped on demand; it has ended.
            Detached: The server stops; the work goes on.
            SqlError: The work failed.
        """

    def folder(self, number: int) -> Path:
        """A folder for a job's unfinished work that lasts until ``forget``."""

    def begun(self, number: int) -> bool:
        """Whether work for this job was begun, by this server or an earlier one."""

    def forget(self, number: int) -> None:
        """Remove what is kept of a job's work: its end is recorded."""

    def abandon(self, number: int) -> None:
        """End what an earlier server left running for a job that is not followed."""

"""The name server's operations: what it does to tables in the background, and how far it is.

A new index is in use at once here; on a cluster it takes seconds until it can be seen. ``SHOW``
statements follow the cluster, so that a client that does not wait for it is found out.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from openmldb_embedded.catalog import Job
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.moods import Mood


@dataclass(frozen=True)
class Operation:
    """One operation; ``start`` and ``ready`` are seconds since the epoch."""

    id: int
    kind: str
    db: str
    table: str
    indexes: tuple[str, ...]
    start: float
    ready: float

    def job(self, now: float) -> Job:
        """Its row in SHOW JOBS FROM NAMESERVER."""
        done = now >= self.ready
        return Job(
            self.id,
            self.kind,
            "FINISHED" if done else "RUNNING",
            int(self.start) * 1000,
            int(self.ready) * 1000 if done else None,
            "",
            "",
            "",
            "",
            self.db,
            self.table,
            0,
            "-" if done else "kAddIndexToTablet",
            "NameServer",
        )


class Visibility:
    """What the API server has not heard of yet: tables and deployments made a moment ago."""

    def __init__(self, mood: Mood) -> None:
        self._mood = mood
        self._until: dict[tuple[str, str], float] = {}

    def made(self, db: str, name: str) -> None:
        """Note a new table or deployment."""
        seconds = self._mood.now().unseen_seconds
        if seconds:
            self._until[db, name] = time.time() + seconds

    def hides(self, db: str, name: str) -> bool:
        """Whether it is too new to be seen."""
        return bool(self._until) and time.time() < self._until.get((db, name), 0.0)

    def refresh(self) -> None:
        """Hear of everything: ``POST /refresh``."""
        self._until.clear()


class Operations:
    """All operations of this server's life."""

    def __init__(self, mood: Mood | None = None) -> None:
        self._mood = mood or Mood()
        self.visibility = Visibility(self._mood)
        self._all: list[Operation] = []
        self._lock = threading.Lock()

    @property
    def index_seconds(self) -> float:
        """How long a new index is not yet seen."""
        return self._mood.now().index_seconds

    @property
    def deploy_seconds(self) -> float:
        """How long DEPLOY takes for each index that it adds."""
        return self._mood.now().deploy_seconds

    def begin(
        self, kind: str, db: str, table: str, indexes: tuple[str, ...], seconds: float
    ) -> Operation:
        """Note an operation that is done after so many seconds.

        Raises:
            ExecutionError: One is at work on the table already.
        """
        now = time.time()
        with self._lock:
            if any((o.db, o.table) == (db, table) and now < o.ready for o in self._all):
                raise ExecutionError("there is already a task running")
            found = Operation(len(self._all) + 1, kind, db, table, indexes, now, now + seconds)
            self._all.append(found)
            return found

    def check_free(self, db: str, table: str) -> None:
        """Refuse a second operation on a table.

        Raises:
            ExecutionError: One is at work on it.
        """
        now = time.time()
        if any((o.db, o.table) == (db, table) and now < o.ready for o in self._all):
            raise ExecutionError("there is already a task running")

    def wait(self, operation: Operation) -> None:
        """Return when an operation is done."""
        time.sleep(max(0.0, operation.ready - time.time()))

    def unseen(self, db: str, table: str) -> frozenset[str]:
        """The names of a table's indexes that are still being made."""
        now = time.time()
        names = [o.indexes for o in self._all if (o.db, o.table) == (db, table) and now < o.ready]
        return frozenset(name for some in names for name in some)

    def jobs(self) -> list[Job]:
        """All of them as the name server's jobs."""
        now = time.time()
        return [operation.job(now) for operation in self._all]

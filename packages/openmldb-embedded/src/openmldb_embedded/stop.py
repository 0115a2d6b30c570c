"""How work that goes on is stopped, or let go of, from another thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from openmldb_sql.errors import SqlError


class Stopped(SqlError):
    """The work was stopped on demand."""

    default_code = 2000


class Detached(SqlError):
    """The server stops while the work goes on without it."""

    default_code = 2000


class Lost(SqlError):
    """The work was cut off by something outside it: the same job may pass when run again."""

    default_code = 2000


class Killable(Protocol):
    """Something that can be ended."""

    def kill(self) -> None:
        """End it; may be called from any thread."""


class Stop:
    """Stops what is going on, from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: Killable | None = None
        self.asked = False
        self.detached = False

    def __call__(self) -> None:
        """Ask for the stop; a worker process is killed at once."""
        with self._lock:
            self.asked = True
            if self._process is not None:
                self._process.kill()

    def detach(self) -> None:
        """Ask for the work to be let go of: it goes on without the server."""
        self.detached = True

    def check(self) -> None:
        """Raise ``Stopped`` if the stop was asked for, ``Detached`` if the letting go was."""
        if self.asked:
            raise Stopped("stopped")
        if self.detached:
            raise Detached("the server stops; the work goes on")

    @contextmanager
    def over(self, process: Killable) -> Iterator[None]:
        """Within, the stop kills ``process``."""
        with self._lock:
            self._process = process
            if self.asked:
                process.kill()
        try:
            yield
        finally:
            with self._lock:
                self._process = None

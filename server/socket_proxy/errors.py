"""Why a request does not reach the engine."""

from __future__ import annotations


class Refused(Exception):
    """A request that is not passed on.

    Attributes:
        status: HTTP status of the answer.
        message: what is wrong, in words for the person who reads the task's log.
    """

    def __init__(self, message: str, status: int = 403) -> None:
        # It may hold what the client wrote, and a line feed in the log would forge a line of it.
        self.message = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
        super().__init__(self.message)
        self.status = status


class EngineAway(Exception):
    """The engine does not answer, or not in HTTP."""

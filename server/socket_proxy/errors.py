"""Why a request does not reach the engine."""

from __future__ import annotations


class Refused(Exception):
    """A request that is not passed on.

    Attributes:
        status: HTTP status of the answer.
        message: what is wrong, in words for the person who reads the task's log.
    """

    def __init__(self, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class EngineAway(Exception):
    """The engine does not answer, or not in HTTP."""

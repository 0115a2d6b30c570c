"""Why there is no answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one field of one row; `field` is empty for the row itself."""

    row: int
    field: str
    problem: str


class NightshiftClientError(Exception):
    """No answer.

    Attributes:
        status: HTTP status; 0 where nobody answered.
        kind: the server's word for it, such as `invalid_rows` or `no_release`.
        request_id: under which the server's log knows the request.
    """

    def __init__(
        self, message: str, *, status: int = 0, kind: str = "", request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.request_id = request_id


class InvalidRequest(NightshiftClientError):
    """The request is at fault; sending it again gives the same.

    Attributes:
        problems: by row and field, where the server named them.
    """

    def __init__(self, message: str, *, problems: tuple[Problem, ...] = (), **more: Any) -> None:
        super().__init__(message, **more)
        self.problems = problems


class Unavailable(NightshiftClientError):
    """The server is away, not ready or too busy, and stayed so until the time was over."""


class ServerFault(NightshiftClientError):
    """The server, or a part behind it, gave no right answer."""

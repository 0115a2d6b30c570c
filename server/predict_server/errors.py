"""What a caller is told when there is no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nightshift.errors import (
    DeadlineExceeded,
    NightshiftError,
    OpenMLDBError,
    RetryableError,
    StatementTimeout,
)


class RequestError(Exception):
    """The request cannot be answered as it is.

    Args:
        status: HTTP status: 400 no JSON, 404 no such pipeline, 413 too much, 429 too many.
        kind: one word for metrics and for programs.
        message: what is wrong and what would be right.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind

    def body(self) -> dict[str, Any]:
        """JSON of the answer."""
        return {"error": self.kind, "message": str(self)}


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one field of one row; `field` is empty for the row itself."""

    row: int
    field: str
    problem: str


class InvalidRows(RequestError):
    """Rows that do not fit the deployment's request schema: HTTP 422."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        where = f"row {first.row}" + (f", field {first.field}" if first.field else "")
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(422, "invalid_rows", f"{where}: {first.problem}{more}")
        self.problems = problems

    def body(self) -> dict[str, Any]:
        """JSON of the answer, with each problem's row and field."""
        return {
            **super().body(),
            "detail": [
                {"row": p.row, "field": p.field, "problem": p.problem} for p in self.problems
            ],
        }


class BackendError(Exception):
    """No answer, and not by the request's fault: HTTP 502, 503 or 504.

    502 where a part behind this server answered nonsense, 503 where it is away for now, 504 where
    the request's own deadline passed.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind

    def body(self) -> dict[str, Any]:
        """JSON of the answer."""
        return {"error": self.kind, "message": str(self)}

    @classmethod
    def of(cls, error: NightshiftError) -> BackendError:
        """What a caller is told of a failure behind this server."""
        if isinstance(error, DeadlineExceeded) and not isinstance(error, StatementTimeout):
            return cls(504, "deadline", str(error))
        if isinstance(error, (RetryableError, StatementTimeout)):
            return cls(503, "unavailable", str(error))
        if isinstance(error, OpenMLDBError):
            return cls(502, "features", str(error))
        return cls(502, "contract", str(error))

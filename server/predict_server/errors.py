"""What a caller is told when there is no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class RequestError(Exception):
    """The request is at fault.

    Args:
        status: HTTP status: 400 no JSON, 413 too much of it.
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
    """A part behind this server is at fault: HTTP 503, or 502 where it answered nonsense."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind

    def body(self) -> dict[str, Any]:
        """JSON of the answer."""
        return {"error": self.kind, "message": str(self)}

"""What can go wrong beside the text of a statement (that is `openmldb_sql.errors`).

Every error is an `SqlError`: it carries the code that the HTTP surface answers with, always under
HTTP 200, as the real API server does.
"""

from __future__ import annotations

from openmldb_sql.errors import PlanError, SqlError


class WindowError(PlanError):
    """A window or join definition OpenMLDB refuses."""


class UnsupportedError(PlanError):
    """Sound SQL that this engine does not offer (or OpenMLDB does not)."""


class NotFound(SqlError):
    """A database, table, deployment, index or job that does not exist."""

    default_code = 2000


class TableNotFound(NotFound):
    """A table that does not exist, or whose database does not."""

    def __init__(self, db: str, name: str) -> None:
        super().__init__(f"table {name} in db {db} does not exist")
        self.db = db
        self.name = name


class AlreadyExists(SqlError):
    """A database, table, deployment or index whose name is taken."""

    default_code = 2000


class Fatal(SqlError):
    """What ends the process of the real API server; it must not be sent to one."""

    default_code = 2000
    suffix = "; on a cluster this ends the API server's process, for all of its clients"

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message + self.suffix, code)


class ExecutionError(SqlError):
    """A failure while a checked statement runs."""

    default_code = 2000


class ResourceLimitError(ExecutionError):
    """A query that would need more memory or rows than the guard allows."""


class ProtocolError(SqlError):
    """A malformed HTTP request body or a request row that does not fit its schema."""


class JobError(SqlError):
    """A command about jobs, or a job itself, that failed."""

    default_code = 2000


class RefusedByOpenMLDB(SqlError):
    """A query that OpenMLDB 0.9.2's own compiler refuses; the message is OpenMLDB's.

    Args:
        text: What it says, and what to do about it.
        planning: Whether its planner refuses it, before any name is looked up.
        deployment: Whether it was to be a deployment.
    """

    def __init__(self, text: str, *, planning: bool, deployment: bool) -> None:
        if planning:
            super().__init__(
                f"create logic plan tree failed--{text}",
                1001 if text.startswith("Syntax error") else 1002,
            )
            return
        code = 1000
        if text.startswith(("Fail to find column", "Column Not found", "Ambiguous column")):
            code = 1204
        elif "data provider op" in text or "data_provider op" in text:
            code = 1202
        where = "explain failed--" if deployment else "get tablet client failed--fail to explain--"
        super().__init__(where + text, code)

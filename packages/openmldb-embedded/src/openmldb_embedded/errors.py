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


class AlreadyExists(SqlError):
    """A database, table, deployment or index whose name is taken."""


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

"""The package's one tree of errors.

Every error carries the code the HTTP surface answers with (always under HTTP 200, as the real API
server does): -1 generic, 1000 syntax, 1001 plan (names, types, windows), 2000 command, 2001 server.
"""

from __future__ import annotations


class EmbeddedError(Exception):
    """An error a client can read: a code and one message.

    Attributes:
        code: The API server's error code.
        message: What is wrong, where, and how to mend it.
    """

    default_code = -1

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code


class PlanError(EmbeddedError):
    """A statement that cannot become a plan; its message begins as OpenMLDB's does."""

    default_code = 1001
    prefix = "create logic plan tree failed--"

    def __init__(self, message: str, code: int | None = None) -> None:
        if not message.startswith(self.prefix):
            message = self.prefix + message
        super().__init__(message, code)


class SyntaxError_(PlanError):  # noqa: N801 - the builtin's name is taken
    """Text that is not SQL of this dialect, or is nested deeper than the limit."""

    default_code = 1000


class TypeCheckError(PlanError):
    """An expression whose operand or argument types do not fit."""


class NameResolutionError(PlanError):
    """An unknown or ambiguous column, table alias, window or function."""


class WindowError(PlanError):
    """A window or join definition OpenMLDB refuses."""


class UnsupportedError(PlanError):
    """Sound SQL that this engine does not offer (or OpenMLDB does not)."""


class NotFound(EmbeddedError):
    """A database, table, deployment, index or job that does not exist."""


class AlreadyExists(EmbeddedError):
    """A database, table, deployment or index whose name is taken."""


class ExecutionError(EmbeddedError):
    """A failure while a checked statement runs."""

    default_code = 2000


class ResourceLimitError(ExecutionError):
    """A query that would need more memory or rows than the guard allows."""


class ProtocolError(EmbeddedError):
    """A malformed HTTP request body or a request row that does not fit its schema."""


class JobError(EmbeddedError):
    """A command about jobs, or a job itself, that failed."""

    default_code = 2000

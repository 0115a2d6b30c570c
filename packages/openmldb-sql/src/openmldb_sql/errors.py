"""What is wrong with a text of SQL, in the words and codes of OpenMLDB's API server.

Codes: -1 generic, 1000 syntax, 1001 plan (names, types, windows), 2000 command, 2001 server.
"""

from __future__ import annotations


class SqlError(Exception):
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


class PlanError(SqlError):
    """A statement that cannot become a plan; its message begins as OpenMLDB's does."""

    default_code = 1001
    prefix = "create logic plan tree failed--"

    def __init__(self, message: str, code: int | None = None) -> None:
        if not message.startswith(self.prefix):
            message = self.prefix + message
        super().__init__(message, code)

    @property
    def reason(self) -> str:
        """The message without OpenMLDB's beginning."""
        return self.message[len(self.prefix) :]


class SyntaxError_(PlanError):  # noqa: N801 - the builtin's name is taken
    """Text that is not SQL of this dialect, or is nested deeper than the limit."""

    default_code = 1000


class TypeCheckError(PlanError):
    """An expression whose operand or argument types do not fit."""


class NameResolutionError(PlanError):
    """An unknown or ambiguous column, table alias, window or function."""

"""What is wrong with a text of SQL, in the words and codes of OpenMLDB's API server.

Codes, as ``hybridse/src/proto/fe_common.proto`` has them: -1 generic, 3 types, 101 not supported,
1000 plan, 1001 syntax, 1100 code that cannot be generated, 1002 sound syntax that is none of OpenMLDB's statements, 1204 unknown column,
2000 command, 2001 server.
"""

from __future__ import annotations

CODEGEN = 1100
"""The code of an expression that is sound in its types and for which no code can be generated."""


class SqlError(Exception):
    """An error a client can read: a code and one message.

    Attributes:
        code: The API server's error code.
        message: What is wrong, where, and how to fix it.
    """

    default_code = -1

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code


class PlanError(SqlError):
    """A statement that cannot become a plan; its message begins as OpenMLDB's does."""

    default_code = 1000
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

    default_code = 1001


class LimitError(SyntaxError_):
    """A statement beyond this parser's limits of nesting or length, whatever OpenMLDB says of it."""


class AstError(PlanError):
    """Text that ZetaSQL reads and OpenMLDB does not: ``IS``, ``||``, SHOW TABLES LIKE, ..."""

    default_code = 1002


class UnsupportedSqlError(PlanError):
    """A kind of expression or action that OpenMLDB has no node for: ``<<``, ALTER TABLE ADD."""

    default_code = 101


class TypeCheckError(PlanError):
    """An expression whose operand or argument types do not fit, or an unknown type."""

    default_code = 3


class NameResolutionError(PlanError):
    """An unknown or ambiguous column, table alias or window."""

    default_code = 1204

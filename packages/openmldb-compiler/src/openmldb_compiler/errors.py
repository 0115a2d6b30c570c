"""What can keep the compiler from giving a verdict."""

from __future__ import annotations


class CompilerError(Exception):
    """Root of this package's errors."""


class CompilerUnavailable(CompilerError):
    """OpenMLDB's compiler is not on this machine; the message says why."""


class CompilerCrashed(CompilerError):
    """The compiler's process died over a statement."""


class CompilerTimeout(CompilerError):
    """The compiler did not answer within its time."""

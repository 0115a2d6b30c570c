"""What OpenMLDB 0.9.2's own compiler says of a statement, without a cluster."""

from openmldb_compiler.advice import (
    Problem,
    QueryRefused,
    Use,
    check_query,
    judge,
    problem,
    propose_indexes,
)
from openmldb_compiler.compiler import Compiler, Mode, Outcome, Tables, Verdict, shared
from openmldb_compiler.errors import (
    CompilerCrashed,
    CompilerError,
    CompilerTimeout,
    CompilerUnavailable,
)
from openmldb_compiler.wheel import VERSION, available, unavailable_reason

__all__ = [
    "VERSION",
    "Compiler",
    "CompilerCrashed",
    "CompilerError",
    "CompilerTimeout",
    "CompilerUnavailable",
    "Mode",
    "Outcome",
    "Problem",
    "QueryRefused",
    "Tables",
    "Use",
    "Verdict",
    "available",
    "check_query",
    "judge",
    "problem",
    "propose_indexes",
    "shared",
    "unavailable_reason",
]

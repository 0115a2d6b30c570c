"""A script to statements: everything but the inside of a SELECT becomes a frozen dataclass here.

SELECT text is handed on untouched to the query parser; only what surrounds it (``CONFIG (...)``,
``INTO OUTFILE``, ``DEPLOY``, ``EXPLAIN``) is taken off.
"""

from __future__ import annotations

from openmldb_sql.errors import SyntaxError_
from openmldb_sql.statements.grammar import Parser
from openmldb_sql.statements.indexes import TTL_TYPES, duration_ms, index_of
from openmldb_sql.statements.nodes import (
    Condition,
    CreateDatabase,
    CreateIndex,
    CreateTable,
    Delete,
    Deploy,
    Desc,
    DropDatabase,
    DropDeployment,
    DropIndex,
    DropTable,
    Explain,
    Insert,
    Literal,
    LoadData,
    Name,
    Options,
    Select,
    SelectInto,
    SetVar,
    Show,
    Statement,
    StopJob,
    Truncate,
    Use,
)
from openmldb_sql.tokens import Kind, tokens

__all__ = [
    "TTL_TYPES",
    "Condition",
    "CreateDatabase",
    "CreateIndex",
    "CreateTable",
    "Delete",
    "Deploy",
    "Desc",
    "DropDatabase",
    "DropDeployment",
    "DropIndex",
    "DropTable",
    "Explain",
    "Insert",
    "Literal",
    "LoadData",
    "Name",
    "Options",
    "Select",
    "SelectInto",
    "SetVar",
    "Show",
    "Statement",
    "StopJob",
    "Truncate",
    "Use",
    "duration_ms",
    "index_of",
    "parse",
    "split",
]


def split(script: str) -> list[str]:
    """Cut a script into its statements, without their ``;``; empty ones are left out.

    Raises:
        SyntaxError_: A quote, comment or bracket that does not close.
    """
    found: list[str] = []
    position = 0
    while position < len(script):
        cut = list(tokens(script, position))
        if cut[0].kind is not Kind.END:
            found.append(script[cut[0].start : cut[-1].start].strip())
        position = max(cut[-1].end, position + 1)
    return found


def parse(script: str) -> Statement:
    """Parse the first statement of a script; what follows its ``;`` is not looked at.

    Raises:
        SyntaxError_: The statement is empty, or none of OpenMLDB's.
    """
    position = 0
    while position < len(script):
        found = list(tokens(script, position))
        if found[0].kind is not Kind.END:
            return Parser(script, found).statement()
        position = max(found[0].end, position + 1)
    raise SyntaxError_("Syntax error: Unexpected end of statement, the SQL is empty")

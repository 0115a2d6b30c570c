"""A script to statements: everything but the inside of a SELECT becomes a frozen dataclass here.

SELECT text is handed on untouched to the query parser; only what surrounds it (``CONFIG (...)``,
``INTO OUTFILE``, ``DEPLOY``, ``EXPLAIN``) is taken off.
"""

from __future__ import annotations

from openmldb_sql.errors import PlanError, SyntaxError_
from openmldb_sql.statements.grammar import Parser
from openmldb_sql.statements.indexes import TTL_TYPES, duration_ms, index_of, whole_minutes
from openmldb_sql.statements.nodes import (
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
    Duration,
    Explain,
    Insert,
    Literal,
    LoadData,
    Long,
    Name,
    NotConstant,
    Options,
    Placeholder,
    Refused,
    Select,
    SelectInto,
    SetVar,
    Show,
    Single,
    Statement,
    StopJob,
    Truncate,
    Use,
    Value,
)
from openmldb_sql.tokens import Kind, place, tokens

__all__ = [
    "TTL_TYPES",
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
    "Duration",
    "Explain",
    "Insert",
    "Literal",
    "LoadData",
    "Long",
    "Name",
    "NotConstant",
    "Options",
    "Placeholder",
    "Refused",
    "Select",
    "SelectInto",
    "SetVar",
    "Show",
    "Single",
    "Statement",
    "StopJob",
    "Truncate",
    "Use",
    "Value",
    "duration_ms",
    "index_of",
    "parse",
    "parse_script",
    "split",
    "whole_minutes",
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
    raise PlanError("fail to create plan, sql trees is null or empty")


def parse_script(script: str) -> list[Statement]:
    """Parse all statements of a script; a ``;`` may follow the last one.

    Raises:
        PlanError: There is no statement.
        SyntaxError_: One is none of OpenMLDB's, or is empty.
    """
    parsed: list[Statement] = []
    position = 0
    while position < len(script):
        found = list(tokens(script, position))
        closed = found[-1].end > found[-1].start
        if found[0].kind is not Kind.END:
            parsed.append(Parser(script, found).statement())
        elif closed:
            raise SyntaxError_(
                f'Syntax error: Expected end of input but got ";" {place(script, found[-1].start)}'
            )
        position = max(found[-1].end, position + 1)
    if not parsed:
        raise PlanError("fail to create plan, sql trees is null or empty")
    return parsed

"""A script to statements: everything but the inside of a SELECT becomes a frozen dataclass here.

SELECT text is handed on untouched to the query parser; only what surrounds it (``CONFIG (...)``,
``INTO OUTFILE``, ``DEPLOY``, ``EXPLAIN``) is taken off.
"""

from __future__ import annotations

from openmldb_sql.errors import PlanError, SyntaxError_
from openmldb_sql.statements.grammar import Parser
from openmldb_sql.statements.indexes import TTL_TYPES, duration_ms, index_of, whole_minutes
from openmldb_sql.statements.nodes import (
    AlterTable,
    CallProcedure,
    CreateDatabase,
    CreateIndex,
    CreateProcedure,
    CreateTable,
    Delete,
    Deploy,
    Desc,
    DropDatabase,
    DropDeployment,
    DropFunction,
    DropIndex,
    DropProcedure,
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
from openmldb_sql.statements.plain import plain_insert
from openmldb_sql.tokens import Kind, Token, place, tokens

__all__ = [
    "TTL_TYPES",
    "AlterTable",
    "CallProcedure",
    "CreateDatabase",
    "CreateIndex",
    "CreateProcedure",
    "CreateTable",
    "Delete",
    "Deploy",
    "Desc",
    "DropDatabase",
    "DropDeployment",
    "DropFunction",
    "DropIndex",
    "DropProcedure",
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
    """Cut a script into its statements, without their ``;`` and the comments around them.

    Empty ones are left out. CREATE PROCEDURE ... BEGIN ... END is one statement.

    Raises:
        SyntaxError_: A quote, comment or bracket that does not close.
    """
    found: list[str] = []
    position = 0
    while position < len(script):
        cut = _statement(script, position)
        if cut[0].kind is not Kind.END:
            found.append(script[cut[0].start : cut[-2].end])
        position = max(cut[-1].end, position + 1)
    return found


def _statement(script: str, start: int) -> list[Token]:
    """The tokens of the statement that begins at a place, END last; a procedure's body included."""
    found = list(tokens(script, start))
    head = [token.upper for token in found[:4]]
    if head[:2] != ["CREATE", "PROCEDURE"] and head != ["CREATE", "OR", "REPLACE", "PROCEDURE"]:
        return found
    while found[-1].end < len(script):
        last, before = found[-2], found[-3]
        if last.upper == "END" and (before.upper == "BEGIN" or before.kind is Kind.END):
            break
        more = list(tokens(script, found[-1].end))
        if more[0].kind is Kind.END and more[0].end == len(script):
            break  # nothing but blanks: the body does not end
        found += more
    return found


def parse(script: str) -> Statement:
    """Parse the first statement of a script; what follows its ``;`` is not looked at.

    Raises:
        SyntaxError_: The statement is empty, or none of OpenMLDB's.
    """
    position = 0
    while position < len(script):
        found = _statement(script, position)
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
    plain = plain_insert(script)
    if plain is not None:
        return [plain]
    parsed: list[Statement] = []
    position = 0
    while position < len(script):
        found = _statement(script, position)
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

"""INSERTs of plain literals, read without cutting them into tokens.

Most INSERTs are written by programs: thousands of rows of numbers and quoted texts. Such a statement
is matched row by row, at a small part of the cost. Anything else in it, an escape, a comment, an
expression, leaves the statement to the parser, which also words all errors.
"""

from __future__ import annotations

import re

from openmldb_sql.errors import SqlError
from openmldb_sql.statements.cursor import integer
from openmldb_sql.statements.grammar import Parser
from openmldb_sql.statements.nodes import Insert, Literal
from openmldb_sql.tokens import tokens

_HEAD = re.compile(
    r"\s*INSERT\s[^'\"();#/-]*(?:\([^'\"();#/-]*\)\s*)?(?<!\w)VALUES\s*(?=\()", re.IGNORECASE
)
_VALUE = re.compile(
    r"'[^'\\\n]*'|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|NULL|TRUE|FALSE", re.IGNORECASE
)
_ROW = re.compile(
    rf"\s*\(\s*(?:{_VALUE.pattern})(?:\s*,\s*(?:{_VALUE.pattern}))*\s*\)\s*(,|;?\s*\Z)",
    re.IGNORECASE,
)
_WORDS: dict[str, Literal] = {"NULL": None, "TRUE": True, "FALSE": False}


def plain_insert(script: str) -> Insert | None:
    """The statement of a script that is one INSERT of plain literals; None where it is not."""
    head = _HEAD.match(script)
    if head is None:
        return None
    spans = []
    at, more = head.end(), ","
    while more == ",":
        row = _ROW.match(script, at)
        if row is None:
            return None
        spans.append((at, row.end()))
        at, more = row.end(), row[1]
    begin = f"{head[0]}(0)"
    try:
        statement = Parser(begin, list(tokens(begin))).statement()
        rows = tuple(tuple(map(_literal, _VALUE.findall(script, *span))) for span in spans)
    except SqlError:
        return None
    if not isinstance(statement, Insert):
        return None
    return Insert(statement.table, statement.columns, rows, statement.or_ignore)


def _literal(text: str) -> Literal:
    first = text[0]
    if first == "'":
        return text[1:-1]
    if first == "-" or first.isdigit():
        negative = first == "-"
        digits = text[1:] if negative else text
        if digits.isdigit():
            return integer(digits, negative=negative)
        return -float(digits) if negative else float(digits)
    return _WORDS[text.upper()]

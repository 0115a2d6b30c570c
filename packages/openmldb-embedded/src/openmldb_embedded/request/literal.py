"""Request rows that stand in the statement: ``CONFIG (execute_mode='request', values=...)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openmldb_sql.errors import PlanError
from openmldb_sql.parse import parse_select
from openmldb_sql.tokens import Token, tokens
from openmldb_sql.types import Schema, SqlType

from openmldb_embedded.batch import execute
from openmldb_embedded.check import plan_query
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import NotFound
from openmldb_embedded.memtable import Row
from openmldb_embedded.values import converter


class _NoTables:
    """A catalog of nothing: a request row reads no table."""

    def table_schema(self, db: str, name: str) -> Schema:
        """Nothing is there.

        Raises:
            NotFound: Always.
        """
        raise NotFound(f"table {db}.{name} not found: a request row is made of constants")


def literal_rows(text: str, fields: Sequence[tuple[str, SqlType]], *, strict: bool) -> list[Row]:
    """The rows of ``(1, 'a', timestamp(4000))``, or of ``[(...), (...)]``.

    Args:
        text: What stands after ``values=``.
        fields: Name and type of the request table's columns.
        strict: As in ``compile_batch``.

    Raises:
        PlanError: It is no row, has another number of values than the table columns, or a value
            of another type.
        SyntaxError_: A value is not an expression.
    """
    rows = []
    for number, row in enumerate(_rows(text)):
        node = plan_query(
            parse_select(f"SELECT {row}", strict=strict), _NoTables(), "", strict=strict
        )
        found = execute(node, lambda db, table: Batch([], [], 0)).to_rows()[0]
        if len(found) != len(fields):
            raise PlanError(
                f"values: row {number} has {len(found)} values, the request table {len(fields)} "
                f"columns ({', '.join(name for name, _ in fields)})"
            )
        rows.append(
            tuple(
                _as(x, f.type, kind, name)
                for x, f, (name, kind) in zip(found, node.fields, fields, strict=True)
            )
        )
    return rows


def cast_row(values: Sequence[str], types: Sequence[SqlType], *, strict: bool) -> Row:
    """A row of expressions without columns, each cast to its column's type: CALL's arguments.

    Raises:
        SqlError: A value is no such expression, or of a type that has no cast to the column's.
    """
    if not values:
        return ()
    items = ", ".join(
        f"cast({value} AS {kind.value})" for value, kind in zip(values, types, strict=True)
    )
    node = plan_query(
        parse_select(f"SELECT {items}", strict=strict), _NoTables(), "", strict=strict
    )
    return tuple(execute(node, lambda db, table: Batch([], [], 0)).to_rows()[0])


def _rows(text: str) -> list[str]:
    """The insides of the parentheses that stand outside others."""
    found = [t for t in tokens(text) if t.text]
    if found and found[0].text == "[":
        if found[-1].text != "]":
            raise PlanError("values: expected [(...), (...)]")
        found = found[1:-1]
    out: list[str] = []
    depth, start = 0, 0
    for i, token in enumerate(found):
        if depth == 0 and not _separates(
            token, first=not out, after=found[i - 1].text if i else ""
        ):
            raise PlanError(f"values: expected a row in parentheses but got {token.text[:40]!r}")
        if token.text == "(":
            start = token.end if depth == 0 else start
            depth += 1
        elif token.text == ")":
            depth -= 1
            if depth == 0:
                out.append(text[start : token.start])
    if not out or not any(row.strip() for row in out):
        raise PlanError("values: expected a row in parentheses, such as (1, 'a')")
    return out


def _separates(token: Token, *, first: bool, after: str) -> bool:
    """Whether a token may stand between rows."""
    if token.text == ",":
        return after == ")"
    return token.text == "(" and (first or after == ",")


def _as(value: Any, given: SqlType, wanted: SqlType, name: str) -> Any:
    """A value as the column's type, where it fits without change."""
    if value is None or given is wanted:
        return value
    whole = given.is_integer and (wanted.is_integer or wanted is SqlType.TIMESTAMP)
    real = given.is_numeric and wanted.is_floating
    date = given is SqlType.STRING and wanted in (SqlType.DATE, SqlType.TIMESTAMP)
    convert = converter(given, wanted) if whole or real or date else None
    made = None if convert is None else convert(value)
    if made is None or (whole and made != value):
        raise PlanError(
            f"values: column {name} is of type {wanted.value}, {value!r} of type {given.value} "
            f"does not fit"
        )
    return made

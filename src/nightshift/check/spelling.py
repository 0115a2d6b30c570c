"""Names in a refused query that nothing gives: a compiler stops at the first of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from openmldb_sql import syntax
from openmldb_sql.errors import SqlError
from openmldb_sql.parse import parse_select
from openmldb_sql.types import Schema

from nightshift.config.yamlfile import nearest


@dataclass(frozen=True)
class Unknown:
    """A name that stands for nothing.

    Attributes:
        name: as it is written.
        kind: `table`, `column` or `window`.
        line: the first line of the query that has it, from 1; None where it is not found.
        fix: the nearest known name, as a hint; may be empty.
    """

    name: str
    kind: str
    line: int | None
    fix: str


def unknown_names(query: str, schemas: Mapping[str, Schema]) -> list[Unknown]:
    """Tables, columns and windows of a query that are declared nowhere, in the query's order.

    A column counts as known where any table has it, or any part of the query gives it: what a
    compiler alone can say, that it is out of reach at its place, is left to the compiler.

    Args:
        query: a SELECT; one that does not parse has no names here.
        schemas: the tables by name.
    """
    try:
        tree = parse_select(query, strict=False)
    except (SqlError, RecursionError):
        return []
    every = list(syntax.nodes(tree))
    tables = {*schemas, *(name for node in every for name, _ in _ctes(node))}
    columns = {column for schema in schemas.values() for column in schema.names}
    columns |= {name for node in every for name in _given(node)}
    windows = {name for node in every if isinstance(node, syntax.Select) for name in node.windows}
    found: dict[tuple[str, str], Unknown] = {}
    for node in every:
        for kind, name, known in _used(node, tables, columns, windows):
            if name.lower() not in {one.lower() for one in known}:
                fix = nearest(name, sorted(known)).removeprefix("; ")
                found.setdefault((kind, name), Unknown(name, kind, _line(query, name), fix))
    return sorted(found.values(), key=lambda one: one.line or 0)


def _ctes(node: object) -> tuple[tuple[str, syntax.Query], ...]:
    return node.ctes if isinstance(node, syntax.Query) else ()


def _given(node: object) -> Iterator[str]:
    """Names that a part of the query gives; a column that passes through gives no new one."""
    if not isinstance(node, syntax.SelectItem):
        return
    if node.alias:
        yield node.alias
    elif not isinstance(node.expr, syntax.ColumnRef):
        yield syntax.show(node.expr)


def _used(
    node: object, tables: Collection[str], columns: Collection[str], windows: Collection[str]
) -> Iterator[tuple[str, str, Collection[str]]]:
    if isinstance(node, syntax.NamedTable):
        yield "table", node.name, tables
    elif isinstance(node, syntax.ColumnRef):
        yield "column", node.path[-1], columns
    elif isinstance(node, syntax.Call) and isinstance(node.over, str):
        yield "window", node.over, windows


def _line(query: str, name: str) -> int | None:
    match = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", query)
    return None if match is None else query.count("\n", 0, match.start()) + 1

"""Where an expression stands: what names mean there, and where its aggregate calls go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from openmldb_sql import syntax as s
from openmldb_sql.errors import NameResolutionError

from openmldb_embedded.expr import Col, Expr
from openmldb_embedded.plan import AggregateCall, Field, Node

Ctes = dict[str, tuple[s.Query, dict[str, Any]]]
"""The named subqueries in sight, each with those that it sees itself."""
Relation = Callable[[s.TableRef, Ctes], Node]
"""From what stands after FROM to its plan."""


@dataclass
class Calls:
    """The aggregate calls that the expressions of one SELECT need."""

    width: int
    calls: list[AggregateCall] = field(default_factory=list)

    def add(self, call: AggregateCall) -> Col:
        """The column that the call's value will stand in; equal calls share one."""
        for i, known in enumerate(self.calls):
            if known == call:
                return Col(self.width + i, call.impl.type, call.describe())
        self.calls.append(call)
        return Col(self.width + len(self.calls) - 1, call.impl.type, call.describe())


@dataclass
class Context:
    """Where an expression stands.

    Attributes:
        fields: What column names mean.
        calls: Collects aggregates; None where there can be none.
        over: The window that aggregates without OVER belong to.
        in_frame: Inside an aggregate's argument, evaluated for each row of the frame.
        grouped: Aggregates without OVER belong to the GROUP BY.
        windows: Index of each window by name.
        used: The windows this select item uses.
        item: The whole select item.
    """

    fields: tuple[Field, ...]
    calls: Calls | None = None
    over: int | None = None
    in_frame: bool = False
    grouped: bool = False
    windows: dict[str, int] = field(default_factory=dict)
    anonymous: dict[s.Window, int] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    item: s.Expr | None = None


@dataclass(frozen=True, slots=True)
class Place(s.ColumnRef):
    """A column by its place (path[0]), as ``*`` means it whatever its name."""


def resolve_column(path: tuple[str, ...], c: Context) -> Expr:
    """The column that a name, with or without its table, means.

    Raises:
        NameResolutionError: There is none, or more than one.
    """
    name = path[-1]
    qualifier = ".".join(path[:-1])
    found = [
        i
        for i, f in enumerate(c.fields)
        if f.name == name and (not qualifier or qualifier in f.tables)
    ]
    shown = ".".join(path)
    if not found:
        if qualifier and not any(qualifier in f.tables for f in c.fields):
            raise NameResolutionError(f"Fail to find column {shown}: no table {qualifier} here")
        known = ", ".join(dict.fromkeys(f.name for f in c.fields))
        raise NameResolutionError(f"Fail to find column {shown}; columns here: {known}")
    if len(found) > 1:
        raise NameResolutionError(f"column {shown} is ambiguous: {len(found)} columns have it")
    at = found[0]
    return Col(at, c.fields[at].type, name)


def expand_stars(
    items: Sequence[s.SelectItem], fields: tuple[Field, ...]
) -> Iterator[s.SelectItem]:
    """The select items, ``*`` and ``table.*`` replaced by the columns they stand for.

    Raises:
        NameResolutionError: There are no such columns.
    """
    for item in items:
        if not isinstance(item.expr, s.Star):
            yield item
            continue
        table = item.expr.table
        matching = [f for f in fields if table is None or table in f.tables]
        if not matching:
            where = f"table {table}" if table else "FROM"
            raise NameResolutionError(f"* has no columns to stand for: {where} is missing")
        for i, f in enumerate(fields):
            if table is None or table in f.tables:
                yield s.SelectItem(Place((str(i), f.name)), f.name)


def output_field(item: s.SelectItem, e: Expr, fields: tuple[Field, ...]) -> Field:
    """The output column that a select item makes."""
    tables: tuple[str, ...] = ()
    name = item.alias
    if isinstance(item.expr, s.ColumnRef) and isinstance(e, Col) and e.index < len(fields):
        if name is None or name == fields[e.index].name:
            tables = fields[e.index].tables
        if name is None:
            name = fields[e.index].name
    return Field(name if name is not None else s.show(item.expr), e.type, tables)

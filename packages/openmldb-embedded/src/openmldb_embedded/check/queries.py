"""Queries: their parts, their named subqueries, and the relations they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from openmldb_sql import syntax as s
from openmldb_sql.errors import PlanError
from openmldb_sql.types import Schema, SqlType

from openmldb_embedded.check.expressions import Expressions
from openmldb_embedded.check.joins import Joins
from openmldb_embedded.check.scope import Ctes
from openmldb_embedded.check.select import Selects
from openmldb_embedded.check.shapes import distinct, renamed, same_layout
from openmldb_embedded.check.windows import Windows
from openmldb_embedded.errors import UnsupportedError
from openmldb_embedded.plan import Field, Limit, Node, Scan, Union
from openmldb_embedded.values import COMPOSITE

T = SqlType
MAX_NODES = 2000
"""Relations a plan may have: CTEs named many times over would otherwise grow without bound."""


class Catalog(Protocol):
    """Where tables are looked up."""

    def table_schema(self, db: str, name: str) -> Schema:
        """The table's schema; NotFound where there is none."""
        ...


def plan_query(
    tree: s.Query,
    catalog: Catalog,
    default_db: str,
    params: Sequence[Any] = (),
    *,
    request: bool = False,
    strict: bool = False,
) -> Node:
    """The checked plan of a SELECT.

    ``request`` applies the stricter rules of deployments: window keys and order columns must be
    of types an index can have. ``strict`` refuses what OpenMLDB 0.9.2 refuses.

    Raises:
        PlanError: A name, type, window or join that OpenMLDB refuses.
        NotFound: An unknown database or table.
    """
    if len(params) < tree.parameters:
        raise PlanError(f"Fail to get parameter type with position {len(params) + 1}", 3)
    node = _Queries(catalog, default_db, params, request=request, strict=strict).query(tree, {})
    if request and strict:
        _refuse_union(node)
    for f in node.fields:
        if f.type in COMPOSITE:
            raise PlanError(
                f"column {f.name} is of type {f.type.value}, which no result can hold: pass it to "
                f"a function that gives a value",
                3 if f.type is T.ARRAY else 1000,
            )
    return node


def _refuse_union(node: Node) -> None:
    """Refuse a UNION on the way of the request row: its result would be no single row."""
    while node.children():
        if isinstance(node, Union):
            raise UnsupportedError(
                "unsupport non-row output type for online-request mode: a deployment gives one row "
                "for each request, so it takes no UNION of results"
            )
        node = node.children()[0]


class _Queries:
    def __init__(
        self, catalog: Catalog, db: str, params: Sequence[Any], *, request: bool, strict: bool
    ) -> None:
        expressions = Expressions(params, strict=strict)
        windows = Windows(expressions, self.relation, request=request, strict=strict)
        self._selects = Selects(expressions, windows, self.relation, strict=strict, request=request)
        self._joins = Joins(expressions, self.relation, request=request, strict=strict)
        self._strict = strict
        self._catalog = catalog
        self._db = db
        self._nodes = 0

    def query(self, q: s.Query, ctes: Ctes) -> Node:
        self._count()
        scope = dict(ctes)
        for name, inner in q.ctes:
            scope[name] = (inner, dict(scope))
        parts = [
            self._selects.plan(p, scope) if isinstance(p, s.Select) else self.query(p, scope)
            for p in q.selects
        ]
        if self._strict and any(f.name == "" for p in parts for f in p.fields):
            raise PlanError("OpenMLDB drops a column without a name: name it with AS")
        node = parts[0] if len(parts) == 1 else self._union(parts)
        if q.union_distinct:
            node = distinct(node)
        if q.order:
            raise UnsupportedError(
                "ORDER BY of a result is not supported (it is not in OpenMLDB): order the rows "
                "where you read them"
            )
        if q.limit is not None:
            node = Limit(node.fields, node, q.limit)
        return node

    def _union(self, parts: list[Node]) -> Node:
        first = parts[0]
        for p in parts[1:]:
            same_layout(first, p, "UNION", names=self._strict)
        return Union(first.fields, tuple(parts))

    def relation(self, ref: s.TableRef, ctes: Ctes) -> Node:
        self._count()
        match ref:
            case s.NamedTable(db, name, alias):
                if db is None and name in ctes:
                    inner, scope = ctes[name]
                    node = self.query(inner, scope)
                    return renamed(node, alias or name)
                at = db or self._db
                if not at:
                    raise PlanError(f"table {name}: no database chosen, write db.{name} or USE db")
                schema = self._catalog.table_schema(at, name)
                tables: tuple[str, ...] = (f"{at}.{name}",)
                if alias:
                    tables = (alias,)
                elif at == self._db:  # a table of another database goes by its whole name only
                    tables = (name, *tables)
                fields = tuple(Field(c.name, c.type, tables) for c in schema.columns)
                return Scan(fields, at, name, schema, aliased=alias is not None)
            case s.Subquery(query, alias):
                node = self.query(query, ctes)
                return renamed(node, alias) if alias else node
            case s.Join():
                return self._joins.plan(ref, ctes)
        raise AssertionError(ref)

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise PlanError(f"the statement grows to more than {MAX_NODES} relations")

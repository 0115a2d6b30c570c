"""LAST JOIN and LEFT JOIN: their keys, what else must hold, and what orders them."""

from __future__ import annotations

from collections.abc import Iterator

from openmldb_sql import syntax as s
from openmldb_sql.errors import PlanError, TypeCheckError
from openmldb_sql.types import SqlType

from openmldb_embedded.check.expressions import Expressions
from openmldb_embedded.check.operators import compared
from openmldb_embedded.check.scope import Context, Ctes, Relation
from openmldb_embedded.errors import UnsupportedError, WindowError
from openmldb_embedded.expr import Col, Expr, Logic, cast_to
from openmldb_embedded.plan import Filter, Join, Node, Renamed, Scan
from openmldb_embedded.rewrite import columns_read, shifted

T = SqlType


class Joins:
    """Plans joins.

    Args:
        expressions: Checks conditions and order.
        relation: Plans a side.
        request: Whether a deployment is checked.
        strict: Whether to refuse joins that OpenMLDB 0.9.2 refuses.
    """

    def __init__(
        self, expressions: Expressions, relation: Relation, *, request: bool, strict: bool
    ) -> None:
        self._expressions = expressions
        self._relation = relation
        self._request = request
        self._strict = strict

    def plan(self, ref: s.Join, ctes: Ctes) -> Node:
        """The checked join.

        Raises:
            PlanError: A kind, condition or order that OpenMLDB refuses.
        """
        if ref.kind not in ("LAST", "LEFT"):
            raise UnsupportedError(
                f"{ref.kind} JOIN is not supported: OpenMLDB has LAST JOIN and LEFT JOIN"
            )
        if self._strict and self._request and ref.kind == "LEFT":
            raise UnsupportedError(
                "unsupport non-row output type for online-request mode: a deployment gives one row "
                "for each request, so it takes LAST JOIN, not LEFT JOIN"
            )
        left, right = self._relation(ref.left, ctes), self._relation(ref.right, ctes)
        fields = left.fields + right.fields
        if ref.condition is None:
            raise PlanError(f"{ref.kind} JOIN needs a condition: add ON ...")
        context = Context(fields)
        width = len(left.fields)
        pairs: list[tuple[Expr, Expr]] = []
        rest: list[Expr] = []
        for term in _conjuncts(ref.condition):
            pair = self._equality(term, context, width)
            if pair is not None:
                pairs.append(pair)
            else:
                rest.append(self._expressions.condition(term, context, "ON"))
        for _, theirs in pairs:
            if self._strict and theirs.type.is_floating:
                raise TypeCheckError(
                    f"unsupported partition key: a join's key {theirs.describe()} is of type "
                    f"{theirs.type.value}, should be bool, intxx, string, date or timestamp"
                )
        residual: Expr | None = None
        for r in rest:
            residual = r if residual is None else Logic("AND", residual, r)
        order: Expr | None = None
        descending = False
        if ref.order:
            if ref.kind != "LAST":
                raise PlanError("ORDER BY belongs to LAST JOIN only")
            if len(ref.order) > 1:
                raise WindowError("LAST JOIN takes one ORDER BY column")
            key = ref.order[0]
            order = self._expressions.expr(key.expr, Context(right.fields))
            descending = key.descending
            if not isinstance(order, Col):
                raise WindowError("LAST JOIN's ORDER BY must be a column of the joined table")
            if order.type not in (T.INT32, T.INT64, T.TIMESTAMP):
                raise TypeCheckError(
                    f"LAST JOIN cannot order by {order.name} of type {order.type.value}: "
                    "TIMESTAMP, BIGINT or INT"
                )
        elif ref.kind == "LAST":
            order = _index_order(right, [b for _, b in pairs])
        return Join(fields, ref.kind, left, right, tuple(pairs), residual, order, descending)

    def _equality(self, term: s.Expr, context: Context, width: int) -> tuple[Expr, Expr] | None:
        if not (isinstance(term, s.Binary) and term.op == "="):
            return None
        a = self._expressions.expr(term.left, context)
        b = self._expressions.expr(term.right, context)
        sides = [_sides(a, width), _sides(b, width)]
        if sides[0] <= {"R"} and sides[1] <= {"L"}:
            a, b, sides = b, a, sides[::-1]
        if not (sides[0] <= {"L"} and sides[1] == {"R"}):
            return None
        type_ = compared(a, b, "=")
        return cast_to(a, type_), cast_to(shifted(b, -width), type_)


def _index_order(right: Node, keys: list[Expr]) -> Expr | None:
    """What orders a LAST JOIN that names no order: the time of the table's index on the join key.

    The online engine finds the rows by that index and takes its newest; without one, the row
    inserted last is taken.
    """
    while isinstance(right, (Renamed, Filter)):
        right = right.child
    if not isinstance(right, Scan):
        return None
    names = {right.declared.columns[k.index].name for k in keys if isinstance(k, Col)}
    for index in right.declared.indexes:
        if index.ts is not None and names == set(index.keys) and len(names) == len(keys):
            at = right.declared.position(index.ts)
            return Col(at, right.declared.columns[at].type, index.ts)
    return None


def _conjuncts(e: s.Expr) -> Iterator[s.Expr]:
    if isinstance(e, s.Binary) and e.op == "AND":
        yield from _conjuncts(e.left)
        yield from _conjuncts(e.right)
    else:
        yield e


def _sides(e: Expr, width: int) -> set[str]:
    return {"L" if i < width else "R" for i in columns_read(e)}

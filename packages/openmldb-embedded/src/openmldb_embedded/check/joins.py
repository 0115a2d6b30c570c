"""LAST JOIN and LEFT JOIN: their keys, what else must hold, and what orders them."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from openmldb_sql import syntax as s
from openmldb_sql.errors import CODEGEN, PlanError, TypeCheckError
from openmldb_sql.types import INTEGERS, SqlType

from openmldb_embedded.check.expressions import Expressions
from openmldb_embedded.check.operators import compared
from openmldb_embedded.check.scope import Context, Ctes, Relation, resolve_column
from openmldb_embedded.errors import UnsupportedError, WindowError
from openmldb_embedded.expr import Apply, Col, Expr, Impl, Logic, cast_to
from openmldb_embedded.plan import (
    Field,
    Filter,
    Join,
    Limit,
    Node,
    Project,
    Renamed,
    Scan,
    Union,
    WindowAggregate,
)
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
        for term in s.conjuncts(ref.condition):
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
        if self._strict and _is_empty_text(ref.condition):
            raise TypeCheckError(
                "Fail to install llvm function: an empty text as the only key of a join (compare "
                "it in a subquery's WHERE)",
                CODEGEN,
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
            if self._strict and isinstance(key.expr, s.ColumnRef) and len(key.expr.path) == 1:
                resolve_column(key.expr.path, context)  # a name of the left side's is ambiguous
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
            found = _by_index(right, [b for _, b in pairs])
            if found is not None:
                right, at = found
                order = Col(at, right.fields[at].type, right.fields[at].name)
        timed = len(right.fields) > len(fields) - width
        wide = left.fields + right.fields if timed else fields
        join = Join(
            wide,
            ref.kind,
            left,
            right,
            tuple(pairs),
            residual,
            order,
            descending,
            implied=not ref.order,
        )
        if not timed:
            return join
        # The time that orders the matches is not a column of the statement's: it ends here.
        shown = tuple(Col(i, f.type, f.name) for i, f in enumerate(fields))
        return Project(fields, join, shown)

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
        b = shifted(b, -width)
        types = {a.type, b.type}
        if len(types) > 1 and types <= _KEYS and not types <= set(INTEGERS):
            return _key_text(a), _key_text(b)
        type_ = compared(a, b, "=")
        return cast_to(a, type_), cast_to(b, type_)


_KEYS = {T.BOOL, *INTEGERS, T.STRING, T.DATE, T.TIMESTAMP}
"""Types that an index can have for a key."""


def _key_text(e: Expr) -> Expr:
    """A key as OpenMLDB's indexes spell it, which is how keys of different types compare.

    So BIGINT meets TIMESTAMP by milliseconds, and a DATE meets no text
    (hybridse ``KeyGenerator::Gen``).
    """
    if e.type is T.TIMESTAMP:
        e = cast_to(e, T.INT64)
    if e.type is T.DATE:
        return Apply("key", Impl(T.STRING, _date_key), (e,))
    return cast_to(e, T.STRING)


def _date_key(day: dt.date) -> str:
    return str((day.year - 1900) << 16 | (day.month - 1) << 8 | day.day)


def _is_empty_text(condition: s.Expr) -> bool:
    """Whether the only equality of an ON has an empty text on a side."""
    equal = [t for t in s.conjuncts(condition) if isinstance(t, s.Binary) and t.op == "="]
    return len(equal) == 1 and any(
        isinstance(side, s.Literal) and side.value == "" for side in (equal[0].left, equal[0].right)
    )


def _by_index(right: Node, keys: list[Expr]) -> tuple[Node, int] | None:
    """What orders a LAST JOIN that names no order: the time of the tables' index on the join key.

    The online engine finds the rows by that index and takes its newest; without one, the row
    inserted last is taken.

    Returns:
        The relation, with that time added as a last column where it is none of its columns, and
        the time's place; None where there is no such index.
    """
    places = [k.index for k in keys if isinstance(k, Col)]
    return _timed(right, places) if places and len(places) == len(keys) else None


def _timed(node: Node, keys: list[int]) -> tuple[Node, int] | None:
    """``_by_index`` of a relation keyed by the columns at ``keys``."""
    match node:
        case Scan():
            at = _index_time(node, keys)
            return None if at is None else (node, at)
        case Renamed() | Filter() | Limit():
            below = _timed(node.child, keys)
            if below is None:
                return None
            child, at = below
            fields = node.fields + child.fields[len(node.fields) :]
            return replace(node, fields=fields, child=child), at
        case Project():
            columns = [node.exprs[k] for k in keys]
            below = _timed(node.child, [c.index for c in columns if isinstance(c, Col)])
            if below is None or not all(isinstance(c, Col) for c in columns):
                return None
            return _shown(replace(node, child=below[0]), below[1])
        case Join() | WindowAggregate():
            # Columns added below would move those beside them: the time must be there already.
            first = node.left if isinstance(node, Join) else node.child
            width = len(first.fields)
            below = _timed(first, keys) if all(k < width for k in keys) else None
            if below is None or len(below[0].fields) > width:
                return None
            return node, below[1]
        case Union():
            parts = [_timed(p, keys) for p in node.parts]
            timed = [p for p in parts if p is not None]
            if len(timed) < len(parts):
                return None
            if len({at for _, at in timed}) == 1 and all(
                len(p.fields) == len(node.fields) for p, _ in timed
            ):
                return node, timed[0][1]
            wide = [_appended(p, len(node.fields), at) for p, at in timed]
            return Union(wide[0].fields, tuple(wide)), len(node.fields)
    return None


def _index_time(scan: Scan, keys: list[int]) -> int | None:
    """The place of the time of a table's index on exactly these columns."""
    names = {scan.declared.columns[k].name for k in keys}
    for index in scan.declared.indexes:
        if index.ts is not None and names == set(index.keys) and len(names) == len(keys):
            return scan.declared.position(index.ts)
    return None


def _shown(node: Project, at: int) -> tuple[Project, int]:
    """The projection with the child's column at ``at`` among its own, and where it stands."""
    for i, e in enumerate(node.exprs):
        if isinstance(e, Col) and e.index == at:
            return node, i
    column = Col(at, node.child.fields[at].type, node.child.fields[at].name)
    fields = (*node.fields, Field("", column.type))
    return replace(node, fields=fields, exprs=(*node.exprs, column)), len(node.exprs)


def _appended(node: Node, width: int, at: int) -> Project:
    """The first ``width`` columns of a relation, and its column at ``at`` after them."""
    places = [*range(width), at]
    exprs = tuple(Col(i, node.fields[i].type, node.fields[i].name) for i in places)
    return Project((*node.fields[:width], Field("", exprs[-1].type)), node, exprs)


def _sides(e: Expr, width: int) -> set[str]:
    return {"L" if i < width else "R" for i in columns_read(e)}

"""What OpenMLDB's batch engine on Spark (0.9.0) refuses although its compiler accepts it.

The compiler's plan is what both of OpenMLDB's engines run; the batch engine turns parts of it into
Spark's own columns, and knows fewer expressions there. Each rule was found by asking the engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from openmldb_sql import syntax as s
from openmldb_sql.errors import SqlError
from openmldb_sql.parse import parse_select
from openmldb_sql.types import SqlType

_AGGREGATES = re.compile(
    r"(count|sum|avg|min|max)(_where|_cate|_cate_where)?|distinct_count|top1_ratio|topn_frequency"
    r"|top_n_\w+|median|entropy|drawdown|ew_avg|std(dev)?(_samp|_pop)?|var(iance)?(_samp|_pop)?"
    r"|nth_value_where|window_split\w*|(fz_)?(top1_ratio|topn_frequency|window_split\w*)"
)
_LATER = ("locate", "array_join", "isin")
"""Functions of 0.9.2's compiler that came after 0.9.0."""
_EQUALS = ("=", "==")
_IN_ON = frozenset((*_EQUALS, "!=", "<>", "<", "<=", ">", ">=", "AND", "OR", *"+-*%", "DIV"))
"""Operators that the rest of a join's condition may hold."""


@dataclass(frozen=True)
class OfflineRefusal:
    """What the batch engine refuses in a query, and how it can be written."""

    message: str
    hint: str


def offline_refusals(select_sql: str) -> list[OfflineRefusal]:
    """What OpenMLDB's batch engine on Spark would refuse in a SELECT that its compiler accepts.

    Args:
        select_sql: One SELECT. A text that cannot be read has no refusals here: whoever compiles
            it says what is wrong.
    """
    try:
        tree = parse_select(select_sql, strict=True)
    except (SqlError, RecursionError):
        return []
    return list(dict.fromkeys(_query(tree, united=False)))


def _query(query: s.Query, *, united: bool) -> Iterator[OfflineRefusal]:
    for _, cte in query.ctes:
        yield from _query(cte, united=united)
    for part in query.selects:
        if isinstance(part, s.Query):
            yield from _query(part, united=united)
        else:
            yield from _select(part, united=united)


def _select(select: s.Select, *, united: bool) -> Iterator[OfflineRefusal]:
    items = [item.expr for item in select.items]
    if select.source is None:
        for item in items:
            if not _constant(item):
                yield OfflineRefusal(
                    f"{s.show(item)}: a SELECT without FROM gives plain constants only",
                    "write the value, or select from a table",
                )
    else:
        yield from _source(select.source, united=united)
    simple = all(isinstance(e, s.Star) or _plain(e) or isinstance(e, s.Literal) for e in items)
    truth = next((e for e in items if isinstance(e, s.Literal) and e.type is SqlType.BOOL), None)
    if select.source is not None and simple and truth is not None:
        yield OfflineRefusal(
            f"{s.show(truth)} beside columns alone: Const value for HybridSE type kBool not "
            "supported",
            "write bool(1) or bool(0)",
        )
    found = next((a for item in items for a in _alone(item)), None)
    if found is not None and not select.group and select.source is not None:
        yield OfflineRefusal(
            f"{s.show(found)} over the whole table: Project type kAggregation not supported",
            "add GROUP BY a column that is the same in every row, or use a window",
        )
    if select.where is not None and not united:
        for test in _tests(select.where):
            yield from _filter(test)
    yield from _windows(select, items)
    for call in (n for n in s.nodes(items) if isinstance(n, s.Call)):
        if call.name.lower() in _LATER:
            yield OfflineRefusal(
                f"Fail to resolve expression: {call.name.lower()} came after the batch engine's "
                "version, 0.9.0",
                "compute it before the tables are loaded",
            )


def _windows(select: s.Select, items: list[s.Expr]) -> Iterator[OfflineRefusal]:
    spelled = [n.over for n in s.nodes(items) if isinstance(n, s.Call)]
    for window in (*select.windows.values(), *(w for w in spelled if isinstance(w, s.Window))):
        for key in window.partition:
            if not isinstance(key, s.ColumnRef):
                yield OfflineRefusal(
                    f"PARTITION BY {s.show(key)}: Expr {s.show(key)} not supported",
                    "compute it in a subquery and partition by its column",
                )
        for ref in window.unions:
            yield from _source(ref, united=True)


def _source(ref: s.TableRef, *, united: bool) -> Iterator[OfflineRefusal]:
    if isinstance(ref, s.Subquery):
        yield from _query(ref.query, united=united)
    elif isinstance(ref, s.Join):
        yield from _source(ref.left, united=united)
        yield from _source(ref.right, united=united)
        if ref.condition is not None:
            right = _names(ref.right)
            for test in _tests(ref.condition):
                yield from _on(test, right)


def _names(ref: s.TableRef) -> frozenset[str]:
    if isinstance(ref, s.Join):
        return _names(ref.left) | _names(ref.right)
    alias = getattr(ref, "alias", None) or getattr(ref, "name", "")
    return frozenset((str(alias),))


def _tests(condition: s.Expr) -> Iterator[s.Expr]:
    """The parts that AND joins."""
    if isinstance(condition, s.Binary) and condition.op == "AND":
        yield from _tests(condition.left)
        yield from _tests(condition.right)
    else:
        yield condition


def _columns(e: s.Expr) -> list[s.ColumnRef]:
    return [n for n in s.nodes(e) if isinstance(n, s.ColumnRef)]


def _filter(test: s.Expr) -> Iterator[OfflineRefusal]:
    """An equality with a constant becomes two columns of Spark's."""
    if not isinstance(test, s.Binary) or test.op not in _EQUALS:
        return
    if bool(_columns(test.left)) == bool(_columns(test.right)):
        return
    for side in (test.left, test.right):
        if not _plain(side):
            yield _computed("WHERE", test, side)


def _on(test: s.Expr, right: frozenset[str]) -> Iterator[OfflineRefusal]:
    """An equality of the two sides becomes a key; the rest is an expression of Spark's."""
    if isinstance(test, s.Binary) and test.op in _EQUALS:
        sides = [{_side(c, right) for c in _columns(e)} for e in (test.left, test.right)]
        apart = sides[0] != sides[1] and all(len(side) < 2 for side in sides)
        if apart:
            for side in (test.left, test.right):
                if not _plain(side):
                    yield _computed("ON", test, side)
            return
    odd = next(_unknown(test), None)
    if odd is not None:
        yield OfflineRefusal(
            f"ON ... {s.show(odd)}: Do not support convert expression to Spark Column",
            "compute it in a subquery of the joined table, or filter there with WHERE",
        )


def _side(column: s.ColumnRef, right: frozenset[str]) -> str:
    if len(column.path) < 2:
        return "?"
    return "right" if column.path[-2] in right else "left"


def _unknown(e: s.Expr) -> Iterator[s.Expr]:
    """What Spark's columns are not made of."""
    if isinstance(e, s.ColumnRef) or _signed(e):
        return
    if isinstance(e, s.Literal):
        if e.type is SqlType.BOOL:
            yield e
    elif isinstance(e, s.Cast):
        yield from _unknown(e.operand)
    elif isinstance(e, s.Binary) and e.op in _IN_ON:
        yield from _unknown(e.left)
        yield from _unknown(e.right)
    else:
        yield e


def _computed(clause: str, test: s.Expr, side: s.Expr) -> OfflineRefusal:
    if isinstance(side, s.Literal):
        return OfflineRefusal(
            f"{clause} {s.show(test)}: Fail to support const node {s.show(side)}",
            "write the condition itself, or isnull(x)",
        )
    return OfflineRefusal(
        f"{clause} {s.show(test)}: Fail to resolve expr type of {s.show(side)}",
        "compute it in a subquery and compare its column"
        + (", or write an equality as NOT (... != ...)" if clause == "WHERE" else ""),
    )


def _signed(e: s.Expr) -> bool:
    return isinstance(e, s.Unary) and e.op == "-" and isinstance(e.operand, s.Literal)


def _plain(e: s.Expr) -> bool:
    """A column, a number or a text."""
    literal = isinstance(e, s.Literal) and e.value is not None and e.type is not SqlType.BOOL
    return literal or isinstance(e, s.ColumnRef) or _signed(e)


def _constant(e: s.Expr) -> bool:
    if isinstance(e, s.Literal):
        return e.type is not SqlType.BOOL
    return _signed(e) or (isinstance(e, s.Cast) and isinstance(e.operand, s.Literal))


def _alone(e: Any) -> Iterator[s.Call]:
    """Aggregate calls outside of any OVER."""
    if isinstance(e, s.Call):
        if e.over is not None:
            return
        if _AGGREGATES.fullmatch(e.name.lower()):
            yield e
            return
    if isinstance(e, (tuple, list)):
        for item in e:
            yield from _alone(item)
    elif is_dataclass(e) and not isinstance(e, type):
        for f in fields(e):
            yield from _alone(getattr(e, f.name))

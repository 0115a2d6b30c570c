"""Plans without the columns that nothing reads: what goes through the disk should be little."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from openmldb_embedded.expr import Col, Expr
from openmldb_embedded.plan import (
    Aggregate,
    AggregateCall,
    Filter,
    Join,
    Limit,
    Node,
    Project,
    Renamed,
    Union,
    WindowAggregate,
    WindowPlan,
)
from openmldb_embedded.rewrite import columns_read, map_columns

Places = Mapping[int, int]
"""Where a column of the old relation stands in the new one."""


def pruned(node: Node) -> Node:
    """The same relation; the relations below it hold what is read of them alone."""
    return _kept(node, range(len(node.fields)))


def _kept(node: Node, wanted: Iterable[int]) -> Node:
    """The columns ``wanted`` of a relation, in ascending order of their places."""
    columns = sorted(set(wanted))
    match node:
        case Renamed(fields, child):
            return Renamed(tuple(fields[i] for i in columns), _kept(child, columns))
        case Project(fields, child, exprs):
            picked = [exprs[i] for i in columns]
            below, places = _below(child, _read(picked))
            return Project(
                tuple(fields[i] for i in columns), below, tuple(_moved(e, places) for e in picked)
            )
        case Filter(_, child, predicate):
            below, places = _below(child, {*columns, *columns_read(predicate)})
            return _chosen(Filter(below.fields, below, _moved(predicate, places)), columns, places)
        case Limit(_, child, rows):
            below = _kept(child, columns)
            return Limit(below.fields, below, rows)
        case Union(fields, parts):
            return Union(tuple(fields[i] for i in columns), tuple(_kept(p, columns) for p in parts))
        case Join():
            return _join(node, columns)
        case Aggregate():
            width = len(node.child.fields)
            read = _read([*node.keys, *_arguments(node.calls)])
            below, places = _below(node.child, {i for i in read if i < width})
            calls = _calls(node.calls, places, width, len(below.fields))
            keys = tuple(_moved(k, places) for k in node.keys)
            whole = Aggregate(node.fields, below, keys, calls)
            return _chosen(whole, columns, _same(node.fields))
        case WindowAggregate():
            return _window(node, columns)
    return _chosen(node, columns, _same(node.fields))


def _window(node: WindowAggregate, columns: Sequence[int]) -> Node:
    width = len(node.child.fields)
    orders = [w.order for w in node.windows if w.order is not None]
    keys = [k for w in node.windows for k in w.partition]
    read = _read([*orders, *keys, *_arguments(node.calls)])
    kept = sorted({i for i in (*read, *columns) if i < width})
    below, places = _below(node.child, kept)
    calls = _calls(node.calls, places, width, len(below.fields))
    unions: dict[str, Node] = {}

    def united(u: Node) -> Node:
        return unions.setdefault(repr(u), _kept(u, kept))

    def moved(w: WindowPlan) -> WindowPlan:
        return replace(
            w,
            partition=tuple(_moved(k, places) for k in w.partition),
            order=None if w.order is None else _moved(w.order, places),
            unions=tuple(united(u) for u in w.unions),
        )

    fields = below.fields + node.fields[width:]
    whole = WindowAggregate(fields, below, tuple(map(moved, node.windows)), calls, node.by_frame)
    out = dict(places)
    out.update({width + i: len(below.fields) + i for i in range(len(calls))})
    return _chosen(whole, columns, out)


def _join(node: Join, columns: Sequence[int]) -> Node:
    width = len(node.left.fields)
    read = {*columns, *(() if node.residual is None else columns_read(node.residual))}
    of_right = [b for _, b in node.pairs] + ([] if node.order is None else [node.order])
    left, at_left = _below(
        node.left, {*(i for i in read if i < width), *_read([a for a, _ in node.pairs])}
    )
    right, at_right = _below(
        node.right, {*(i - width for i in read if i >= width), *_read(of_right)}
    )
    places = dict(at_left)
    places.update({width + i: len(left.fields) + place for i, place in at_right.items()})
    whole = replace(
        node,
        fields=left.fields + right.fields,
        left=left,
        right=right,
        pairs=tuple((_moved(a, at_left), _moved(b, at_right)) for a, b in node.pairs),
        residual=None if node.residual is None else _moved(node.residual, places),
        order=None if node.order is None else _moved(node.order, at_right),
    )
    return _chosen(whole, columns, places)


def _below(child: Node, wanted: Iterable[int]) -> tuple[Node, Places]:
    columns = sorted(set(wanted))
    return _kept(child, columns), {old: new for new, old in enumerate(columns)}


def _chosen(node: Node, columns: Sequence[int], places: Places) -> Node:
    """The columns at the new places of ``columns``."""
    wanted = [places[i] for i in columns]
    if wanted == list(range(len(node.fields))):
        return node
    fields = tuple(node.fields[i] for i in wanted)
    exprs = tuple(Col(i, f.type, f.name) for i, f in zip(wanted, fields, strict=True))
    return Project(fields, node, exprs)


def _same(fields: Sequence[object]) -> Places:
    return {i: i for i in range(len(fields))}


def _read(exprs: Iterable[Expr]) -> set[int]:
    return {i for e in exprs for i in columns_read(e)}


def _arguments(calls: Iterable[AggregateCall]) -> list[Expr]:
    return [a for call in calls for a in call.arguments]


def _moved(e: Expr, places: Places) -> Expr:
    return map_columns(e, lambda c: Col(places[c.index], c.type, c.name))


def _calls(
    calls: Sequence[AggregateCall], places: Places, width: int, now: int
) -> tuple[AggregateCall, ...]:
    """The calls over the new relation; from ``width`` on an index means an earlier call."""
    by_place = dict(places)
    by_place.update({width + i: now + i for i in range(len(calls))})
    return tuple(
        replace(c, arguments=tuple(_moved(a, by_place) for a in c.arguments)) for c in calls
    )

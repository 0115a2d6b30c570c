"""Joins and windows against stored rows: each through an index where one can serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded.aggregates import resolve_aggregate
from openmldb_embedded.expiry import LAST_JOIN, LEFT_JOIN, window_reach
from openmldb_embedded.expr import Apply, Col, Const, Expr, Impl, Logic
from openmldb_embedded.memtable import NULL_TIME, Key, Row
from openmldb_embedded.plan import (
    AggregateCall,
    Field,
    Filter,
    Join,
    Node,
    Project,
    Renamed,
    Scan,
    WindowAggregate,
    WindowPlan,
)
from openmldb_embedded.request.columnwise import Column, Compute, Rowset, keys_of
from openmldb_embedded.request.paths import AccessPath, Materialised, Online
from openmldb_embedded.request.rows import key_function
from openmldb_embedded.rewrite import shifted, substitute

T = SqlType


class Access:
    """Finds how the plan's relations of stored tables are read.

    Args:
        online: What the plan is bound to.
    """

    def __init__(self, online: Online) -> None:
        self._online = online

    # -- joins

    def _candidates(self, node: Join) -> tuple[AccessPath, list[Expr], Expr | None]:
        """The access path, the key of a left row, and what is left to test."""
        path = self._path(node.right)
        used: list[tuple[Expr, str]] = []
        rest: list[tuple[Expr, Expr]] = []
        for a, b in node.pairs:
            name = path.base_column(b) if path is not None else None
            if name is None or any(name == n for _, n in used):
                rest.append((a, b))
            else:
                used.append((a, name))
        ts: str | None = None
        if path is not None and used:
            names = tuple(n for _, n in used)
            ts = self._join_order(node, path)
            reach = LAST_JOIN if node.kind == "LAST" else LEFT_JOIN
            path.open(self._online, names, ts, reach, implied=node.implied)
            key = [a for a, _ in used]
        else:
            path = self._materialised(node.right, tuple(b for _, b in node.pairs), node.order)
            rest = []
            key = [a for a, _ in node.pairs]
        residual = node.residual
        width = len(node.left.fields)
        for a, b in rest:
            test: Expr = _same_value(a, shifted(b, width))
            residual = test if residual is None else Logic("AND", residual, test)
        if node.order is not None and path.ts is None and not path.sorted:
            path.sort_by(node.order)
        return path, key, residual

    def _join_order(self, node: Join, path: AccessPath) -> str | None:
        if node.order is None or node.order.type not in (T.INT64, T.TIMESTAMP):
            return None
        return path.base_column(node.order)

    def last_match(self, node: Join) -> Callable[[Row], Row]:
        """From a left row to the row that LAST JOIN makes of it."""
        return self._last_match(node)[0]

    def last_matches(self, node: Join) -> tuple[Callable[[Row], Row], Callable[[Rowset], Rowset]]:
        """What LAST JOIN makes of a left row, and of several: each key is looked up once."""
        match, key, rights = self._last_match(node)
        width, right_width = len(node.left.fields), len(node.right.fields)

        def beside(x: Rowset, found: list[Row]) -> Rowset:
            if len(set(map(id, found))) == 1:
                right = [x.once(value) for value in found[0]]
            else:
                right = [Column.picked(found, at) for at in range(right_width)]
            return Rowset([*x.columns, *right], x.count)

        if key is None:
            return match, lambda x: beside(x, [match(row)[width:] for row in x.rows()])
        of = key

        def matches(x: Rowset) -> Rowset:
            asked = of(x)
            if asked.same:
                (found,) = rights([asked.value]) if rights else [match(x.row(0))[width:]]
                return beside(x, [found])
            keys = asked.values()
            if rights is None:
                firsts = dict(zip(reversed(keys), range(x.count - 1, -1, -1), strict=True))
                known = {k: match(x.row(at))[width:] for k, at in firsts.items()}
            else:
                distinct = list(dict.fromkeys(keys))
                known = dict(zip(distinct, rights(distinct), strict=True))
            return beside(x, [known[k] for k in keys])

        return match, matches

    def _last_match(
        self, node: Join
    ) -> tuple[Callable[[Row], Row], Compute | None, Callable[[Sequence[Key]], list[Row]] | None]:
        """The match; the key that it depends on, None where it depends on more; the rows of keys."""
        path, exprs, residual = self._candidates(node)
        key = key_function(exprs)
        make, nothing = path.maker(), (None,) * len(node.right.fields)
        test = None if residual is None else residual.row()
        fetch, keep, descending = path.fetch, path.keep, node.descending
        if keep is None and test is None and not descending:

            def newest(x: Row) -> Row:
                times, rows, live, _ = fetch(key(x))
                stop = min(len(times), len(rows))
                return (*x, *make(rows[stop - 1])) if stop > live else (*x, *nothing)

            def newest_of(keys: Sequence[Key]) -> list[Row]:
                # Rows are appended before their times: there are at least as many.
                return [
                    make(rows[stop - 1]) if (stop := len(times)) > live else nothing
                    for times, rows, live, _ in path.fetch_all(keys)
                ]

            return newest, keys_of(exprs), newest_of

        def match(x: Row) -> Row:
            times, rows, live, _ = fetch(key(x))
            stop = min(len(times), len(rows))
            if descending:
                places: Sequence[int] = _least_first(times, live, stop)
            else:
                places = range(stop - 1, live - 1, -1)
            for i in places:
                y = rows[i]
                if keep is not None:
                    kept = keep(y)
                    if kept is None:
                        continue
                    y = kept
                both = (*x, *make(y))
                if test is None or test(both):
                    return both
            return (*x, *nothing)

        return match, keys_of(exprs) if test is None else None, None

    def all_matches(self, node: Join) -> Callable[[Row], list[Row]]:
        """From a left row to the rows that LEFT JOIN makes of it."""
        path, exprs, residual = self._candidates(node)
        key = key_function(exprs)
        make, nothing = path.maker(), (None,) * len(node.right.fields)
        test = None if residual is None else residual.row()

        def match(x: Row) -> list[Row]:
            times, rows, live, _ = path.fetch(key(x))
            out = []
            for i in range(live, min(len(times), len(rows))):
                y = rows[i] if path.keep is None else path.keep(rows[i])
                if y is None:
                    continue
                both = (*x, *make(y))
                if test is None or test(both):
                    out.append(both)
            return out or [(*x, *nothing)]

        return match

    # -- windows

    def window_path(self, source: Node, w: WindowPlan) -> AccessPath:
        """The path by which a window reads one of its sources."""
        path = self._path(source)
        f = w.frame
        if path is not None:
            names = [path.base_column(e) for e in w.partition]
            ts = None if w.order is None else path.base_column(w.order)
            known = [n for n in names if n is not None]
            fits = len(set(known)) == len(names) and (w.order is None or ts is not None)
            if fits:
                path.open(self._online, tuple(known), ts, window_reach(f))
                return path
        return self._materialised(source, w.partition, w.order)

    # -- relations

    def _path(self, node: Node) -> AccessPath | None:
        """How the rows of a relation of stored tables come from one table's rows, or None."""
        match node:
            case Scan():
                outputs = tuple(Col(i, f.type, f.name) for i, f in enumerate(node.fields))
                return AccessPath(node, outputs, None)
            case Renamed(_, child):
                return self._path(child)
            case Project(_, child, exprs):
                path = self._path(child)
                if path is None:
                    return None
                projected = tuple(substitute(e, path.outputs) for e in exprs)
                return AccessPath(path.scan, projected, path.keep, path.base_width, pure=path.pure)
            case Filter(_, child, predicate):
                path = self._path(child)
                if path is None:
                    return None
                test = substitute(predicate, path.outputs).row()
                keep = _then(path.keep, _filtering(test))
                return AccessPath(path.scan, path.outputs, keep, path.base_width, pure=path.pure)
            case Join(kind="LAST"):
                path = self._path(node.left)
                if path is None:
                    return None
                extend = self._extension(node, path)
                base = path.base_width
                right = tuple(
                    Col(base + i, f.type, f.name) for i, f in enumerate(node.right.fields)
                )
                keep = _then(path.keep, extend)
                return AccessPath(
                    path.scan, path.outputs + right, keep, base + len(right), pure=False
                )
            case _:
                return None

    def _extension(self, node: Join, path: AccessPath) -> Callable[[Row], Row | None]:
        """A stored left row with its match beside it."""
        match = self.last_match(node)
        make = path.maker()
        width = len(node.left.fields)
        return lambda row: (*row, *match(tuple(make(row)))[width:])

    def _materialised(self, node: Node, keys: tuple[Expr, ...], order: Expr | None) -> AccessPath:
        """The relation computed in batch mode and sorted by key; kept until a table changes."""
        outputs = tuple(Col(i, f.type, f.name) for i, f in enumerate(node.fields))
        path = AccessPath(None, outputs, None)
        path.sorted = True
        if self._online.tables is not None:
            found = _by_frame(node)
            path.fetch = Materialised(node, keys, order, self._online.tables, found).fetch
        return path


def _by_frame(node: Node) -> tuple[Node, Node] | None:
    """For a relation with a window whose frames do not hold their own row: what to join instead.

    A deployment reads such a frame without the row that it is of, and takes the frame's newest row
    for it (hybridse, ``PhysicalRequestUnionNode::output_request_row``).

    Returns:
        The relation row by row, and a relation of the same rows whose last column is NULL where a
        row's frame is empty; None where all frames hold their rows.
    """
    match node:
        case Project() | Renamed():
            found = _by_frame(node.child)
            return None if found is None else (replace(node, child=found[0]), found[1])
        case WindowAggregate(_, child, (window,)):
            f = window.frame
            if not (f.kind == "range" and f.end > 0) and not f.exclude_current_time:
                return None
            made = replace(node, by_frame=True)
            rows = AggregateCall("count", 0, resolve_aggregate("count", [T.INT32], [1]), (_ONE,))
            counted = replace(made, fields=(*child.fields, Field("count", T.INT64)), calls=(rows,))
            return made, counted
    return None


_ONE = Const(1, T.INT32)


def _same_value(a: Expr, b: Expr) -> Expr:
    """Equality of join keys: NULL equals NULL."""
    return Apply("same", Impl(T.BOOL, lambda x, y: x == y, strict=False), (a, b))


def _filtering(test: Callable[[Row], Any]) -> Callable[[Row], Row | None]:
    return lambda row: row if test(row) else None


def _then(
    first: Callable[[Row], Row | None] | None, second: Callable[[Row], Row | None]
) -> Callable[[Row], Row | None]:
    if first is None:
        return second
    before = first

    def run(row: Row) -> Row | None:
        kept = before(row)
        return None if kept is None else second(kept)

    return run


def _least_first(times: list[int], live: int, stop: int) -> list[int]:
    """Places by time ascending, of equal times the later row first, NULL times last."""
    return sorted(range(live, stop), key=lambda i: (times[i] == NULL_TIME, times[i], -i))

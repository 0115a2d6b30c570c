"""A checked plan bound to answer request rows: the path of the request row itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import eq
from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.errors import ProtocolError, UnsupportedError
from openmldb_embedded.expr import Expr
from openmldb_embedded.memtable import Row
from openmldb_embedded.plan import (
    Aggregate,
    Filter,
    Join,
    Limit,
    Node,
    Project,
    Renamed,
    Scan,
    Union,
    Unit,
    WindowAggregate,
    WindowPlan,
)
from openmldb_embedded.request.access import Access
from openmldb_embedded.request.columnwise import Column, Rowset, columnwise
from openmldb_embedded.request.frames import ByRow, Call, Frame, Place
from openmldb_embedded.request.needed import Needed
from openmldb_embedded.request.paths import Online, Tables
from openmldb_embedded.request.rows import constant_columns, row_maker
from openmldb_embedded.request.settled import Settled

T = SqlType
Rows = Callable[[Row], list[Row]]
"""From the request row to a relation's rows."""
Together = Callable[[Rowset], Rowset]
"""From request rows to a relation's rows, of a relation that has one row for each."""
Relation = tuple[Rows, Together | None]
"""A relation for one request row, and for several; None where it may have none or many for one."""

SEVERAL = 4
"""Rows of one call that are answered together."""


def request_scan(plan: Node) -> Scan:
    """The leftmost scan: the request table.

    Raises:
        UnsupportedError: The plan has none.
    """
    node = plan
    while not isinstance(node, Scan):
        children = node.children()
        if not children:
            raise UnsupportedError("a deployment needs FROM a table: its rows are the requests")
        node = children[0]
    return node


class RequestPlan:
    """A plan bound to online tables.

    Args:
        plan: The checked plan.
        tables: Gives each online table.
        needed: Collects the indexes used, or None.
    """

    def __init__(self, plan: Node, tables: Tables | None, needed: Needed | None = None) -> None:
        self._request = request_scan(plan)
        self._stored = Access(Online(tables, needed))
        self._floats = [
            i for i, c in enumerate(self._request.declared.columns) if c.type is T.FLOAT
        ]
        self._width = len(self._request.declared.columns)
        self._floating = frozenset(
            i for i, c in enumerate(self._request.declared.columns) if c.type.is_floating
        )
        self._answer, self._together = self._relation(plan)

    def execute(self, rows: Sequence[Row]) -> list[Row]:
        """One output row for each request row (none where WHERE drops it).

        Raises:
            ProtocolError: A row of another length than the request table.
        """
        if len(rows) >= SEVERAL:
            # What a row raises is found row by row, so that the first one's error is told; what
            # columns raise, a row alone need not.
            with contextlib.suppress(Exception):
                return self.by_columns(rows)
        return self.by_rows(rows)

    def by_rows(self, rows: Sequence[Row]) -> list[Row]:
        """As ``execute``, one row after the other: what an answer is."""
        read = [self._read(row, i) for i, row in enumerate(rows)]
        return [found for row in read for found in self._answer(row)]

    def by_columns(self, rows: Sequence[Row]) -> list[Row]:
        """As ``execute``, all rows together.

        Raises:
            ByRow: These rows can only be answered one after the other.
            Exception: Some row raised it; alone it need not.
        """
        if self._together is None:
            raise ByRow
        if self._floats or set(map(len, rows)) != {self._width}:
            rows = [self._read(row, i) for i, row in enumerate(rows)]
        return self._together(Rowset.of(rows, self._floating)).rows()

    def _read(self, row: Row, place: int) -> Row:
        if len(row) != self._width:
            raise ProtocolError(f"Invalid input data size in row {place}")
        if self._floats:
            items = list(row)
            for f in self._floats:
                if items[f] is not None:
                    items[f] = v.to_float32(items[f])
            row = tuple(items)
        return row

    def _rows(self, node: Node) -> Rows:
        return self._relation(node)[0]

    def _relation(self, node: Node) -> Relation:
        match node:
            case Scan():
                return lambda r: [r], lambda x: x
            case Renamed(_, child):
                return self._relation(child)
            case Unit():
                return lambda r: [()], lambda x: Rowset((), x.count)
            case Project(_, child, exprs):
                below, all_below = self._relation(child)
                make = row_maker(exprs, len(child.fields))
                if make is None:
                    return below, all_below
                made = make
                return (
                    lambda r: [made(x) for x in below(r)],
                    None if all_below is None else _projected(all_below, exprs),
                )
            case Filter(_, child, predicate):
                source, test = self._rows(child), predicate.row()
                return lambda r: [x for x in source(r) if test(x)], None
            case Limit(_, child, count):
                inner = self._rows(child)
                return lambda r: inner(r)[:count], None
            case Join():
                return self._join(node)
            case WindowAggregate():
                return self._window(node)
            case Union(_, parts):
                return self._union(parts), None
            case Aggregate(_, child, keys, ()) if keys:
                found = self._rows(child)
                chosen = row_maker(keys, len(child.fields)) or (lambda r: r)
                return lambda r: list(dict.fromkeys(chosen(x) for x in found(r))), None
            case _:
                raise UnsupportedError(
                    "GROUP BY and aggregates without OVER are not supported on the "
                    "request table: use a window"
                )

    def _union(self, parts: tuple[Node, ...]) -> Rows:
        for p in parts:
            scan = request_scan(p)
            if (scan.db, scan.table) != (self._request.db, self._request.table):
                raise UnsupportedError(
                    f"UNION in a deployment: every part selects from the request table "
                    f"{self._request.table}, not from {scan.table}"
                )
        rows = [self._rows(p) for p in parts]
        return lambda r: [x for one in rows for x in one(r)]

    def _is_request(self, node: Node) -> bool:
        """A subquery over the request table stands for the request row; the bare table does not."""
        bare: Node = node
        while isinstance(bare, Renamed):
            bare = bare.child
        if isinstance(bare, Scan):
            return False
        try:
            scan = request_scan(bare)
        except UnsupportedError:
            return False
        return (scan.db, scan.table) == (self._request.db, self._request.table)

    def _join(self, node: Join) -> Relation:
        left, all_left = self._relation(node.left)
        if self._is_request(node.right):
            right, all_right = self._relation(node.right)
            pair = self._request_match(node, right)

            def beside(r: Row) -> list[Row]:
                out = []
                for x in left(r):
                    out += pair(x, r)
                return out

            if all_left is None or all_right is None:
                return beside, None
            return beside, self._request_matches(node, all_left, all_right)
        if node.kind == "LEFT":
            every = self._stored.all_matches(node)
            return lambda r: [y for x in left(r) for y in every(x)], None
        match, matches = self._stored.last_matches(node)
        return (
            lambda r: [match(x) for x in left(r)],
            None if all_left is None else (lambda x: matches(all_left(x))),
        )

    @staticmethod
    def _request_matches(node: Join, left: Together, right: Together) -> Together:
        """A join with a relation over the same request rows that has one row for each."""
        keys = [
            (columnwise(a), columnwise(b), a.type.is_floating or b.type.is_floating)
            for a, b in node.pairs
        ]
        residual = None if node.residual is None else columnwise(node.residual)

        def beside(x: Rowset) -> Rowset:
            mine, its = left(x), right(x)
            fits = [_equal(a(mine), b(its), floating=f) for a, b, f in keys]
            both = Rowset([*mine.columns, *its.columns], x.count)
            if residual is not None:
                fits.append(residual(both))
            if all(fit.same and fit.value for fit in fits):
                return both
            rows = zip(*[fit.values() for fit in fits], strict=True)
            keeps = [all(row) for row in rows]
            return Rowset([*mine.columns, *[_where(c, keeps) for c in its.columns]], x.count)

        return beside

    @staticmethod
    def _request_match(node: Join, right: Rows) -> Callable[[Row, Row], list[Row]]:
        keys = [(a.row(), b.row()) for a, b in node.pairs]
        residual = None if node.residual is None else node.residual.row()
        nothing = (None,) * len(node.right.fields)
        last = node.kind == "LAST"
        if len(keys) == 1 and residual is None and last:
            ((mine, its),) = keys

            def newest(x: Row, r: Row) -> list[Row]:
                key = mine(x)
                for y in reversed(right(r)):
                    if its(y) == key:
                        return [(*x, *y)]
                return [(*x, *nothing)]

            return newest

        def match(x: Row, r: Row) -> list[Row]:
            found = [
                both
                for y in right(r)
                if all(a(x) == b(y) for a, b in keys) and ((residual is None) or residual((*x, *y)))
                for both in [(*x, *y)]
            ]
            if not found:
                return [(*x, *nothing)]
            return found[-1:] if last else found

        return match

    def _window(self, node: WindowAggregate) -> Relation:
        below, all_below = self._relation(node.child)
        width = len(node.child.fields)
        places: list[Place] = []
        frames = [self._frame(node, w, places) for w in node.windows]
        offsets: dict[int, int] = {}
        for c in node.calls:
            if c.beyond_frame:
                offsets[c.window] = max(offsets.get(c.window, 0), c.impl.offset or 0)
        beyond = {
            window: self._frame(node, _beyond(node.windows[window], offset), places)
            for window, offset in offsets.items()
        }
        used: list[Frame] = []
        calls: list[tuple[int, Call]] = []
        for c in node.calls:
            frame = beyond[c.window] if c.beyond_frame else frames[c.window]
            if frame not in used:
                used.append(frame)
            calls.append((used.index(frame), frame.call(c, width)))

        located = [(frame, places.index(frame.place)) for frame in used]
        steps = [(which, call.step) for which, call in calls]

        def compute(r: Row) -> list[Row]:
            out: list[Row] = []
            for x in below(r):
                spots = [place.of(x) for place in places]
                found = [frame.rows(x, spots[at]) for frame, at in located]
                values: list[Any] = []
                for which, step in steps:
                    stored, current = found[which]
                    values.append(step(stored, current, values))
                out.append((*x, *values))
                for (stored, _), frame in zip(found, used, strict=True):
                    if stored.place is not None:
                        frame.remember(stored)
            return out

        if all_below is None:
            return compute, None
        return compute, self._windows(all_below, places, located, used, calls)

    @staticmethod
    def _windows(
        below: Together,
        places: list[Place],
        located: list[tuple[Frame, int]],
        used: list[Frame],
        calls: list[tuple[int, Call]],
    ) -> Together:
        """Windows of several request rows: each once a key and time."""
        asked = [(located[which][0], call) for which, call in calls]
        settled: list[tuple[int, Settled, list[int]]] = []
        rest = set(range(len(calls)))
        for at in range(len(places)):
            frames = [f for f, where in located if where == at and f.plain and f.settled]
            members = [n for n, (frame, _) in enumerate(asked) if frame in frames]
            if members:
                kept = Settled(frames, [asked[n] for n in members])
                settled.append((at, kept, members))
                rest.difference_update(members)
        others = sorted({calls[n][0] for n in rest})
        in_order = sorted(rest)

        def together(rs: Rowset) -> Rowset:
            x = below(rs)
            spots = [place.of_all(x) for place in places]
            columns = [x.once(None)] * len(calls)
            for at, kept, members in settled:
                for n, column in zip(members, kept.columns(x, spots[at]), strict=True):
                    columns[n] = column
            found = {
                which: located[which][0].together(spots[located[which][1]].spots)
                for which in others
            }
            for n in in_order:
                which, call = calls[n]
                place = spots[located[which][1]]
                columns[n] = call.column(found[which], place, x, columns[:n])
            for which, slices in found.items():
                used[which].remember_all(slices)
            return Rowset([*x.columns, *columns], x.count)

        return together

    def _frame(self, node: WindowAggregate, w: WindowPlan, places: list[Place]) -> Frame:
        """A window's frame, in one of the places known or in a new one."""
        sources = list(reversed(w.unions))
        if not w.frame.instance_not_in_window:
            sources.append(node.child)
        # Each window notes the index that it needs, with its own reach.
        paths = [self._stored.window_path(s, w) for s in sources]
        place = next((p for p in places if p.serves(w)), None)
        if place is None:
            place = Place(w, paths)
            places.append(place)
        return Frame(w, place, constant_columns(node.child))


def _beyond(w: WindowPlan, offset: int) -> WindowPlan:
    """The window that ``lag`` counts back in: so many rows before the current one."""
    return replace(w, frame=replace(w.frame.beyond(), start=offset))


def _projected(below: Together, exprs: Sequence[Expr]) -> Together:
    made = [columnwise(e) for e in exprs]

    def project(x: Rowset) -> Rowset:
        found = below(x)
        return Rowset([make(found) for make in made], x.count)

    return project


def _equal(a: Column, b: Column, *, floating: bool) -> Column:
    """Where two columns of keys are equal; NULL equals NULL, and no NaN another."""
    if a.same and b.same:
        return Column.once(a.value == b.value, 1)
    mine, its = a.values(), b.values()
    if not floating and mine == its:
        return Column.once(True, 1)
    found = list(map(eq, mine, its))
    return Column.once(True, 1) if all(found) else Column.of(found)


def _where(c: Column, keeps: list[bool]) -> Column:
    """A column with NULL where a row is not kept."""
    return Column.of([x if keep else None for x, keep in zip(c.values(), keeps, strict=True)])

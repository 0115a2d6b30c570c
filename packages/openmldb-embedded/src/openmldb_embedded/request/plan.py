"""A checked plan bound to answer request rows: the path of the request row itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.errors import ProtocolError, UnsupportedError
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
from openmldb_embedded.request.frames import Frame, Place, Step
from openmldb_embedded.request.needed import Needed
from openmldb_embedded.request.paths import Online, Tables
from openmldb_embedded.request.rows import constant_columns, row_maker

T = SqlType
Rows = Callable[[Row], list[Row]]
"""From the request row to a relation's rows."""


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
        self._answer = self._rows(plan)

    def execute(self, rows: Sequence[Row]) -> list[Row]:
        """One output row for each request row (none where WHERE drops it).

        Raises:
            ProtocolError: A row of another length than the request table.
        """
        out: list[Row] = []
        answer, width, floats = self._answer, self._width, self._floats
        for i, row in enumerate(rows):
            if len(row) != width:
                raise ProtocolError(f"Invalid input data size in row {i}")
            if floats:
                items = list(row)
                for f in floats:
                    if items[f] is not None:
                        items[f] = v.to_float32(items[f])
                row = tuple(items)
            out += answer(row)
        return out

    def _rows(self, node: Node) -> Rows:
        match node:
            case Scan():
                return lambda r: [r]
            case Renamed(_, child):
                return self._rows(child)
            case Unit():
                return lambda r: [()]
            case Project(_, child, exprs):
                below = self._rows(child)
                make = row_maker(exprs, len(child.fields))
                if make is None:
                    return below
                made = make
                return lambda r: [made(x) for x in below(r)]
            case Filter(_, child, predicate):
                source, test = self._rows(child), predicate.row()
                return lambda r: [x for x in source(r) if test(x)]
            case Limit(_, child, count):
                inner = self._rows(child)
                return lambda r: inner(r)[:count]
            case Join():
                return self._join(node)
            case WindowAggregate():
                return self._window(node)
            case Union(_, parts):
                return self._union(parts)
            case Aggregate(_, child, keys, ()) if keys:
                found = self._rows(child)
                chosen = row_maker(keys, len(child.fields)) or (lambda r: r)
                return lambda r: list(dict.fromkeys(chosen(x) for x in found(r)))
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

    def _join(self, node: Join) -> Rows:
        left = self._rows(node.left)
        matches = self._request_match(node) if self._is_request(node.right) else None
        if matches is not None:
            pair = matches

            def beside(r: Row) -> list[Row]:
                out = []
                for x in left(r):
                    out += pair(x, r)
                return out

            return beside
        if node.kind == "LEFT":
            every = self._stored.all_matches(node)
            return lambda r: [y for x in left(r) for y in every(x)]
        match = self._stored.last_match(node)
        return lambda r: [match(x) for x in left(r)]

    def _request_match(self, node: Join) -> Callable[[Row, Row], list[Row]]:
        right = self._rows(node.right)
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

    def _window(self, node: WindowAggregate) -> Rows:
        below = self._rows(node.child)
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
        steps: list[tuple[int, Step]] = []
        for c in node.calls:
            frame = beyond[c.window] if c.beyond_frame else frames[c.window]
            if frame not in used:
                used.append(frame)
            steps.append((used.index(frame), frame.call(c, width)))

        located = [(frame, places.index(frame.place)) for frame in used]

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

        return compute

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

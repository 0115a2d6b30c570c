"""Request mode: a checked plan answers one row at a time from the online tables' indexes.

The leftmost table of the plan is the request table: its scan stands for the request row, in the
main path and in every subquery over it that is joined to it. Windows add the stored rows of the
same relation, and the united tables', found by index. Expressions and folds are those of batch mode.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from openmldb_sql.types import IndexDef, SqlType

from openmldb_embedded import values as v
from openmldb_embedded.batch import beyond_frame, execute
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import ProtocolError, UnsupportedError
from openmldb_embedded.expr import Apply, CaseWhen, Col, Const, Expr, Impl, Logic
from openmldb_embedded.memtable import NULL_TIME, Entry, Key, MemTable, Row
from openmldb_embedded.plan import (
    Aggregate,
    AggregateCall,
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
    walk,
)

T = SqlType
Tables = Callable[[str, str], MemTable]
Rows = Callable[[Row], list[Row]]
"""From the request row to a relation's rows."""

Fetch = Callable[[Key], tuple[list[int], list[Row], int]]
"""From a key to times, rows alongside and the place of the first live one."""


@dataclass
class Needed:
    """The indexes that a plan reads, with the ttl its windows imply."""

    found: dict[
        tuple[str, str, tuple[str, ...], str | None], list[tuple[int | None, int | None]]
    ] = field(default_factory=dict)

    def add(
        self, scan: Scan, keys: tuple[str, ...], ts: str | None, ms: int | None, rows: int | None
    ) -> None:
        """Note a use that reaches back ``ms`` milliseconds or ``rows`` rows (neither: for ever)."""
        self.found.setdefault((scan.db, scan.table, keys, ts), []).append((ms, rows))

    def definitions(self) -> list[tuple[str, str, IndexDef]]:
        """One index for each (table, keys, ts): the longest reach of its uses."""
        out = []
        for (db, table, keys, ts), uses in self.found.items():
            ms = [m for m, _ in uses if m is not None]
            rows = [r for m, r in uses if m is None and r is not None]
            if len(ms) + len(rows) < len(uses):
                out.append((db, table, IndexDef(keys, ts)))
                continue
            kind = "absandlat" if ms and rows else "absolute" if ms else "latest"
            out.append(
                (db, table, IndexDef(keys, ts, kind, max(ms, default=0), max(rows, default=0)))
            )
        return out


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
        self._tables = tables
        self._needed = needed
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

    # -- the request's own path

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
            every = self._matcher_all(node)
            return lambda r: [y for x in left(r) for y in every(x)]
        match = self._matcher(node)
        return lambda r: [match(x) for x in left(r)]

    def _request_match(self, node: Join) -> Callable[[Row, Row], list[Row]]:
        right = self._rows(node.right)
        keys = [(a.row(), b.row()) for a, b in node.pairs]
        residual = None if node.residual is None else node.residual.row()
        nothing = (None,) * len(node.right.fields)
        last = node.kind == "LAST"

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

    # -- joins against stored rows

    def _candidates(self, node: Join) -> tuple[_Path, Callable[[Row], Key], Expr | None]:
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
            bound = None if node.residual is not None or rest or node.descending else 1
            path.open(self, names, ts, None, bound)
            key = _key_function([a for a, _ in used])
        else:
            path = self._materialised(node.right, tuple(b for _, b in node.pairs), node.order)
            rest = []
            key = _key_function([a for a, _ in node.pairs])
        residual = node.residual
        width = len(node.left.fields)
        for a, b in rest:
            test: Expr = _same_value(a, _shifted(b, width))
            residual = test if residual is None else Logic("AND", residual, test)
        if node.order is not None and path.ts is None and not path.sorted:
            path.sort_by(node.order)
        return path, key, residual

    def _join_order(self, node: Join, path: _Path) -> str | None:
        if node.order is None or node.order.type not in (T.INT64, T.TIMESTAMP):
            return None
        return path.base_column(node.order)

    def _matcher(self, node: Join) -> Callable[[Row], Row]:
        path, key, residual = self._candidates(node)
        make, nothing = path.maker(), (None,) * len(node.right.fields)
        test = None if residual is None else residual.row()
        fetch, keep, descending = path.fetch, path.keep, node.descending

        def match(x: Row) -> Row:
            times, rows, live = fetch(key(x))
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

        return match

    def _matcher_all(self, node: Join) -> Callable[[Row], list[Row]]:
        path, key, residual = self._candidates(node)
        make, nothing = path.maker(), (None,) * len(node.right.fields)
        test = None if residual is None else residual.row()

        def match(x: Row) -> list[Row]:
            times, rows, live = path.fetch(key(x))
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

    def _window(self, node: WindowAggregate) -> Rows:
        below = self._rows(node.child)
        width = len(node.child.fields)
        frames = [self._frame(node, i, w) for i, w in enumerate(node.windows)]
        beyond = {
            c.window: self._frame(node, c.window, _unbounded(node.windows[c.window]))
            for c in node.calls
            if c.beyond_frame
        }
        steps: list[tuple[int, _Frame, Callable[[_FrameRows, list[Any]], Any]]] = []
        for c in node.calls:
            which = len(frames) + c.window if c.beyond_frame else c.window
            frame = beyond[c.window] if c.beyond_frame else frames[c.window]
            steps.append((which, frame, frame.call(c, width)))

        def compute(r: Row) -> list[Row]:
            out: list[Row] = []
            for x in below(r):
                got: dict[int, _FrameRows] = {}
                values: list[Any] = []
                for which, frame, step in steps:
                    rows = got.get(which)
                    if rows is None:
                        rows = got[which] = frame.rows(x)
                    values.append(step(rows, values))
                out.append((*x, *values))
            return out

        return compute

    def _frame(self, node: WindowAggregate, at: int, w: WindowPlan) -> _Frame:
        sources = list(reversed(w.unions))
        if not w.frame.instance_not_in_window:
            sources.append(node.child)
        paths = [self._window_path(s, w) for s in sources]
        return _Frame(w, paths)

    def _window_path(self, source: Node, w: WindowPlan) -> _Path:
        path = self._path(source)
        f = w.frame
        if path is not None:
            names = [path.base_column(e) for e in w.partition]
            ts = None if w.order is None else path.base_column(w.order)
            known = [n for n in names if n is not None]
            fits = len(set(known)) == len(names) and (w.order is None or ts is not None)
            if fits:
                ms = f.start if f.kind == "range" else None
                rows = f.start + 1 if f.kind == "rows" and f.start is not None else None
                path.open(self, tuple(known), ts, ms, rows)
                return path
        return self._materialised(source, w.partition, w.order)

    # -- stored rows

    def _path(self, node: Node) -> _Path | None:
        """How the rows of a relation of stored tables come from one table's rows, or None."""
        match node:
            case Scan():
                outputs = tuple(Col(i, f.type, f.name) for i, f in enumerate(node.fields))
                return _Path(node, outputs, None)
            case Renamed(_, child):
                return self._path(child)
            case Project(_, child, exprs):
                path = self._path(child)
                if path is None:
                    return None
                projected = tuple(_substitute(e, path.outputs) for e in exprs)
                return _Path(path.scan, projected, path.keep, path.base_width)
            case Filter(_, child, predicate):
                path = self._path(child)
                if path is None:
                    return None
                test = _substitute(predicate, path.outputs).row()
                keep = _then(path.keep, _filtering(test))
                return _Path(path.scan, path.outputs, keep, path.base_width)
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
                return _Path(path.scan, path.outputs + right, keep, base + len(right))
            case _:
                return None

    def _extension(self, node: Join, path: _Path) -> Callable[[Row], Row | None]:
        """A stored left row with its match beside it."""
        match = self._matcher(node)
        make = path.maker()
        width = len(node.left.fields)
        return lambda row: (*row, *match(tuple(make(row)))[width:])

    def _materialised(self, node: Node, keys: tuple[Expr, ...], order: Expr | None) -> _Path:
        """The relation computed in batch mode and sorted by key; kept until a table changes."""
        outputs = tuple(Col(i, f.type, f.name) for i, f in enumerate(node.fields))
        path = _Path(None, outputs, None)
        path.sorted = True
        if self._tables is not None:
            path.fetch = _Materialised(node, keys, order, self._tables).fetch
        return path


class _Path:
    """Where a relation's stored rows come from.

    Attributes:
        scan: The table, None for a materialised relation.
        outputs: The relation's columns over a base row.
        keep: From a base row to the row (perhaps extended) or None to drop it.
        base_width: Columns of a base row once extended.
    """

    def __init__(
        self,
        scan: Scan | None,
        outputs: tuple[Expr, ...],
        keep: Callable[[Row], Row | None] | None,
        base_width: int | None = None,
    ) -> None:
        self.scan = scan
        self.outputs = outputs
        self.keep = keep
        own = len(outputs) if scan is None else len(scan.declared.columns)
        self.base_width = own if base_width is None else base_width
        self.ts: str | None = None
        self.sorted = False
        self.fetch: Fetch = lambda key: ([], [], 0)

    def base_column(self, e: Expr) -> str | None:
        """The table's column that an expression over the outputs is, or None."""
        if self.scan is None or not isinstance(e, Col):
            return None
        out = self.outputs[e.index]
        if not isinstance(out, Col) or out.index >= len(self.scan.declared.columns):
            return None
        return self.scan.declared.columns[out.index].name

    def open(
        self,
        plan: RequestPlan,
        keys: tuple[str, ...],
        ts: str | None,
        ms: int | None,
        rows: int | None,
    ) -> None:
        """Read through the index on these columns."""
        assert self.scan is not None
        self.ts = ts
        if plan._needed is not None:
            plan._needed.add(self.scan, keys, ts, ms, rows)
        if plan._tables is not None:
            table = plan._tables(self.scan.db, self.scan.table)
            index = table.ensure_index(keys, ts)
            index.prepare()
            self.fetch = index.window

    def sort_by(self, order: Expr) -> None:
        """Order each key's rows by an expression over the outputs (NULL first)."""
        inner = self.fetch
        value = _substitute(order, self.outputs).row()

        def fetch(key: Key) -> tuple[list[int], list[Row], int]:
            _, rows, live = inner(key)
            pairs = []
            for row in rows[live:]:
                x = value(row)
                pairs.append((NULL_TIME if x is None else x, row))
            pairs.sort(key=itemgetter(0))
            return [p[0] for p in pairs], [p[1] for p in pairs], 0

        self.fetch = fetch
        self.sorted = True

    def maker(self) -> Callable[[Row], Sequence[Any]]:
        """From a base row to the relation's row."""
        made = row_maker(self.outputs, self.base_width)
        return made if made is not None else (lambda row: row)


class _Materialised:
    """A relation computed whole, by key."""

    def __init__(
        self, node: Node, keys: tuple[Expr, ...], order: Expr | None, tables: Tables
    ) -> None:
        self._node = node
        self._key = _key_function(list(keys))
        self._order = None if order is None else order.row()
        self._tables = tables
        self._names = [(n.db, n.table) for n in walk(node) if isinstance(n, Scan)]
        self._state: tuple[list[Batch], dict[Key, Entry]] | None = None

    def fetch(self, key: Key) -> tuple[list[int], list[Row], int]:
        scans = [self._tables(*n).scan() for n in self._names]
        state = self._state
        if state is None or any(a is not b for a, b in zip(scans, state[0], strict=True)):
            state = self._state = (scans, self._build(scans))
        times, rows = state[1].get(key, ([], []))
        return times, rows, 0

    def _build(self, scans: list[Batch]) -> dict[Key, Entry]:
        known = dict(zip(self._names, scans, strict=True))
        batch = execute(self._node, lambda db, table: known[db, table])
        groups: dict[Key, list[tuple[int, Row]]] = {}
        for row in batch.to_rows():
            t = 0 if self._order is None else self._order(row)
            groups.setdefault(self._key(row), []).append((NULL_TIME if t is None else t, row))
        out: dict[Key, Entry] = {}
        for key, pairs in groups.items():
            pairs.sort(key=itemgetter(0))
            out[key] = ([p[0] for p in pairs], [p[1] for p in pairs])
        return out


class _FrameRows:
    """A frame of one request row: base rows newest first, and values computed from them."""

    __slots__ = ("current", "lists", "rows", "sources")

    def __init__(self, current: Row | None, rows: list[Row], sources: list[int] | None) -> None:
        self.current = current
        self.rows = rows
        self.sources = sources
        self.lists: dict[int, list[Any]] = {}


class _Frame:
    """Computes a window's frame for a request row."""

    def __init__(self, w: WindowPlan, paths: list[_Path]) -> None:
        self.window = w
        self.paths = paths
        self._key = _key_function(list(w.partition))
        self._order = None if w.order is None else w.order.row()
        self._with_current = w.frame.end == 0 and not w.frame.exclude_current_row
        self._getters: dict[Expr, Callable[[_FrameRows], list[Any]]] = {}

    def _span(self, path: _Path, key: Key, t: int) -> tuple[list[int], list[Row], int, int]:
        """One source's times and rows, and the places [lo, hi) that lie within the bounds."""
        f = self.window.frame
        times, rows, live = path.fetch(key)
        if times and times[0] == NULL_TIME:
            live = max(live, bisect_right(times, NULL_TIME))
        hi = bisect_left(times, t) if f.exclude_current_time else bisect_right(times, t)
        lo = live
        if f.kind == "range":
            if f.start is not None:
                lo = max(lo, bisect_left(times, t - f.start))
            if f.end > 0:
                hi = min(hi, bisect_right(times, t - f.end))
        return times, rows, lo, max(lo, hi)

    def rows(self, x: Row) -> _FrameRows:
        """The frame of a row of the main relation."""
        f = self.window.frame
        t = 0 if self._order is None else self._order(x)
        current = x if self._with_current else None
        if t is None or not self.paths:
            return _FrameRows(current, [], None)
        room = None if f.maxsize is None else f.maxsize - (1 if self._with_current else 0)
        key = self._key(x)
        if len(self.paths) == 1:
            path = self.paths[0]
            times, rows, lo, hi = self._span(path, key, t)
            if path.keep is not None:
                kept = _kept(path, times, rows, lo, hi)
                rows = [r for _, r in kept]
                lo, hi = 0, len(rows)
            if f.kind == "rows":
                if f.start is not None:
                    lo = max(lo, hi - f.start)
                hi = max(lo, hi - max(f.end - 1, 0))
            if room is not None:
                lo = max(lo, hi - room)
            return _FrameRows(current, rows[lo:hi][::-1], None)
        return self._merged(current, key, t, room)

    def _merged(self, current: Row | None, key: Key, t: int, room: int | None) -> _FrameRows:
        f = self.window.frame
        reach = room
        if f.kind == "rows":
            reach = f.start
        merged: list[tuple[int, int, Row]] = []
        for s, path in enumerate(self.paths):
            times, rows, lo, hi = self._span(path, key, t)
            if path.keep is not None:
                merged += [(ts, s, r) for ts, r in _kept(path, times, rows, lo, hi)]
                continue
            if reach is not None:
                lo = max(lo, hi - reach)
            merged += [(times[i], s, rows[i]) for i in range(lo, hi)]
        merged.sort(key=itemgetter(0))  # stable: among equal times the sources' order holds
        lo, hi = 0, len(merged)
        if f.kind == "rows":
            if f.start is not None:
                lo = max(0, hi - f.start)
            hi = max(lo, hi - max(f.end - 1, 0))
        if room is not None:
            lo = max(lo, hi - room)
        merged = merged[lo:hi][::-1]
        return _FrameRows(current, [m[2] for m in merged], [m[1] for m in merged])

    # -- values

    def call(self, c: AggregateCall, width: int) -> Callable[[_FrameRows, list[Any]], Any]:
        """From a frame and the calls computed before to this call's value."""
        fold = c.impl.fold
        if c.correlated:
            return self._correlated(c, width)
        getters = [self._getter(a) for a in c.arguments]
        if c.expand is not None:
            split = c.expand.row

            def expanded(rows: _FrameRows, _: list[Any]) -> Any:
                texts = [g(rows) for g in getters]
                return fold([x for t in zip(*texts, strict=True) for x in split(*t)])

            return expanded
        if len(getters) == 1:
            only = getters[0]
            return lambda rows, _: fold(only(rows))
        return lambda rows, _: fold(*[g(rows) for g in getters])

    def _getter(self, e: Expr) -> Callable[[_FrameRows], list[Any]]:
        known = self._getters.get(e)
        if known is not None:
            return known
        of_current = e.row()
        per_source = [_substitute(e, p.outputs) for p in self.paths]
        values = [p.row() for p in per_source]
        places = [p.index if isinstance(p, Col) else None for p in per_source]
        slot = len(self._getters)

        def get(rows: _FrameRows) -> list[Any]:
            out = rows.lists.get(slot)
            if out is not None:
                return out
            if rows.sources is not None:
                out = [values[s](r) for s, r in zip(rows.sources, rows.rows, strict=True)]
            elif not rows.rows:
                out = []
            elif places[0] is not None:
                place = places[0]
                out = [r[place] for r in rows.rows]
            else:
                value = values[0]
                out = [value(r) for r in rows.rows]
            if rows.current is not None:
                out.insert(0, of_current(rows.current))
            rows.lists[slot] = out
            return out

        self._getters[e] = get
        return get

    def _correlated(self, c: AggregateCall, width: int) -> Callable[[_FrameRows, list[Any]], Any]:
        fold = c.impl.fold
        current = [a.row() for a in c.arguments]
        per_source = [
            [_correlate(a, p.outputs, width, p.base_width).row() for a in c.arguments]
            for p in self.paths
        ]

        def run(rows: _FrameRows, earlier: list[Any]) -> Any:
            tail = tuple(earlier)
            lists: list[list[Any]] = []
            for k, of_current in enumerate(current):
                if rows.sources is not None:
                    out = [
                        per_source[s][k]((*r, *tail))
                        for s, r in zip(rows.sources, rows.rows, strict=True)
                    ]
                else:
                    out = [per_source[0][k]((*r, *tail)) for r in rows.rows] if rows.rows else []
                if rows.current is not None:
                    out.insert(0, of_current((*rows.current, *tail)))
                lists.append(out)
            return fold(*lists)

        return run


# -- helpers


def _kept(
    path: _Path, times: list[int], rows: list[Row], lo: int, hi: int
) -> list[tuple[int, Row]]:
    assert path.keep is not None
    out = []
    for i in range(lo, hi):
        row = path.keep(rows[i])
        if row is not None:
            out.append((times[i], row))
    return out


def _unbounded(w: WindowPlan) -> WindowPlan:
    return WindowPlan(w.name, w.partition, w.order, w.unions, beyond_frame(w.frame))


def row_maker(exprs: Sequence[Expr], width: int) -> Callable[[Row], Row] | None:
    """A function that computes expressions of a row into a row; None if it is the identity."""
    if all(isinstance(e, Col) for e in exprs):
        places = [e.index for e in exprs if isinstance(e, Col)]
        if places == list(range(width)):
            return None
        if len(places) == 1:
            one = places[0]
            return lambda r: (r[one],)
        if not places:
            return lambda r: ()
        return itemgetter(*places)
    makers = tuple(e.row() for e in exprs)
    return lambda r: tuple([m(r) for m in makers])


def _key_function(exprs: list[Expr]) -> Callable[[Row], Key]:
    if len(exprs) == 1:
        return exprs[0].row()
    makers = [e.row() for e in exprs]
    return lambda r: tuple([m(r) for m in makers])


def _map_columns(e: Expr, change: Callable[[Col], Expr]) -> Expr:
    match e:
        case Col():
            return change(e)
        case Apply(name, impl, args):
            return Apply(name, impl, tuple(_map_columns(a, change) for a in args))
        case CaseWhen(branches, otherwise, type_):
            pairs = tuple((_map_columns(t, change), _map_columns(x, change)) for t, x in branches)
            return CaseWhen(pairs, _map_columns(otherwise, change), type_)
        case Logic(op, left, right):
            return Logic(op, _map_columns(left, change), _map_columns(right, change))
        case Const():
            return e
    raise AssertionError(e)


def _substitute(e: Expr, outputs: Sequence[Expr]) -> Expr:
    """The expression with each column replaced by what it stands for."""
    return _map_columns(e, lambda c: outputs[c.index])


def _correlate(e: Expr, outputs: Sequence[Expr], width: int, base: int) -> Expr:
    """The same where columns past ``width`` are earlier calls, found after the base row."""

    def change(c: Col) -> Expr:
        if c.index < width:
            return outputs[c.index]
        return Col(base + c.index - width, c.type, c.name)

    return _map_columns(e, change)


def _shifted(e: Expr, by: int) -> Expr:
    return _map_columns(e, lambda c: Col(c.index + by, c.type, c.name))


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

"""A window's frame for one request row, and what its aggregates are over it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from openmldb_embedded.expr import Col, Expr
from openmldb_embedded.functions.lists import listed
from openmldb_embedded.memtable import NULL_TIME, Key, Row
from openmldb_embedded.plan import AggregateCall, WindowPlan
from openmldb_embedded.request.paths import AccessPath
from openmldb_embedded.request.rows import key_function
from openmldb_embedded.rewrite import map_columns, substitute

_AFTER_ALL = 2**64 - 1
"""The time of a request whose time is NULL or negative: OpenMLDB's times have no sign."""


class FrameRows:
    """A frame of one request row: base rows newest first, and values computed from them."""

    __slots__ = ("current", "lists", "rows", "sources")

    def __init__(self, current: Row | None, rows: list[Row], sources: list[int] | None) -> None:
        self.current = current
        self.rows = rows
        self.sources = sources
        self.lists: dict[int, list[Any]] = {}


class Frame:
    """Computes a window's frame for a request row."""

    def __init__(self, w: WindowPlan, paths: list[AccessPath]) -> None:
        self.window = w
        self.paths = paths
        self._key = key_function(list(w.partition))
        self._order = None if w.order is None else w.order.row()
        self._with_current = w.frame.end == 0 and not w.frame.exclude_current_row
        self._getters: dict[Expr, Callable[[FrameRows], list[Any]]] = {}

    def _span(self, path: AccessPath, key: Key, t: int) -> tuple[list[int], list[Row], int, int]:
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
                hi = min(hi, bisect_right(times, max(0, t - f.end)))
        return times, rows, lo, max(lo, hi)

    def rows(self, x: Row) -> FrameRows:
        """The frame of a row of the main relation."""
        f = self.window.frame
        t = 0 if self._order is None else self._order(x)
        if t is None or t < 0:
            t = _AFTER_ALL
        with_current = self._with_current
        if t == 0 and f.kind == "range" and f.end > 0 and not f.exclude_current_row:
            with_current = True  # an edge before the first moment is the first moment
        current = x if with_current else None
        if not self.paths:
            return FrameRows(current, [], None)
        room = None if f.maxsize is None else f.maxsize - (1 if with_current else 0)
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
            return FrameRows(current, rows[lo:hi][::-1], None)
        return self._merged(current, key, t, room)

    def _merged(self, current: Row | None, key: Key, t: int, room: int | None) -> FrameRows:
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
        return FrameRows(current, [m[2] for m in merged], [m[1] for m in merged])

    # -- values

    def call(self, c: AggregateCall, width: int) -> Callable[[FrameRows, list[Any]], Any]:
        """From a frame and the calls computed before to this call's value."""
        fold = c.impl.fold
        if c.correlated:
            return self._correlated(c, width)
        getters = [self._getter(a) for a in c.arguments]
        if c.expand is not None:
            split = c.expand.row

            def expanded(rows: FrameRows, _: list[Any]) -> Any:
                texts = [g(rows) for g in getters]
                return fold(listed(x for t in zip(*texts, strict=True) for x in split(*t)))

            return expanded
        if len(getters) == 1:
            only = getters[0]
            return lambda rows, _: fold(only(rows))
        return lambda rows, _: fold(*[g(rows) for g in getters])

    def _getter(self, e: Expr) -> Callable[[FrameRows], list[Any]]:
        known = self._getters.get(e)
        if known is not None:
            return known
        of_current = e.row()
        per_source = [substitute(e, p.outputs) for p in self.paths]
        values = [p.row() for p in per_source]
        places = [p.index if isinstance(p, Col) else None for p in per_source]
        slot = len(self._getters)

        def get(rows: FrameRows) -> list[Any]:
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

    def _correlated(self, c: AggregateCall, width: int) -> Callable[[FrameRows, list[Any]], Any]:
        fold = c.impl.fold
        current = [a.row() for a in c.arguments]
        per_source = [
            [_correlate(a, p.outputs, width, p.base_width).row() for a in c.arguments]
            for p in self.paths
        ]

        def run(rows: FrameRows, earlier: list[Any]) -> Any:
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


def _kept(
    path: AccessPath, times: list[int], rows: list[Row], lo: int, hi: int
) -> list[tuple[int, Row]]:
    assert path.keep is not None
    out = []
    for i in range(lo, hi):
        row = path.keep(rows[i])
        if row is not None:
            out.append((times[i], row))
    return out


def _correlate(e: Expr, outputs: Sequence[Expr], width: int, base: int) -> Expr:
    """``substitute`` where columns past ``width`` are earlier calls, found after the base row."""

    def change(c: Col) -> Expr:
        if c.index < width:
            return outputs[c.index]
        return Col(base + c.index - width, c.type, c.name)

    return map_columns(e, change)

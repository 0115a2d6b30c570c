"""A window's frame for one request row, and what its aggregates are over it.

A frame is the request row's own part, which differs from request to request, and a slice of stored
rows, which often does not: the comments on one product are the same for all who look at it. So what
is computed of a slice is kept by the slice's key and places for as long as its rows are the same
(``memtable.Entry``): always the columns' values, and the aggregate itself where the request row
brings nothing of its own to it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from openmldb_embedded.expr import Col, Expr
from openmldb_embedded.functions.lists import listed
from openmldb_embedded.memtable import NO_NUMBER, NULL_TIME, Key, Row
from openmldb_embedded.plan import AggregateCall, WindowPlan
from openmldb_embedded.request.paths import AccessPath
from openmldb_embedded.request.rows import key_function
from openmldb_embedded.rewrite import columns_read, map_columns, substitute

_AFTER_ALL = 2**64 - 1
"""The time of a request whose time is NULL or negative: OpenMLDB's times have no sign."""
KEPT_ROWS = 2**16
"""So many stored rows a frame remembers slices of, at most; beyond them it begins anew."""
_SLICE = 16
"""What a slice costs beside its rows, in rows."""
_MISSING = object()

Step = Callable[["Slice", "Row | None", Sequence[Any]], Any]
"""From the stored rows, the request row (None where it is not in the frame) and the values of the
calls before to a call's value."""


class Slice:
    """The stored rows of a frame, newest first, and what has been computed of them.

    Attributes:
        numbers: The numbers of the entries that the rows are of.
        sources: Which of the window's sources each row is of; None where there is one.
        lists: Values of an expression over the rows, by the expression's slot.
        folded: What calls have kept, by call.
        place: Under what the frame is to remember it, or None.
    """

    __slots__ = ("folded", "lists", "numbers", "place", "rows", "sources")

    def __init__(self, rows: list[Row], sources: list[int] | None, numbers: Any) -> None:
        self.rows = rows
        self.sources = sources
        self.numbers = numbers
        self.lists: dict[int, list[Any]] = {}
        self.folded: dict[int, Any] = {}
        self.place: Any = None


Steps = Callable[[Sequence["Slice"], Sequence["Row | None"], Sequence[Sequence[Any]]], list[Any]]
"""The same for several request rows; the calls before give a column of values each."""


@dataclass(frozen=True)
class Call:
    """An aggregate call over a frame, for one request row and for several.

    Attributes:
        shared: The value is the same for all request rows of one key and time.
    """

    step: Step
    steps: Steps
    shared: bool = False


Spot = tuple[Key, int, list[tuple[list[int], list[Row], int, int]]]
"""Where a request row's frames lie: its key, its time, and what each source has of the key."""


class Place:
    """Where the frames of a request row lie: windows over the same sources and keys share it.

    Args:
        w: One of these windows.
        paths: How each of its sources is read.
    """

    def __init__(self, w: WindowPlan, paths: list[AccessPath]) -> None:
        self.window = w
        self.paths = paths
        self._key = key_function(list(w.partition))
        self._order = None if w.order is None else w.order.row()
        self._only = paths[0] if len(paths) == 1 else None

    def serves(self, w: WindowPlan) -> bool:
        """Whether another window over the same relation lies in the same place."""
        mine = self.window
        return (
            (mine.partition, mine.order) == (w.partition, w.order)
            and mine.unions == w.unions
            and mine.frame.instance_not_in_window == w.frame.instance_not_in_window
        )

    def of(self, x: Row) -> Spot:
        """Find a row's key in each source."""
        t = 0 if self._order is None else self._order(x)
        return self._spot(self._key(x), t)

    def of_all(self, rows: list[Row]) -> tuple[list[Spot], list[Row], list[int] | None]:
        """As ``of``, each key and time once.

        Returns:
            The distinct spots, a row of each, and which spot each row has; None: the first row has
            the first, and so on.
        """
        keys: list[Any] = list(map(self._key, rows))
        times = [0] * len(rows) if self._order is None else list(map(self._order, rows))
        only = self._only
        if only is not None and len(set(keys)) == len(rows):
            spots: list[Spot] = []
            fetch = only.fetch
            for key, t in zip(keys, times, strict=True):
                found = fetch(key)
                if found[0] and found[0][0] == NULL_TIME:
                    found = _dated(found)
                spots.append((key, _AFTER_ALL if t is None or t < 0 else t, [found]))
            return spots, rows, None
        places: dict[Any, int] = {}
        which = [places.setdefault(pair, len(places)) for pair in zip(keys, times, strict=True)]
        spots = [self._spot(key, t) for key, t in places]
        if len(places) == len(rows):
            return spots, rows, None
        first = dict(zip(reversed(which), reversed(rows), strict=True))
        return spots, [first[n] for n in range(len(places))], which

    def _spot(self, key: Key, t: int | None) -> Spot:
        if t is None or t < 0:
            t = _AFTER_ALL
        if self._only is not None:
            return key, t, [_dated(self._only.fetch(key))]
        return key, t, [_dated(path.fetch(key)) for path in self.paths]


def _dated(
    found: tuple[list[int], list[Row], int, int],
) -> tuple[list[int], list[Row], int, int]:
    """A key's rows from the first that has a time on."""
    times = found[0]
    if times and times[0] == NULL_TIME:
        _, rows, live, number = found
        return times, rows, max(live, bisect_right(times, NULL_TIME)), number
    return found


class Frame:
    """Computes a window's frame for a request row.

    Args:
        w: The window.
        place: Where it lies.
        constant: Columns of the main relation that have one value in every request row.
    """

    def __init__(self, w: WindowPlan, place: Place, constant: frozenset[int] = frozenset()) -> None:
        self.window = w
        self.place = place
        self.paths = paths = place.paths
        self._constant = constant
        f = w.frame
        self._shape = (f.kind == "range", f.start, f.end, f.exclude_current_time)
        self._room = None if f.maxsize is None else f.maxsize
        self._with_current = w.frame.end == 0 and not w.frame.exclude_current_row
        self._getters: dict[Expr, tuple[Callable[[Slice], list[Any]], Callable[[Row], Any]]] = {}
        self._calls = 0
        self._nothing = Slice([], None, None)
        self._kept: dict[Any, Slice] = {}
        self._seen: set[Any] = set()
        self._settled = True
        """All calls over this frame are the same for every request row."""
        self._weight = 0
        self._keeps = all(p.keep is None or p.pure for p in paths)

    def _bounds(self, times: list[int], live: int, t: int) -> tuple[int, int]:
        """The places [lo, hi) of a key's rows that lie within the bounds of time."""
        ranged, start, end, exclude = self._shape
        hi = bisect_left(times, t) if exclude else bisect_right(times, t)
        lo = live
        if ranged:
            if start is not None:
                first = bisect_left(times, t - start, 0, hi)
                lo = max(first, live)
            if end > 0:
                hi = min(hi, bisect_right(times, max(0, t - end)))
        return lo, max(lo, hi)

    def rows(self, x: Row, spot: Spot) -> tuple[Slice, Row | None]:
        """The frame of a row of the main relation: stored rows, and the row where it is in it."""
        key, t, sources = spot
        with_current = self._with_current
        first = False
        if t == 0:
            f = self.window.frame
            first = f.kind == "range" and f.end > 0 and not f.exclude_current_row
            with_current = with_current or first  # an edge before time 0 is time 0
        current = x if with_current else None
        room = self._room
        if room is not None and with_current:
            room -= 1
        if len(sources) != 1:
            if not sources:
                return (Slice([], None, None) if first else self._nothing), current
            return self._merged(spot, room, keeps=self._keeps and not first), current
        path = self.paths[0]
        times, rows, live, number = sources[0]
        lo, hi = self._bounds(times, live, t)
        if path.keep is None:
            lo, hi = self._cut(lo, hi, room)
        if lo >= hi and not first:
            return self._nothing, current
        keeps = self._keeps and number != NO_NUMBER and not first
        place = (key, lo, hi)
        if keeps:
            found = self._kept.get(place)
            if found is not None and found.numbers == number:
                return found, current
        if path.keep is None:
            chosen = rows[lo:hi]
        else:
            chosen = [r for _, r in _kept(path, times, rows, lo, hi)]
            lo, hi = self._cut(0, len(chosen), room)
            chosen = chosen[lo:hi]
        chosen.reverse()
        made = Slice(chosen, None, number)
        if keeps and self._again(place):
            made.place = place
        return made, current

    def together(
        self, xs: Sequence[Row], spots: Sequence[Spot]
    ) -> tuple[list[Slice], Sequence[Row | None]]:
        """``rows`` for many rows of the main relation: the stored rows of each, and the row."""
        ranged, start, end, exclude = self._shape
        path = self.paths[0] if len(self.paths) == 1 else None
        if path is None or path.keep is not None or end > 0:
            found = [self.rows(x, spot) for x, spot in zip(xs, spots, strict=True)]
            return [stored for stored, _ in found], [current for _, current in found]
        room = self._room
        if room is not None and self._with_current:
            room -= 1
        reach = room
        if not ranged and start is not None:
            reach = start if room is None else min(start, room)
        since = start if ranged else None
        kept, keeps, nothing = self._kept, self._keeps, self._nothing
        out: list[Slice] = []
        for key, t, ((times, rows, live, number),) in spots:
            if not times:
                out.append(nothing)
                continue
            hi = bisect_left(times, t) if exclude else bisect_right(times, t)
            lo = live
            if since is not None:
                first = bisect_left(times, t - since, 0, hi)
                if first > lo:
                    lo = first
            if reach is not None and hi - reach > lo:
                lo = hi - reach
            if lo >= hi:
                out.append(nothing)
                continue
            place = (key, lo, hi)
            if keeps and number != NO_NUMBER:
                known = kept.get(place)
                if known is not None and known.numbers == number:
                    out.append(known)
                    continue
            chosen = rows[lo:hi]
            chosen.reverse()
            made = Slice(chosen, None, number)
            if keeps and number != NO_NUMBER and self._again(place):
                made.place = place
            out.append(made)
        return out, xs if self._with_current else [None] * len(xs)

    def _cut(self, lo: int, hi: int, room: int | None) -> tuple[int, int]:
        """The places that a ROWS frame and MAXSIZE leave of those within the bounds."""
        ranged, start, end, _ = self._shape
        if not ranged:
            if start is not None and hi - start > lo:
                lo = hi - start
            if end > 1:
                hi = max(lo, hi - end + 1)
        if room is not None and hi - room > lo:
            lo = hi - room
        return lo, hi

    def _again(self, place: Any) -> bool:
        """Whether a slice has been asked for before: of most there is no second time."""
        seen = self._seen
        if place in seen:
            return True
        if len(seen) >= KEPT_ROWS:
            seen.clear()
        seen.add(place)
        return False

    def remember(self, made: Slice) -> None:
        """Keep a slice, once all calls have been computed of it."""
        place, made.place = made.place, None
        if self._settled:
            made.rows, made.lists = [], {}  # the calls' values are all that is asked for
        self._weight += len(made.rows) + _SLICE
        if self._weight > KEPT_ROWS:
            self._kept = {}
            self._weight = len(made.rows) + _SLICE
        self._kept[place] = made

    def _merged(self, spot: Spot, room: int | None, *, keeps: bool) -> Slice:
        f = self.window.frame
        key, t, sources = spot
        reach = room
        if f.kind == "rows":
            reach = f.start
        spans = []
        place: list[Any] = [key]
        numbers: list[int] = []
        for path, (times, rows, live, number) in zip(self.paths, sources, strict=True):
            lo, hi = self._bounds(times, live, t)
            if path.keep is None and reach is not None:
                lo = max(lo, hi - reach)
            spans.append((path, times, rows, lo, hi))
            place += (lo, hi)
            numbers.append(number)
        keeps = keeps and NO_NUMBER not in numbers
        at = tuple(place)
        if keeps:
            found = self._kept.get(at)
            if found is not None and found.numbers == numbers:
                return found
        merged: list[tuple[int, int, Row]] = []
        for s, (path, times, rows, lo, hi) in enumerate(spans):
            if path.keep is not None:
                merged += [(ts, s, r) for ts, r in _kept(path, times, rows, lo, hi)]
            else:
                merged += [(times[i], s, rows[i]) for i in range(lo, hi)]
        merged.sort(key=itemgetter(0))  # stable: among equal times the sources' order holds
        lo, hi = self._cut(0, len(merged), room)
        merged = merged[lo:hi][::-1]
        made = Slice([m[2] for m in merged], [m[1] for m in merged], numbers)
        if keeps and self._again(at):
            made.place = at
        return made

    # -- values

    def call(self, c: AggregateCall, width: int) -> Call:
        """A call's value of a frame; ``width`` is the number of the main relation's columns."""
        if c.correlated:
            self._settled = False
            return _one_by_one(self._correlated(c, width))
        slot = self._calls
        self._calls += 1
        fold = _fold_of(c)
        getters = [self._getter(a) for a in c.arguments]

        first_of, first_own = getters[0]

        def whole(stored: Slice, current: Row | None) -> Any:
            if current is not None and len(getters) == 1:
                return fold([first_own(current), *first_of(stored)])
            if current is None:
                return fold(*[g(stored) for g, _ in getters])
            return fold(*[[own(current), *g(stored)] for g, own in getters])

        if not self._with_current or all(columns_read(a) <= self._constant for a in c.arguments):

            def once(stored: Slice, current: Row | None, _: Sequence[Any]) -> Any:
                found = stored.folded.get(slot, _MISSING)
                if found is _MISSING:
                    found = stored.folded[slot] = whole(stored, current)
                return found

            def once_each(
                slices: Sequence[Slice],
                currents: Sequence[Row | None],
                _: Sequence[Sequence[Any]],
            ) -> list[Any]:
                out = []
                for stored, current in zip(slices, currents, strict=True):
                    found = stored.folded.get(slot, _MISSING)
                    if found is _MISSING:
                        found = stored.folded[slot] = whole(stored, current)
                    out.append(found)
                return out

            return Call(once, once_each, shared=True)
        self._settled = False
        if c.impl.join is not None and c.expand is None:
            prepare, finish = c.impl.join
            ((values, own),) = getters

            def joined(stored: Slice, current: Row | None, _: Sequence[Any]) -> Any:
                if current is None:
                    return whole(stored, None)
                state = stored.folded.get(slot, _MISSING)
                if state is _MISSING:
                    state = stored.folded[slot] = prepare(values(stored))
                return finish(state, own(current))

            def joined_each(
                slices: Sequence[Slice],
                currents: Sequence[Row | None],
                _: Sequence[Sequence[Any]],
            ) -> list[Any]:
                out = []
                for stored, current in zip(slices, currents, strict=True):
                    if current is None:
                        out.append(whole(stored, None))
                        continue
                    state = stored.folded.get(slot, _MISSING)
                    if state is _MISSING:
                        state = stored.folded[slot] = prepare(values(stored))
                    out.append(finish(state, own(current)))
                return out

            return Call(joined, joined_each)
        return Call(
            lambda stored, current, _: whole(stored, current),
            lambda slices, currents, _: list(map(whole, slices, currents)),
        )

    def _getter(self, e: Expr) -> tuple[Callable[[Slice], list[Any]], Callable[[Row], Any]]:
        """An expression over stored rows (the list is kept: do not change it), and over one row."""
        known = self._getters.get(e)
        if known is not None:
            return known
        per_source = [substitute(e, p.outputs) for p in self.paths]
        values = [p.row() for p in per_source]
        places = [p.index if isinstance(p, Col) else None for p in per_source]
        slot = len(self._getters)

        def get(stored: Slice) -> list[Any]:
            out = stored.lists.get(slot)
            if out is not None:
                return out
            if stored.sources is not None:
                out = [values[s](r) for s, r in zip(stored.sources, stored.rows, strict=True)]
            elif not stored.rows:
                out = []
            elif places[0] is not None:
                place = places[0]
                out = [r[place] for r in stored.rows]
            else:
                value = values[0]
                out = [value(r) for r in stored.rows]
            stored.lists[slot] = out
            return out

        self._getters[e] = get, e.row()
        return self._getters[e]

    def _correlated(self, c: AggregateCall, width: int) -> Step:
        """A call whose arguments read what earlier calls gave for the request row."""
        fold = c.impl.fold
        plain = [
            self._getter(a) if all(i < width for i in columns_read(a)) else None
            for a in c.arguments
        ]
        current_row = [a.row() for a in c.arguments]
        per_source = [
            [_correlate(a, p.outputs, width, p.base_width).row() for a in c.arguments]
            for p in self.paths
        ]

        def run(stored: Slice, current: Row | None, earlier: Sequence[Any]) -> Any:
            tail = tuple(earlier)
            lists: list[list[Any]] = []
            for k, of_current in enumerate(current_row):
                simple = plain[k]
                if simple is not None:
                    found = simple[0](stored)
                    lists.append(found if current is None else [simple[1](current), *found])
                    continue
                out: list[Any] = []
                if current is not None:
                    out.append(of_current((*current, *tail)))
                if stored.sources is not None:
                    out += [
                        per_source[s][k]((*r, *tail))
                        for s, r in zip(stored.sources, stored.rows, strict=True)
                    ]
                elif stored.rows:
                    value = per_source[0][k]
                    out += [value((*r, *tail)) for r in stored.rows]
                lists.append(out)
            return fold(*lists)

        return run


def _one_by_one(step: Step) -> Call:
    """A call that is computed of one request row after another."""

    def steps(
        slices: Sequence[Slice], currents: Sequence[Row | None], earlier: Sequence[Sequence[Any]]
    ) -> list[Any]:
        before = zip(*earlier, strict=True) if earlier else [()] * len(slices)
        return list(map(step, slices, currents, before))

    return Call(step, steps)


def _fold_of(c: AggregateCall) -> Callable[..., Any]:
    """The call's fold; a list aggregate's takes its texts apart first."""
    fold = c.impl.fold
    if c.expand is None:
        return fold
    split = c.expand.row

    def expanded(*texts: list[Any]) -> Any:
        return fold(listed(x for t in zip(*texts, strict=True) for x in split(*t)))

    return expanded


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

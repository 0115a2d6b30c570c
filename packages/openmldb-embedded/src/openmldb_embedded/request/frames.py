"""A window's frame for one request row, and what its aggregates are over it.

A frame is the request row's own part, which differs from request to request, and a slice of stored
rows, which often does not: the comments on one product are the same for all who look at it. So what
is computed of a slice is kept by the slice's key and places for as long as its rows are the same
(``memtable.Entry``): always the columns' values, and the aggregate itself where the request row
brings nothing of its own to it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from operator import itemgetter
from typing import Any

from openmldb_embedded.aggregates.registry import Join
from openmldb_embedded.expr import Col, Expr
from openmldb_embedded.functions.lists import listed
from openmldb_embedded.memtable import NO_NUMBER, NULL_TIME, Key, Row
from openmldb_embedded.plan import AggregateCall, WindowPlan
from openmldb_embedded.request.columnwise import Column, Compute, Rowset, columnwise, keys_of
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


Spot = tuple[Key, int, list[tuple[list[int], list[Row], int, int]]]
"""Where a request row's frames lie: its key, its time, and what each source has of the key."""


@dataclass(frozen=True)
class Spots:
    """Where the frames of several request rows lie.

    Attributes:
        spots: The distinct places.
        which: Which of them each row has; None: the first row has the first, and so on.
        rows: A row of each, where that is not what ``which`` says.
    """

    spots: list[Spot]
    which: list[int] | None
    rows: Sequence[int] | None = None

    def first(self, spot: int) -> int:
        """A row that has a spot."""
        if self.rows is not None:
            return self.rows[spot]
        return spot if self.which is None else self.which.index(spot)

    def spread(self, values: list[Any], x: Rowset) -> Column:
        """A value of each spot as a column of the rows."""
        if len(values) == 1:
            return x.once(values[0])
        return Column.of(values if self.which is None else [values[n] for n in self.which])

    def each(self, values: list[Any]) -> list[Any]:
        """As ``spread``, always a list."""
        return values if self.which is None else [values[n] for n in self.which]


class ByRow(Exception):
    """These request rows cannot be answered together."""


Columnwise = Callable[[list["Slice"], Spots, Rowset, Sequence[Column]], Column]
"""From the stored rows of each spot, the spots, the request rows and the calls before to a call's
column."""


@dataclass(frozen=True)
class Call:
    """An aggregate call over a frame, for one request row and for several."""

    step: Step
    column: Columnwise


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
        self._keys = keys_of(w.partition)
        self._times = None if w.order is None else columnwise(w.order)
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

    def of_all(self, x: Rowset) -> Spots:
        """As ``of``, of several rows: each key and time once."""
        key = self._keys(x)
        time = x.once(0) if self._times is None else self._times(x)
        if key.same and time.same:
            return Spots([self._spot(key.value, time.value)], [0] * x.count)
        keys: Sequence[Key] = key.values()
        times = [_from_epoch(time.value)] * x.count if time.same else time.values()
        if not time.same and (None in times or min(times) < 0):
            times = [_from_epoch(t) for t in times]
        which = None
        distinct = list(dict.fromkeys(keys))
        if len(distinct) < x.count:
            if time.same:
                place = dict(zip(distinct, range(len(distinct)), strict=True))
                which, keys = [place[k] for k in keys], distinct
            else:
                pairs = list(zip(keys, times, strict=True))
                place = {pair: n for n, pair in enumerate(dict.fromkeys(pairs))}
                which = [place[pair] for pair in pairs]
                keys, times = [k for k, _ in place], [t for _, t in place]
        if self._only is not None:
            stored = self._only.fetch_all(keys)
            return Spots(
                [
                    (k, t, [_dated(f) if f[0] and f[0][0] == NULL_TIME else f])
                    for k, t, f in zip(keys, times, stored, strict=False)
                ],
                which,
            )
        found = [path.fetch_all(keys) for path in self.paths]
        spots: list[Spot] = [
            (k, t, list(map(_dated, of_key)))
            for k, t, of_key in zip(
                keys, times, zip(*found, strict=True) if found else repeat(()), strict=False
            )
        ]
        return Spots(spots, which)

    def _spot(self, key: Key, t: int | None) -> Spot:
        t = _from_epoch(t)
        if self._only is not None:
            return key, t, [_dated(self._only.fetch(key))]
        return key, t, [_dated(path.fetch(key)) for path in self.paths]


def _from_epoch(t: int | None) -> int:
    return _AFTER_ALL if t is None or t < 0 else t


def _dated(
    found: tuple[list[int], list[Row], int, int],
) -> tuple[list[int], list[Row], int, int]:
    """A key's rows from the first that has a time on."""
    times = found[0]
    if times and times[0] == NULL_TIME:
        _, rows, live, number = found
        return times, rows, max(live, bisect_right(times, NULL_TIME)), number
    return found


@dataclass(frozen=True)
class Getter:
    """An expression over a frame.

    Attributes:
        stored: Its values over stored rows; the list is kept: do not change it.
        own: Its value of a request row.
        owns: The same of several.
    """

    stored: Callable[[Slice], list[Any]]
    own: Callable[[Row], Any]
    owns: Compute


class Frame:
    """Computes a window's frame for a request row.

    Args:
        w: The window.
        place: Where it lies.
        constant: Columns of the main relation that have one value in every request row.

    Attributes:
        with_current: Whether a request row is in its own frame; at time 0 it may be all the same.
        settled: Whether all calls over this frame are the same for every request row.
        plain: Whether its stored rows are a part of one table's, up to the request's time.
    """

    def __init__(self, w: WindowPlan, place: Place, constant: frozenset[int] = frozenset()) -> None:
        self.window = w
        self.place = place
        self.paths = paths = place.paths
        self._constant = constant
        f = w.frame
        self._shape = (f.kind == "range", f.start, f.end, f.exclude_current_time)
        self._room = None if f.maxsize is None else f.maxsize
        self.with_current = w.frame.end == 0 and not w.frame.exclude_current_row
        self._getters: dict[Expr, Getter] = {}
        self._calls = 0
        self._nothing = Slice([], None, None)
        self._kept: dict[Any, Slice] = {}
        self._seen: set[Any] = set()
        self.settled = True
        self.plain = len(paths) == 1 and paths[0].keep is None and f.end == 0
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
        with_current = self.with_current
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

    def together(self, spots: Sequence[Spot]) -> list[Slice]:
        """The stored rows of ``rows`` for several spots.

        All request rows are in their frames, or none: see ``with_current``.

        Raises:
            ByRow: That cannot be said.
        """
        ranged, start, end, exclude = self._shape
        if ranged and end > 0 and any(t == 0 for _, t, _ in spots):
            raise ByRow
        if not self.plain:
            return [self.rows((), spot)[0] for spot in spots]
        room = self._room
        if room is not None and self.with_current:
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
        return out

    def span(self, times: list[int], t: int) -> tuple[int, int]:
        """The times [since, until) in which a plain frame holds the rows that it holds at ``t``."""
        ranged, start, _, exclude = self._shape
        edge = 1 if exclude else 0  # a row of the request's own time is in the frame, or is not yet
        hi = bisect_left(times, t) if exclude else bisect_right(times, t)
        since = times[hi - 1] + edge if hi else 0
        until = times[hi] + edge if hi < len(times) else _AFTER_ALL + 1
        if ranged and start is not None:
            first = bisect_left(times, t - start, 0, hi)
            if first:
                since = max(since, times[first - 1] + start + 1)
            if first < hi:
                until = min(until, times[first] + start + 1)
        return since, until

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

    def remember_all(self, slices: list[Slice]) -> None:
        """``remember`` those that are to be."""
        for stored in slices:
            if stored.place is not None:
                self.remember(stored)

    def remember(self, made: Slice) -> None:
        """Keep a slice, once all calls have been computed of it."""
        place, made.place = made.place, None
        if self.settled:
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
            self.settled = False
            return self._correlated(c, width)
        slot = self._calls
        self._calls += 1
        fold = _fold_of(c)
        getters = [self._getter(a) for a in c.arguments]
        first = getters[0]

        def whole(stored: Slice, current: Row | None) -> Any:
            if current is not None and len(getters) == 1:
                return fold([first.own(current), *first.stored(stored)])
            if current is None:
                return fold(*[g.stored(stored) for g in getters])
            return fold(*[[g.own(current), *g.stored(stored)] for g in getters])

        if not self.with_current or all(columns_read(a) <= self._constant for a in c.arguments):
            return self._shared(slot, whole)
        self.settled = False
        if c.impl.join is not None and c.expand is None:
            return _joined(slot, first, whole, c.impl.join)

        def wholes(slices: list[Slice], spots: Spots, x: Rowset, _: Sequence[Column]) -> Column:
            owns = [g.owns(x) for g in getters]
            kept = [[g.stored(stored) for g in getters] for stored in slices]
            if len(slices) == 1 and all(own.same for own in owns):
                pairs = zip(owns, kept[0], strict=True)
                return x.once(fold(*[[own.value, *items] for own, items in pairs]))
            return Column.of(
                [
                    fold(*[[one, *items] for one, items in zip(own, lists, strict=True)])
                    for own, lists in zip(
                        zip(*[own.values() for own in owns], strict=True),
                        spots.each(kept),
                        strict=True,
                    )
                ]
            )

        return Call(lambda stored, current, _: whole(stored, current), wholes)

    def _shared(self, slot: int, whole: Callable[[Slice, Row | None], Any]) -> Call:
        """A call that the request row brings nothing of its own to: kept by the slice."""

        def once(stored: Slice, current: Row | None, _: Sequence[Any]) -> Any:
            found = stored.folded.get(slot, _MISSING)
            if found is _MISSING:
                found = stored.folded[slot] = whole(stored, current)
            return found

        def once_each(slices: list[Slice], spots: Spots, x: Rowset, _: Sequence[Column]) -> Column:
            values = [stored.folded.get(slot, _MISSING) for stored in slices]
            for n, value in enumerate(values):
                if value is _MISSING:
                    stored = slices[n]
                    current = x.rows()[spots.first(n)] if self.with_current else None
                    values[n] = stored.folded[slot] = whole(stored, current)
            return spots.spread(values, x)

        return Call(once, once_each)

    def _getter(self, e: Expr) -> Getter:
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

        self._getters[e] = Getter(get, e.row(), columnwise(e))
        return self._getters[e]

    def _correlated(self, c: AggregateCall, width: int) -> Call:
        """A call whose arguments read what earlier calls gave for the request row."""
        fold = c.impl.fold
        plain = [
            self._getter(a) if all(i < width for i in columns_read(a)) else None
            for a in c.arguments
        ]
        current_row = [a.row() for a in c.arguments]
        moved = [
            [_correlate(a, p.outputs, width, p.base_width) for a in c.arguments] for p in self.paths
        ]
        per_source = [[a.row() for a in arguments] for arguments in moved]

        def run(stored: Slice, current: Row | None, earlier: Sequence[Any]) -> Any:
            tail = tuple(earlier)
            lists: list[list[Any]] = []
            for k, of_current in enumerate(current_row):
                simple = plain[k]
                if simple is not None:
                    found = simple.stored(stored)
                    lists.append(found if current is None else [simple.own(current), *found])
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

        owns = [columnwise(a) for a in c.arguments]
        base = self.paths[0].base_width if self.paths else 0
        of_stored = [(columnwise(a), columns_read(a)) for a in (moved[0] if moved else ())]

        def over_one(stored: Slice, x: Rowset, made: Rowset, earlier: Sequence[Column]) -> Column:
            """All request rows have the same stored rows: one of these after the other."""
            lists: list[Any] = []
            for k, (compute, read) in enumerate(of_stored):
                simple = plain[k]
                parts = [owns[k](made)] if self.with_current else []
                if simple is not None:
                    parts += map(x.once, simple.stored(stored))
                else:
                    for row in stored.rows:
                        cells = [x.once(v if n in read else None) for n, v in enumerate(row)]
                        parts.append(compute(Rowset([*cells, *earlier], x.count)))
                lists.append(zip(*[part.values() for part in parts], strict=True))
            return Column.of(list(map(fold, *lists)))

        def runs(slices: list[Slice], spots: Spots, x: Rowset, earlier: Sequence[Column]) -> Column:
            made = Rowset([*x.columns, *earlier], x.count)
            if len(self.paths) == 1 == len(slices) and (self.with_current or slices[0].rows):
                return over_one(slices[0], x, made, earlier)
            if len(self.paths) != 1:
                rows = made.rows()
                currents = [row[:width] for row in rows] if self.with_current else [None] * x.count
                tails = [row[width:] for row in rows]
                return Column.of(list(map(run, spots.each(slices), currents, tails)))
            each = spots.each(slices)
            stored = [row for one in each for row in one.rows]
            counts = [len(one.rows) for one in each]
            ends = list(accumulate(counts))
            lists = []
            for k, (compute, read) in enumerate(of_stored):
                simple = plain[k]
                if simple is not None:
                    parts = [simple.stored(one) for one in each]
                else:
                    values = compute(_flat(stored, base, counts, earlier, read)).values()
                    parts = [values[end - n : end] for n, end in zip(counts, ends, strict=True)]
                if self.with_current:
                    own = owns[k](made).values()
                    parts = [[one, *part] for one, part in zip(own, parts, strict=True)]
                lists.append(parts)
            return Column.of(list(map(fold, *lists)))

        return Call(run, runs)


def _flat(
    stored: Sequence[Row],
    width: int,
    counts: Sequence[int],
    earlier: Sequence[Column],
    read: Collection[int],
) -> Rowset:
    """Stored rows, one request's after the other's, with what each request's calls before gave.

    Args:
        stored: The rows.
        width: Their columns.
        counts: How many each request has.
        earlier: The calls' columns.
        read: The columns that are needed.
    """
    total = len(stored)
    nothing = Column.once(None, total)
    columns = [Column.picked(stored, n) if n in read else nothing for n in range(width)]
    for n, column in enumerate(earlier, width):
        if n not in read or not total:
            columns.append(nothing)
        elif column.same:
            columns.append(Column.once(column.value, total))
        else:
            pairs = zip(column.values(), counts, strict=True)
            columns.append(Column.of([value for value, count in pairs for _ in range(count)]))
    return Rowset(columns, total)


def _joined(
    slot: int,
    getter: Getter,
    whole: Callable[[Slice, Row | None], Any],
    join: Join,
) -> Call:
    """A call whose value follows from something kept of the slice and the request row's own."""
    prepare, finish = join.keep, join.finish

    def state_of(stored: Slice) -> Any:
        state = stored.folded.get(slot, _MISSING)
        if state is _MISSING:
            state = stored.folded[slot] = prepare(getter.stored(stored))
        return state

    def joined(stored: Slice, current: Row | None, _: Sequence[Any]) -> Any:
        if current is None:
            return whole(stored, None)
        return finish(state_of(stored), getter.own(current))

    def joined_each(slices: list[Slice], spots: Spots, x: Rowset, _: Sequence[Column]) -> Column:
        own = getter.owns(x)
        states = list(map(state_of, slices))
        if len(states) == 1:
            (state,) = states
            if own.same:
                return x.once(finish(state, own.value))
            return Column.of(join.finish_all(state, own.values()))
        return Column.of(list(map(finish, spots.each(states), own.values())))

    return Call(joined, joined_each)


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

"""Which requests can be replayed fairly: those that have one right answer.

Batch and request mode give the same row for a request when the store holds exactly what the
batch saw before that request. docs/release.md derives the rules; here they are code:

- Other requests stand in a window only where it is not INSTANCE_NOT_IN_WINDOW, and then only
  earlier ones. So requests are fed in the order of time, each after its predecessors.
- Where order is undefined by the data there is no right answer to compare with: requests of
  one instant and key, ties where a frame is cut by counting, several rows for a join's key
  without an order among them. Those requests are excluded, and counted by reason.

What decides is read off the query (`query`). Where it is not all known (a WHERE below a window, a
further condition of a join), a request is rather excluded than compared by luck.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.features.reach import Column, Join, Reach, Source, Window

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """Rows of one source table: columns in the table's order."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Row]

    def at(self, column: str) -> int:
        """Position of a column."""
        return self.columns.index(column)


@dataclass
class Excluded:
    """Why sampled requests were not compared: reason -> request ids."""

    by_reason: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, request_id: str) -> None:
        """Count one."""
        self.by_reason.setdefault(reason, []).append(request_id)

    @property
    def ids(self) -> set[str]:
        """All of them."""
        return {request_id for ids in self.by_reason.values() for request_id in ids}


def exclude(
    requests: Table,
    sample: Iterable[Row],
    tables: Mapping[str, Table],
    reach: Reach,
    *,
    request_id: str,
    request_time: str,
) -> Excluded:
    """Find the sampled requests that have no single right answer.

    Args:
        requests: rows of the request table that the sample can see, the sample included.
        sample: the sampled rows of the request table.
        tables: every other table by name, its rows those that the sample can see.
        reach: how the query reaches them.
        request_id: the request table's id column.
        request_time: the column that orders requests.

    Returns:
        The excluded requests by reason.
    """
    out = Excluded()
    seen = _Seen(requests, {**tables, requests.name: requests}, reach)
    id_at, time_at = requests.at(request_id), requests.at(request_time)
    twice: defaultdict[Any, int] = defaultdict(int)
    for row in requests.rows:
        twice[row[id_at]] += 1
    holding = [w.requests for w in reach.windows if w.requests is not None and _at_end(w)]
    counted = [window for window in reach.windows if window.cuts]
    for row in sample:
        name = str(row[id_at])
        if twice[row[id_at]] > 1:
            out.add("request id given twice", name)
        elif any(_has_peer(seen, source, row, time_at) for source in holding):
            out.add("another request of the same instant and key", name)
        elif any(_ambiguous(seen, join, row) for join in reach.joins if join.order is None):
            out.add("several rows for a LAST JOIN key", name)
        elif any(_ambiguous(seen, join, row) for join in reach.joins if join.order is not None):
            out.add("equal ORDER BY values for a LAST JOIN key", name)
        elif any(_cut_in_a_tie(seen, window, row) for window in counted):
            out.add("equal times at the edge of a counted window", name)
    return out


class _Seen:
    """The rows that each read gives for a request."""

    def __init__(self, requests: Table, tables: Mapping[str, Table], reach: Reach) -> None:
        self._requests, self._tables, self._reach = requests, tables, reach
        self._index: dict[int, dict[Row, list[Row]]] = {}
        self._times: dict[tuple[Source, Row], npt.NDArray[np.int64]] = {}

    def request(self, row: Row, column: str) -> Any:
        """A request's value of a column."""
        return row[self._requests.at(column)]

    def at(self, read: int, column: str) -> int:
        """Position of a column among a read's rows."""
        return self._tables[self._reach.read(read).table].at(column)

    def by_key(self, read: int, row: Row) -> Iterator[Sequence[Row]]:
        """The rows of one read, those of each key together."""
        index = self._by_key(read)
        return (index.get(key, ()) for key in self._keys(read, row))

    def times(self, source: Source, row: Row) -> npt.NDArray[np.int64]:
        """Times of a window's source, oldest first; a row without a time is in no window."""
        parts = [self._times_of(source, key) for key in self._keys(source.read, row)]
        return parts[0] if len(parts) == 1 else np.sort(np.concatenate([_NONE, *parts]))

    def _times_of(self, source: Source, key: Row) -> npt.NDArray[np.int64]:
        found = self._times.get((source, key))
        if found is None:
            at = self.at(source.read, source.time)
            rows = self._by_key(source.read).get(key, ())
            found = np.sort(np.array([r[at] for r in rows if r[at] is not None], dtype=np.int64))
            self._times[source, key] = found
        return found

    def _keys(self, read: int, row: Row) -> Iterator[Row]:
        values = [self._values(column, row) for _, column in self._reach.read(read).keys]
        return itertools.product(*values)

    def _values(self, column: Column, row: Row) -> Iterable[Any]:
        if column.read == 0:
            return (self.request(row, column.name),)
        at = self.at(column.read, column.name)
        return {found[at] for rows in self.by_key(column.read, row) for found in rows}

    def _by_key(self, number: int) -> dict[Row, list[Row]]:
        index = self._index.get(number)
        if index is None:
            read = self._reach.read(number)
            table = self._tables[read.table]
            ats = [table.at(name) for name, _ in read.keys]
            index = {}
            for row in table.rows:
                index.setdefault(tuple(row[at] for at in ats), []).append(row)
            self._index[number] = index
        return index


_NONE: npt.NDArray[np.int64] = np.array([], dtype=np.int64)


def _at_end(window: Window) -> bool:
    """Whether the frame reaches to other rows of the request's own time."""
    return window.current_time and window.end == 0


def _has_peer(seen: _Seen, source: Source, row: Row, time_at: int) -> bool:
    (others,) = seen.by_key(source.read, row)
    return [other[time_at] for other in others].count(row[time_at]) > 1


def _ambiguous(seen: _Seen, join: Join, row: Row) -> bool:
    """Whether for a key more than one row may be the joined one."""
    return any(len(rows) > 1 and _tied(seen, join, rows) for rows in seen.by_key(join.read, row))


def _tied(seen: _Seen, join: Join, rows: Sequence[Row]) -> bool:
    if join.groups is not None:
        ats = [seen.at(join.read, name) for name in join.groups]
        rows = list({tuple(one[at] for at in ats): one for one in rows}.values())
    if join.order is None:
        return len(rows) > 1
    at = seen.at(join.read, join.order)
    values = sorted((one[at] is not None, one[at]) for one in rows)
    if not join.whole:
        return any(a == b for a, b in itertools.pairwise(values))
    if join.descending:
        values.reverse()
    return len(values) > 1 and bool(values[-1] == values[-2])


def _cut_in_a_tie(seen: _Seen, window: Window, row: Row) -> bool:
    """Whether a row inside the frame and the next one outside, cut by counting, have one time."""
    now = seen.request(row, window.time)
    if now is None:
        return False
    times = np.sort(np.concatenate([_NONE, *(seen.times(s, row) for s in window.sources)]))
    side: Any = "right" if window.current_time or window.end > 0 else "left"
    until = int(np.searchsorted(times, now - window.end, side))
    begin = 0 if window.start is None else int(np.searchsorted(times, now - window.start, "left"))
    times = times[begin:until]
    if window.requests is not None and _at_end(window):
        times = times[:-1]  # the request itself
    if not all(source.whole for source in window.sources):
        return len(times) > min(window.cuts) and bool((times[1:] == times[:-1]).any())
    edges = (len(times) - cut for cut in window.cuts)
    return any(0 < edge < len(times) and bool(times[edge - 1] == times[edge]) for edge in edges)

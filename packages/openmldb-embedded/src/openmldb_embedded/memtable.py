"""The online table: rows in insertion order, found by key and kept in time order by its indexes.

Whole batches stay columnar until a key is asked for, so that loading a table costs one sort for
each index and not one Python object for each row. Rows that arrive singly, late ones included, go
straight to their place. A reader takes a key's entry once and sees a state that was true at that
moment: entries are replaced, or appended to rows first and times last, never changed in place.
"""

from __future__ import annotations

import itertools
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow.compute as pc
from openmldb_sql.types import IndexDef, Schema, SqlType

from openmldb_embedded.columns import Array, Batch, Column, column_from_list
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.values import to_float32

Row = tuple[Any, ...]
Key = Any
"""One key column's value, or a tuple of several columns' values."""

NULL_TIME = -(2**63)
"""The time of a row whose ordering column is NULL: before every other."""

Rows = tuple[list[int], list[Row]]
"""Times in ascending order (places of insertion among equals) and the rows alongside."""

Entry = tuple[list[int], list[Row], int]
"""A key's times and rows, and the number of this entry: no other ever has it, so what was computed
of a slice of an entry holds for that slice as long as the number is the same."""

NO_NUMBER = 0
"""Stands for the number of an entry where each reading makes a new one."""

_NUMBERS = itertools.count(1)
_EMPTY: Entry = ([], [], next(_NUMBERS))


def numbered(rows: Rows) -> Entry:
    """Times and rows as an entry of its own."""
    return (*rows, next(_NUMBERS))


def _key_codes(column: Column) -> Array:
    """Integers that are equal where the values are (NULL with NULL)."""
    if column.type is SqlType.STRING:
        return column.values
    _, codes = np.unique(column.values, return_inverse=True)
    codes = codes.astype(np.int64)
    return codes if column.valid is None else np.where(column.valid, codes, -1)


class _Run:
    """One batch sorted by key and time, turned into rows a key at a time."""

    __slots__ = ("_batch", "_bounds", "_lock", "_order", "_places", "_spans", "_times")

    def __init__(self, batch: Batch, places: list[int], ts: int | None) -> None:
        self._batch = batch
        self._places = places
        if ts is None:
            times = np.zeros(batch.num_rows, dtype=np.int64)
        else:
            c = batch.columns[ts]
            times = c.values.astype(np.int64)
            if c.valid is not None:
                times = np.where(c.valid, times, NULL_TIME)
        codes = [_key_codes(batch.columns[p]) for p in places]
        order = np.lexsort((times, *codes)) if ts is not None else np.lexsort(codes)
        changed = np.zeros(batch.num_rows, dtype=np.bool_)
        changed[:1] = True
        for c_ in codes:
            changed[1:] |= c_[order[1:]] != c_[order[:-1]]
        starts = np.flatnonzero(changed)
        self._order = order
        self._times = times[order]
        self._bounds = np.append(starts, batch.num_rows)
        self._spans: dict[Key, int] | None = None
        self._lock = threading.Lock()

    def spans(self) -> dict[Key, int]:
        """The keys, and which part of the run is of each."""
        spans = self._spans
        if spans is None:
            with self._lock:
                heads = self._order[self._bounds[:-1]]
                parts = [self._batch.columns[p].take(heads).to_list() for p in self._places]
                keys: Iterable[Key] = parts[0] if len(parts) == 1 else zip(*parts, strict=True)
                spans = self._spans = {k: i for i, k in enumerate(keys)}
        return spans

    def keys(self) -> Iterable[Key]:
        return self.spans().keys()

    def prepare(self) -> None:
        self.spans()
        for c in self._batch.columns:
            if c.strings is not None:
                _ = c.strings.objects  # made once, shared by all indexes of the batch

    def __contains__(self, key: Key) -> bool:
        return key in self.spans()

    def rows(self, key: Key) -> Rows | None:
        """The key's rows in time order, or None."""
        at = self.spans().get(key)
        if at is None:
            return None
        start, stop = int(self._bounds[at]), int(self._bounds[at + 1])
        rows = self._batch.take(self._order[start:stop]).to_rows()
        return self._times[start:stop].tolist(), rows


class Index:
    """Rows by key, in ascending time; without a time column, in order of insertion."""

    def __init__(self, schema: Schema, keys: tuple[str, ...], ts: str | None) -> None:
        self.keys = keys
        self.ts = ts
        self.definition: IndexDef | None = None
        self._places = [schema.position(k) for k in keys]
        self._ts = None if ts is None else schema.position(ts)
        self._runs: list[_Run] = []
        self._entries: dict[Key, Entry] = {}
        self._prepared = False
        self._lock = threading.Lock()
        one = self._places[0]
        many = tuple(self._places)
        self._key_of: Callable[[Row], Key] = (
            (lambda row: row[one]) if len(many) == 1 else (lambda row: tuple(row[p] for p in many))
        )

    def get(self, key: Key) -> Entry:
        """The key's times and rows; do not change the lists."""
        entry = self._entries.get(key)
        if entry is None:
            if not any(key in run for run in self._runs):
                return _EMPTY
            with self._lock:
                entry = self._entries.get(key) or self._gather(key)
                if entry is None:
                    return _EMPTY
                self._entries[key] = entry
        return entry

    def window(self, key: Key) -> tuple[list[int], list[Row], int, int]:
        """The key's entry, its number last, before it the place of the first row not expired."""
        entry = self._entries.get(key)
        times, rows, number = self.get(key) if entry is None else entry
        d = self.definition
        if d is None or not d.expires or not times:
            return times, rows, 0, number
        return times, rows, live_from(times, d, int(time.time() * 1000)), number

    def windows(self, keys: Sequence[Key]) -> list[tuple[list[int], list[Row], int, int]]:
        """``window`` of several keys."""
        found = list(map(self._entries.get, keys))
        if None in found:
            missing = {key for key, entry in zip(keys, found, strict=True) if entry is None}
            for run in self._runs:
                for key in run.spans().keys() & missing:
                    self.get(key)
            known = self._entries
            found = [
                known.get(key, _EMPTY) if entry is None else entry
                for key, entry in zip(keys, found, strict=True)
            ]
        entries = cast(list[Entry], found)
        d = self.definition
        if d is None or not d.expires:
            return [(times, rows, 0, number) for times, rows, number in entries]
        now = int(time.time() * 1000)
        return [
            (times, rows, live_from(times, d, now) if times else 0, number)
            for times, rows, number in entries
        ]

    def prepare(self) -> None:
        """Build the tables of keys now, and from now on with each batch, not at a first read."""
        self._prepared = True
        for run in self._runs:
            run.prepare()

    def _gather(self, key: Key) -> Entry | None:
        parts = [p for p in (run.rows(key) for run in self._runs) if p is not None]
        if not parts:
            return None
        return numbered(parts[0] if len(parts) == 1 else _merge(parts))

    def insert(self, row: Row) -> None:
        """Add one row (one writer at a time)."""
        key = self._key_of(row)
        ts = 0 if self._ts is None else row[self._ts]
        if ts is None:
            ts = NULL_TIME
        with self._lock:
            entry = self._entries.get(key) or self._gather(key)
            if entry is None:
                self._entries[key] = numbered(([ts], [row]))
                return
            times, rows, _ = entry
            if not times or ts >= times[-1]:
                rows.append(row)
                times.append(ts)
                self._entries.setdefault(key, entry)
            else:
                at = bisect_right(times, ts)
                self._entries[key] = numbered(
                    ([*times[:at], ts, *times[at:]], [*rows[:at], row, *rows[at:]])
                )

    def insert_batch(self, batch: Batch) -> None:
        """Add a batch's rows (one writer at a time)."""
        run = _Run(batch, self._places, self._ts)
        if self._prepared:
            run.prepare()
        with self._lock:
            for key in list(self._entries) if self._entries else ():
                added = run.rows(key)
                if added is not None:
                    times, rows, _ = self._entries[key]
                    self._entries[key] = numbered(_merge([(times, rows), added]))
            self._runs.append(run)


def _merge(parts: Sequence[Rows]) -> Rows:
    """Parts of a key's rows as one, stable: among equal times the earlier part first."""
    pairs = [(t, r) for times, rows in parts for t, r in zip(times, rows, strict=False)]
    pairs.sort(key=lambda p: p[0])
    return [t for t, _ in pairs], [r for _, r in pairs]


def _equal_to(c: Column, value: Any) -> Array:
    """Where a column equals a Python value (None: where it is NULL)."""
    if value is None:
        return ~c.mask()
    if c.type is SqlType.STRING:
        codes = np.flatnonzero(np.asarray(pc.equal(c.dictionary.arrow, str(value))))
        return np.isin(c.values, codes)
    wanted = column_from_list(c.type, [value]).values[0]
    return np.asarray((c.values == wanted) & c.mask())


def live_from(times: list[int], index: IndexDef, now_ms: int) -> int:
    """The place of the first row that an index's ttl keeps; see IndexDef for the kinds."""
    by_age = bisect_left(times, now_ms - index.ttl_ms_abs) if index.ttl_ms_abs else None
    by_count = max(0, len(times) - index.ttl_lat) if index.ttl_lat else None
    kind = index.ttl_type.lower()
    if kind == "absolute":
        return by_age or 0
    if kind == "latest":
        return by_count or 0
    limits = [x for x in (by_age, by_count) if x is not None]
    if kind == "absandlat":  # a row goes only when both limits say so
        return min(limits) if len(limits) == 2 else 0
    return max(limits, default=0)


def live_places(times: Array, starts: Array, index: IndexDef, now_ms: int) -> Array:
    """Which rows, sorted by key and time, an index's ttl keeps; ``live_from`` for all keys.

    Args:
        times: Times ``[rows]``, ascending within each key.
        starts: Mask ``[rows]``: where a key's rows begin.
        index: The ttl.
        now_ms: The present, milliseconds since the epoch.
    """
    rows = len(times)
    young = times >= now_ms - index.ttl_ms_abs if index.ttl_ms_abs else None
    few = None
    if index.ttl_lat:
        first = np.flatnonzero(starts)
        ends = np.append(first[1:], rows)
        few = np.repeat(ends, np.diff(np.append(first, rows))) - np.arange(rows) <= index.ttl_lat
    kind = index.ttl_type.lower()
    everything = np.ones(rows, dtype=np.bool_)
    if kind == "absolute":
        return everything if young is None else young
    if kind == "latest":
        return everything if few is None else few
    if young is None or few is None:
        only = young if few is None else few
        return everything if only is None or kind == "absandlat" else only
    return young | few if kind == "absandlat" else young & few


class MemTable:
    """An online table in memory: many readers, one writer at a time (a lock sees to it)."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._write = threading.RLock()
        self._floats = [i for i, c in enumerate(schema.columns) if c.type is SqlType.FLOAT]
        self._chunks: list[Batch | list[Row]] = []
        self._count = 0
        self._indexes: dict[tuple[tuple[str, ...], str | None], Index] = {}
        self._scan: Batch | None = None
        self._sorted: tuple[Batch, tuple[Array, Array, Array]] | None = None
        for definition in schema.indexes:
            self.ensure_index(definition.keys, definition.ts, definition)

    @property
    def num_rows(self) -> int:
        """The rows stored, expired ones included."""
        return self._count

    def append(self, rows: Sequence[Sequence[Any]]) -> None:
        """Append rows of Python values in schema order, already checked against the schema."""
        if not rows:
            return
        with self._write:
            added = [self._row(r) for r in rows]
            if not self._chunks or isinstance(self._chunks[-1], Batch):
                self._chunks.append([])
            cast(list[Row], self._chunks[-1]).extend(added)
            for index in self._indexes.values():
                for row in added:
                    index.insert(row)
            self._count += len(added)
            self._scan = None

    def _row(self, row: Sequence[Any]) -> Row:
        if not self._floats:
            return tuple(row)
        out = list(row)
        for i in self._floats:
            if out[i] is not None:
                out[i] = to_float32(out[i])
        return tuple(out)

    def append_batch(self, batch: Batch) -> None:
        """Append a batch whose columns are the schema's, in order."""
        if batch.num_rows == 0:
            return
        if [t for _, t in batch.schema] != [c.type for c in self.schema.columns]:
            raise ExecutionError(
                f"a batch of types {[t.value for _, t in batch.schema]} does not fit a table of "
                f"{[c.type.value for c in self.schema.columns]}"
            )
        if batch.num_rows < 64:  # a run of its own costs more than the rows do
            self.append(batch.to_rows())
            return
        with self._write:
            self._chunks.append(batch)
            for index in self._indexes.values():
                index.insert_batch(batch)
            self._count += batch.num_rows
            self._scan = None

    def ensure_index(
        self, keys: tuple[str, ...], ts: str | None, definition: IndexDef | None = None
    ) -> Index:
        """The index on these columns, built from the rows stored when it is new.

        ``definition`` declares the ttl that reads through this index honour; None leaves it as it
        is (a new index then never expires).
        """
        name = (tuple(keys), ts)
        found = self._indexes.get(name)
        if found is None:
            with self._write:
                found = self._indexes.get(name)
                if found is None:
                    found = Index(self.schema, name[0], ts)
                    for chunk in self._chunks:
                        if isinstance(chunk, Batch):
                            found.insert_batch(chunk)
                        elif len(chunk) >= 64:
                            found.insert_batch(Batch.from_rows(self.schema.fields, chunk))
                        else:
                            for row in chunk:
                                found.insert(row)
                    self._indexes[name] = found
        if definition is not None:
            for (others, time_column), index in self._indexes.items():
                if time_column == ts and set(others) == set(keys):
                    index.definition = definition
        elif found.definition is None:
            # The same index with its keys in another order keeps the same rows.
            found.definition = next(
                (
                    index.definition
                    for (others, time_column), index in list(self._indexes.items())
                    if time_column == ts and set(others) == set(keys)
                ),
                None,
            )
        return found

    def visible(self, *, newest_first: bool = False) -> Batch:
        """The rows that a SELECT sees: those that the first index keeps.

        Args:
            newest_first: Key by key, each key's rows from the newest to the oldest; otherwise in
                order of insertion.
        """
        whole = self.scan()
        if not self.schema.indexes or not whole.num_rows:
            return whole
        first = self.schema.indexes[0]
        index = self._indexes[first.keys, first.ts]
        definition = index.definition or first
        if not newest_first and not definition.expires:
            return whole
        order, times, starts = self._by_key(whole, first)
        live = live_places(times, starts, definition, int(time.time() * 1000))
        if not newest_first:
            return whole if live.all() else whole.take(np.sort(order[live]))
        return whole.take(order[live][::-1])

    def _by_key(self, whole: Batch, index: IndexDef) -> tuple[Array, Array, Array]:
        """Places in order of key and time, the times there, and where each one's key begins."""
        known = self._sorted
        if known is not None and known[0] is whole:
            return known[1]
        found = self._order_of(whole, index)
        self._sorted = (whole, found)
        return found

    def _order_of(self, whole: Batch, index: IndexDef) -> tuple[Array, Array, Array]:
        codes = [_key_codes(whole.columns[self.schema.position(key)]) for key in index.keys]
        times = np.zeros(whole.num_rows, dtype=np.int64)
        if index.ts is not None:
            column = whole.columns[self.schema.position(index.ts)]
            times = column.values.astype(np.int64)
            if column.valid is not None:
                times = np.where(column.valid, times, NULL_TIME)
        order = np.lexsort((times, *codes))
        changed = np.zeros(whole.num_rows, dtype=np.bool_)
        changed[0] = True
        for code in codes:
            changed[1:] |= code[order[1:]] != code[order[:-1]]
        return order, times[order], changed

    def scan(self) -> Batch:
        """All rows in order of insertion (kept until the next write)."""
        scan = self._scan
        if scan is None:
            with self._write:
                fields = self.schema.fields
                parts = [
                    c if isinstance(c, Batch) else Batch.from_rows(fields, c) for c in self._chunks
                ]
                scan = Batch.concat(parts) if parts else Batch.empty(fields)
                scan = Batch(fields, scan.columns, scan.num_rows)
                self._scan = scan
        return scan

    def truncate(self) -> None:
        """Remove all rows; indexes stay."""
        with self._write:
            self._reset(None)

    def delete(
        self,
        equals: Mapping[str, Any] | None = None,
        ts: str | None = None,
        ts_min: int | None = None,
        ts_max: int | None = None,
    ) -> int:
        """Remove the rows that meet every condition given, and say how many.

        ``equals`` maps columns to values (None matches NULL); ``ts`` names a TIMESTAMP or BIGINT
        column bounded by ``ts_min`` and ``ts_max``, both inclusive.
        """
        with self._write:
            before = self.scan()
            goes = np.ones(before.num_rows, dtype=np.bool_)
            for name, value in (equals or {}).items():
                goes &= _equal_to(before.columns[self.schema.position(name)], value)
            if ts is not None:
                c = before.columns[self.schema.position(ts)]
                goes &= c.mask()
                if ts_min is not None:
                    goes &= c.values >= ts_min
                if ts_max is not None:
                    goes &= c.values <= ts_max
            gone = int(goes.sum())
            if gone:
                self._reset(before.take(np.flatnonzero(~goes)))
        return gone

    @property
    def expires(self) -> bool:
        """Whether rows can be let go of by every index."""
        return bool(self.schema.indexes) and all(i.expires for i in self.schema.indexes)

    def expired(self, now_ms: int) -> int:
        """How many rows every index has let go of at a moment."""
        with self._write:
            kept = self._kept(now_ms)
            return 0 if kept is None else int(self._count - kept.sum())

    def collect(self, now_ms: int) -> int:
        """Remove the rows that every index has let go of at a moment, and say how many.

        No reader sees a difference: what goes was hidden before.
        """
        with self._write:
            kept = self._kept(now_ms)
            gone = 0 if kept is None else int(self._count - kept.sum())
            if kept is not None and gone:
                self._reset(self.scan().take(np.flatnonzero(kept)))
        return gone

    def _kept(self, now_ms: int) -> Array | None:
        """Which rows some index keeps; None where all are kept whatever their age."""
        if not self.expires or not self._count:
            return None
        whole = self.scan()
        kept = np.zeros(whole.num_rows, dtype=np.bool_)
        for index in self.schema.indexes:
            order, times, starts = self._order_of(whole, index)
            kept[order[live_places(times, starts, index, now_ms)]] = True
        return kept

    def _reset(self, batch: Batch | None) -> None:
        """Replace the contents; the caller holds the write lock."""
        if batch is not None and batch.num_rows == 0:
            batch = None
        fresh: dict[tuple[tuple[str, ...], str | None], Index] = {}
        for (keys, ts), old in self._indexes.items():
            index = Index(self.schema, keys, ts)
            index.definition = old.definition
            if batch is not None:
                index.insert_batch(batch)
            fresh[(keys, ts)] = index
        self._chunks = [] if batch is None else [batch]
        self._count = 0 if batch is None else batch.num_rows
        self._scan = batch
        self._sorted = None
        for name, index in fresh.items():
            # Bound requests hold the index object: give it the new contents, and let no reader
            # keep what it gathered of the old ones.
            held = self._indexes[name]
            if held._prepared:
                index.prepare()
            with held._lock:
                held._runs, held._entries = index._runs, index._entries


__all__ = [
    "NO_NUMBER",
    "NULL_TIME",
    "Entry",
    "Index",
    "Key",
    "MemTable",
    "Row",
    "live_from",
    "numbered",
]

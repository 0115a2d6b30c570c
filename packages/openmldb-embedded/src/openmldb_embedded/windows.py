"""Frames in batch mode: one sort for each (keys, order, sources), then bounds by binary search.

Rows of all sources of a window are ordered by partition, order key and age among equals: rows of
united tables are older than the main table's, and of those the first listed is the newest. A main
row's frame is then one run of places, apart from the row itself where attributes set it aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from openmldb_sql.types import SqlType

from openmldb_embedded.columns import Array, Column, concat_columns
from openmldb_embedded.plan import WindowFrame
from openmldb_embedded.sorting import search_sorted, stable_order


@dataclass(frozen=True, slots=True)
class Frames:
    """A run of rows for each output row.

    Attributes:
        order: Places (in the sources' rows end to end) by partition and age, oldest first.
        lo: For each output row the first of its run in ``order``.
        hi: The place after its last; ``hi >= lo``.
        extra: For each output row the place of one more row, newer than its run; or None.
    """

    order: Array
    lo: Array
    hi: Array
    extra: Array | None

    def __len__(self) -> int:
        return len(self.lo)

    @property
    def sizes(self) -> Array:
        """The run lengths, the extra row not counted."""
        return self.hi - self.lo

    def slice(self, start: int, stop: int) -> Frames:
        """The frames of output rows [start, stop)."""
        extra = None if self.extra is None else self.extra[start:stop]
        return Frames(self.order, self.lo[start:stop], self.hi[start:stop], extra)

    def take(self, rows: Array) -> Frames:
        """The frames of some output rows."""
        extra = None if self.extra is None else self.extra[rows]
        return Frames(self.order, self.lo[rows], self.hi[rows], extra)

    def explode(self) -> tuple[Array, Array]:
        """Places of every frame row, newest first in each frame, and each one's output row."""
        sizes = self.sizes
        rows = np.repeat(np.arange(len(sizes)), sizes)
        # Count down from hi - 1 within each run.
        ends = np.cumsum(sizes)
        places = np.repeat(self.hi - 1 + ends - sizes, sizes) - np.arange(len(rows))
        places = self.order[places]
        if self.extra is None:
            return places, rows
        at = ends - sizes
        return np.insert(places, at, self.extra), np.insert(rows, at, np.arange(len(sizes)))


def key_codes(parts: Sequence[Sequence[Column]]) -> Array:
    """One integer for each row, equal where all keys are equal (NULL equals NULL).

    Args:
        parts: For each source its key columns; rows are numbered source by source.
    """
    combined: Array | None = None
    width = 1
    for columns in zip(*parts, strict=True):
        whole = concat_columns(columns)
        if whole.type is SqlType.STRING:
            codes = whole.values.astype(np.int64) + 1
            size = len(whole.dictionary) + 1
        else:
            _, inverse = np.unique(whole.values, return_inverse=True)
            codes = inverse.astype(np.int64) + 1
            if whole.valid is not None:
                codes = np.where(whole.valid, codes, 0)
            size = int(codes.max(initial=0)) + 1
        if combined is None:
            combined, width = codes, size
            continue
        if width * size >= 2**62:
            _, inverse = np.unique(combined, return_inverse=True)
            combined, width = inverse.astype(np.int64), int(inverse.max(initial=0)) + 1
        combined = combined * size + codes
        width *= size
    assert combined is not None
    if width > 2 * len(combined) + 1000:
        _, inverse = np.unique(combined, return_inverse=True)
        combined = inverse.astype(np.int64)
    return combined


class Layout:
    """The sorted rows of a window's sources.

    Args:
        keys: A partition code for each row of the sources end to end.
        times: The order key of each; None for order of insertion.
        valid: Where the order key is not NULL; other rows are in no frame.
        main: Places [start, stop) of the main relation; it comes last.
        apart: INSTANCE_NOT_IN_WINDOW: main rows are in no other row's frame.
    """

    def __init__(
        self, keys: Array, times: Array | None, valid: Array | None, main: slice, apart: bool
    ) -> None:
        self.main = main
        self.apart = apart
        if times is None:
            times = np.zeros(len(keys), dtype=np.int64)
        stop = main.start if apart else main.stop
        members = np.arange(stop)
        if valid is not None and not valid[:stop].all():
            members = members[valid[:stop]]
        self._shape(keys, times)
        composite = self._composite(keys, times)
        pool = composite[:stop] if len(members) == stop else composite[members]
        order = stable_order(pool)
        self.order = order if len(members) == stop else members[order]
        self.sorted = pool[order]
        self._keys = keys[main]
        self._times = times[main]
        self._current = composite[main]
        # Main rows by partition and time: bounds are found in this order, which is theirs too.
        self._by = np.argsort(self._current)
        self.starts = self._find(self._keys * self._span, "left")
        if apart:
            self.places = self._find(self._current, "right")
        else:
            inverse = np.empty(main.stop, dtype=np.int64)
            inverse[self.order] = np.arange(len(self.order))
            self.places = inverse[main]

    def _find(self, queries: Array, side: str) -> Array:
        return search_sorted(self.sorted, queries, self._by, side)

    def _shape(self, keys: Array, times: Array) -> None:
        low = int(times.min(initial=0)) if len(times) else 0
        high = int(times.max(initial=0)) if len(times) else 0
        top = int(keys.max(initial=0)) + 1
        self._low = low
        self._span = high - low + 2
        self._ranks: Array | None = None
        if top * self._span >= 2**62:
            self._ranks = np.unique(times)
            self._span = len(self._ranks) + 2

    def _composite(self, keys: Array, times: Array) -> Array:
        """An integer that sorts as (key, time)."""
        if self._ranks is not None:
            return np.asarray(keys * self._span + np.searchsorted(self._ranks, times, "left") + 1)
        return np.asarray(keys * self._span + (times - self._low) + 1)

    def _at(self, back: int, side: str) -> Array:
        """The place in ``sorted`` of each main row's key and its time minus ``back``."""
        if self._ranks is not None:
            target = self._times.astype(object) - back  # may leave 64 bits
            low, high = -(2**63), 2**63 - 1
            clipped = np.array([min(max(int(t), low), high) for t in target], dtype=np.int64)
            rank = np.searchsorted(self._ranks, clipped, "left" if side == "left" else "right")
            # Between ranks: the first composite at or after (left), or after (right), the target.
            return self._find(self._keys * self._span + rank + 1, "left")
        span = self._span
        if back >= span:
            offset = np.zeros(len(self._times), dtype=np.int64)
        elif back <= -span:
            offset = np.full(len(self._times), span - 1, dtype=np.int64)
        else:
            offset = np.clip(self._times - self._low + 1 - back, 0, span - 1)
        return self._find(self._keys * span + offset, side)

    def frames(self, f: WindowFrame) -> Frames:
        """Each main row's frame."""
        aside = self.apart or f.exclude_current_time
        before = self._find(self._current, "left") if f.exclude_current_time else self.places
        starts = self.starts
        with_current = f.end <= 0
        n = before + (0 if aside or not with_current else 1)  # where the newest edge lies
        if f.kind == "rows":
            lo = starts if f.start is None else np.maximum(starts, before - f.start)
            hi = n if with_current else before - f.end + 1
        else:
            lo = starts if f.start is None else np.maximum(starts, self._at(f.start, "left"))
            hi = np.minimum(self._at(f.end, "right"), before) if f.end > 0 else n
        hi = np.maximum(hi, starts)
        extra: Array | None = None
        if aside and with_current and not f.exclude_current_row:
            extra = np.arange(self.main.start, self.main.stop)
        if f.exclude_current_row and with_current and not aside:
            # Only a frame that ends at the current row can lose its newest row so.
            hi = np.minimum(hi, before)
        if f.maxsize is not None:
            room = f.maxsize - (1 if extra is not None else 0)
            lo = np.maximum(lo, hi - room)
        lo = np.minimum(np.maximum(lo, starts), hi)
        return Frames(self.order, lo, hi, extra)


def layout(
    keys: Sequence[Sequence[Column]],
    orders: Sequence[Column] | None,
    apart: bool,
) -> Layout:
    """The layout of sources whose last is the main relation.

    Args:
        keys: Each source's partition columns.
        orders: Each source's order column, or None.
        apart: INSTANCE_NOT_IN_WINDOW.
    """
    sizes = [len(k[0]) for k in keys]
    total = sum(sizes)
    times: Array | None = None
    valid: Array | None = None
    if orders is not None:
        whole = concat_columns(orders)
        times = whole.values.astype(np.int64, copy=False)
        valid = whole.valid
        if valid is not None:
            times = np.where(valid, times, 0)
    main = slice(total - sizes[-1], total)
    return Layout(key_codes(keys), times, valid, main, apart)

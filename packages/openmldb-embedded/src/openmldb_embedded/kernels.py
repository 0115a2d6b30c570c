"""Aggregates over frames, vectorised.

Counts and whole-number sums are differences of running totals; extremes reduce each run; counts of
values come from one running total for each distinct value where these are few, and from sorted runs
of exploded frames otherwise. What a kernel cannot do, ``fold_frames`` does row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.aggregates import AggregateImpl
from openmldb_embedded.aggregates.folds import LIMITS, topn_text, zero_value
from openmldb_embedded.columns import Array, Column, column, column_from_list, fill, null_column
from openmldb_embedded.expr import truth
from openmldb_embedded.windows import Frames

CHUNK = 1 << 21
"""Frame rows exploded at once; bounds the memory of a window whatever its frames."""

FEW = 24
"""Up to so many distinct values are counted by a running total each."""


def aggregate(impl: AggregateImpl, arguments: list[Column], frames: Frames) -> Column:
    """The aggregate for each frame; ``arguments`` cover the sources' rows end to end."""
    kernel = _KERNELS.get(impl.kernel) if impl.kernel else None
    if kernel is None or arguments[0].type is SqlType.LIST:
        return fold_frames(impl, [a.to_list() for a in arguments], frames)
    values = arguments[0]
    if impl.conditional:
        hit = truth(arguments[1])
        if impl.nonzero:
            hit = hit & (values.values != 0)
        values = column(values.type, values.values, values.mask() & hit, values.strings)
    return kernel(impl, values, frames)


def fold_frames(impl: AggregateImpl, lists: Sequence[list[Any]], frames: Frames) -> Column:
    """The fold for each frame, one at a time."""
    order = frames.order.tolist()
    lo, hi = frames.lo.tolist(), frames.hi.tolist()
    extra = None if frames.extra is None else frames.extra.tolist()
    sorted_lists = [[x[p] for p in order] for x in lists]
    fold = impl.fold
    out = []
    for i in range(len(lo)):
        a, b = lo[i], hi[i]
        parts = [x[a:b][::-1] for x in sorted_lists]
        if extra is not None:
            parts = [[x[extra[i]], *p] for x, p in zip(lists, parts, strict=True)]
        out.append(fold(*parts))
    return column_from_list(impl.type, out)


def chunks(frames: Frames, limit: int = CHUNK) -> Iterator[tuple[int, int]]:
    """Runs of output rows whose frames together hold about ``limit`` rows."""
    ends = np.cumsum(frames.sizes + 1)
    start = 0
    while start < len(frames):
        base = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, base + limit, "right")))
        yield start, stop
        start = stop


def _totals(items: Array) -> Array:
    out = np.zeros(len(items) + 1, dtype=items.dtype)
    np.cumsum(items, out=out[1:])
    return out


def _counts(values: Column, frames: Frames) -> Array:
    if values.valid is None:
        out = frames.sizes
        return out if frames.extra is None else out + 1
    running = _totals(values.valid[frames.order].astype(np.int64))
    out = running[frames.hi] - running[frames.lo]
    if frames.extra is not None:
        out = out + values.valid[frames.extra]
    return out


def _count(impl: AggregateImpl, values: Column, frames: Frames) -> Column:
    return Column(SqlType.INT64, _counts(values, frames).astype(np.int64))


def _whole_sums(values: Column, frames: Frames) -> Array:
    items = values.values.astype(np.int64)
    if values.valid is not None:
        items = np.where(values.valid, items, 0)
    with np.errstate(over="ignore"):
        running = _totals(items[frames.order])
        out = running[frames.hi] - running[frames.lo]
        if frames.extra is not None:
            out = out + items[frames.extra]
    return out


def _real_sums(values: Column, frames: Frames) -> Array:
    items = values.values.astype(np.float64)
    if values.valid is not None:
        items = np.where(values.valid, items, 0.0)
    # What a frame's sum is must not depend on the rows of other keys: a job in parts sees them not.
    long = np.flatnonzero(frames.sizes > LONG_SUM)
    if not len(long):
        return _short_sums(items, frames)
    sums = np.empty(len(frames), dtype=np.float64)
    short = np.flatnonzero(frames.sizes <= LONG_SUM)
    sums[short] = _short_sums(items, frames.take(short))
    sums[long] = _long_sums(items, frames.take(long))
    return sums


LONG_SUM = 800
"""Sums over longer frames are differences of running totals."""


def _short_sums(items: Array, frames: Frames) -> Array:
    """Add newest to oldest, exactly as the fold does."""
    sums = np.empty(len(frames), dtype=np.float64)
    for start, stop in chunks(frames):
        places, rows = frames.slice(start, stop).explode()
        sums[start:stop] = np.bincount(rows, weights=items[places], minlength=stop - start)
    return sums


def _long_sums(items: Array, frames: Frames) -> Array:
    """Differences of running totals, in extended precision, over each run of frames that overlap."""
    sums = np.empty(len(frames), dtype=np.float64)
    by = np.argsort(frames.lo, kind="stable")
    reach = np.maximum.accumulate(frames.hi[by])
    edges = np.flatnonzero(frames.lo[by][1:] >= reach[:-1]) + 1
    for own in np.split(by, edges):
        some = frames.take(own)
        base = int(some.lo[0])
        pool = items[frames.order[base : int(some.hi.max())]]
        if not np.isfinite(pool).all():
            sums[own] = _short_sums(items, some)
            continue
        running = _totals(pool.astype(np.longdouble))
        out = (running[some.hi - base] - running[some.lo - base]).astype(np.float64)
        sums[own] = out if some.extra is None else out + items[some.extra]
    return sums


def _sum(impl: AggregateImpl, values: Column, frames: Frames) -> Column:
    some = _counts(values, frames) > 0
    if values.type is SqlType.FLOAT:
        few = frames.sizes <= MOST_STEPS
        with np.errstate(all="ignore"):
            if few.all():
                return column(impl.type, _float_sums(values, frames), some)
            sums = np.empty(len(frames), dtype=np.float32)
            sums[few] = _float_sums(values, frames.take(np.flatnonzero(few)))
            sums[~few] = _real_sums(values, frames.take(np.flatnonzero(~few)))
        return column(impl.type, sums, some)
    if values.type.is_floating:
        with np.errstate(all="ignore"):
            return column(impl.type, _real_sums(values, frames), some)
    return column(impl.type, _whole_sums(values, frames), some)


def _fits(values: Column, frames: Frames) -> bool:
    """Whether sums of these integers are exact in 64 bit floats, too."""
    largest = max(int(values.values.max(initial=0)), -int(values.values.min(initial=0)))
    return largest * (int(frames.sizes.max(initial=0)) + 1) < 2**53


def _float_sums(values: Column, frames: Frames) -> Array:
    """Sums of FLOATs, added newest first in 32 bits: step by step for all frames at once."""
    items = values.values if values.valid is None else np.where(values.valid, values.values, 0)
    pool = items.astype(np.float32)[frames.order]
    sizes = frames.sizes
    out = np.zeros(len(frames), dtype=np.float32)
    if frames.extra is not None:
        out += items[frames.extra]
    by_size = np.argsort(
        -sizes, kind="stable"
    )  # the longest first: those still added to are a head
    newest, counts = frames.hi[by_size], sizes[by_size]
    total = out[by_size]
    for step in range(int(counts.max(initial=0))):
        alive = int(np.searchsorted(-counts, -step, "left"))
        total[:alive] += pool[newest[:alive] - 1 - step]
    out[by_size] = total
    return out


MOST_STEPS = 2_000
"""Sums of FLOATs over longer frames are added in 64 bits."""


def _avg(impl: AggregateImpl, values: Column, frames: Frames) -> Column:
    counts = _counts(values, frames)
    exact = not values.type.is_floating and _fits(values, frames)
    sums = _whole_sums(values, frames) if exact else _real_sums(values, frames)
    return column(SqlType.DOUBLE, sums / np.maximum(counts, 1), counts > 0)


def _extreme(greatest: bool) -> Callable[[AggregateImpl, Column, Frames], Column]:
    def run(impl: AggregateImpl, values: Column, frames: Frames) -> Column:
        items = values.values
        if values.type is SqlType.STRING:
            if len(values.dictionary) == 0:
                return null_column(impl.type, len(frames))
            items = values.dictionary.ranks[items]
        limits = LIMITS.get(values.type)
        if limits is not None:  # what does not beat the start, as NaN, does not count
            worst = items.dtype.type(limits[0] if greatest else limits[1])
            with np.errstate(invalid="ignore"):
                items = np.where(items > worst if greatest else items < worst, items, worst)
        else:
            info = np.iinfo(items.dtype)
            worst = info.min if greatest else info.max
        if values.valid is not None:
            items = np.where(values.valid, items, np.asarray(worst, items.dtype))
        reduce = np.maximum if greatest else np.minimum
        out = _reduce_runs(reduce, items[frames.order], frames, worst)
        if frames.extra is not None:
            out = reduce(out, items[frames.extra])
        some = _counts(values, frames) > 0
        if values.type is SqlType.STRING:
            back = np.empty(len(values.dictionary), dtype=np.int32)
            back[values.dictionary.ranks] = np.arange(len(back), dtype=np.int32)
            out = back[np.where(some, out, 0)]
        return column(impl.type, out, some, values.strings)

    return run


def _reduce_runs(reduce: np.ufunc, items: Array, frames: Frames, worst: Any) -> Array:
    sizes = frames.sizes
    out = np.full(len(frames), worst, dtype=items.dtype)
    some = np.flatnonzero(sizes)
    if len(some) == 0:
        return out
    if int(sizes.sum()) > 64 * (len(items) + len(frames)):
        return _sparse_table(reduce, items, frames, out, some)
    padded = np.append(items, items[:1])
    by_place = some[np.argsort(frames.lo[some], kind="stable")]
    edges = np.empty(2 * len(by_place), dtype=np.int64)
    edges[::2] = frames.lo[by_place]
    edges[1::2] = frames.hi[by_place]
    out[by_place] = reduce.reduceat(padded, edges)[::2]
    return out


def _sparse_table(reduce: np.ufunc, items: Array, frames: Frames, out: Array, some: Array) -> Array:
    """Long frames: two overlapping powers of two cover each."""
    lo, hi = frames.lo[some], frames.hi[some]
    power = np.frexp((hi - lo).astype(np.float64))[1] - 1
    level = items
    for k in range(int(power.max(initial=0)) + 1):
        at = np.flatnonzero(power == k)
        if len(at):
            out[some[at]] = reduce(level[lo[at]], level[hi[at] - (1 << k)])
        step = 1 << k
        if len(level) <= step:
            break
        level = np.concatenate([reduce(level[:-step], level[step:]), level[-step:]])
    return out


def _dense(values: Column) -> tuple[Array, Array, int]:
    """Codes in the order of the values (0 for NULL), the values' first places, how many."""
    if values.type is SqlType.STRING:
        if len(values.dictionary) == 0:
            return np.zeros(len(values), dtype=np.int64), np.zeros(0, np.int64), 0
        if len(values.dictionary) <= 4 * len(values):
            ranks = values.dictionary.ranks.astype(np.int64) + 1
            codes = np.where(values.values >= 0, ranks[values.values], 0)
            size = len(values.dictionary)
            back = np.empty(size + 1, dtype=np.int64)
            back[ranks] = np.arange(size)
            return codes, back[1:], size
    items = values.values
    if values.type is SqlType.STRING:
        items = values.dictionary.ranks[items]
    distinct, first, inverse = np.unique(items, return_index=True, return_inverse=True)
    codes = inverse.astype(np.int64) + 1
    if values.valid is not None:
        codes = np.where(values.valid, codes, 0)
    return codes, first, len(distinct)


def _texts(values: Column, first: Array) -> list[str]:
    """The text of each dense code (from 1 on)."""
    if values.type is SqlType.STRING:
        if len(values.dictionary) <= 4 * len(values):
            return list(values.dictionary.objects[first]) if len(first) else []
        return [values.dictionary.objects[c] for c in values.values[first]]
    # The first place of a value may be a NULL's, which holds any value: look at the value alone.
    distinct = Column(values.type, values.values[first]).to_list()
    return ["" if x is None else v.key_string(x, values.type) for x in distinct]


def _value_counts(codes: Array, size: int, frames: Frames) -> Array:
    """How often each of few values stands in each frame: int32 ``[frames, size]``."""
    out = np.empty((len(frames), size), dtype=np.int32)
    pool = codes[frames.order]
    for code in range(1, size + 1):
        running = _totals((pool == code).astype(np.int32))
        counts = running[frames.hi] - running[frames.lo]
        if frames.extra is not None:
            counts = counts + (codes[frames.extra] == code)
        out[:, code - 1] = counts
    return out


def _runs(
    codes: Array, size: int, frames: Frames
) -> Iterator[tuple[int, int, Array, Array, Array]]:
    """Chunk by chunk: first and last output row, then row, code and count of each value there."""
    for start, stop in chunks(frames):
        places, rows = frames.slice(start, stop).explode()
        found = codes[places]
        keys = rows * (size + 1) + found
        if (stop - start) * (size + 1) < 2**31:
            keys = keys.astype(np.int32)
        if (found == 0).any():
            keys = keys[found != 0]
        keys.sort()
        edges = (
            np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
            if len(keys)
            else (np.zeros(0, dtype=np.int64))
        )
        counts = np.diff(np.append(edges, len(keys)))
        heads = keys[edges].astype(np.int64)
        yield start, stop, heads // (size + 1), heads % (size + 1), counts


def _distinct_count(impl: AggregateImpl, values: Column, frames: Frames) -> Column:
    if values.valid is not None:
        values = fill(values, zero_value(values.type))
    if values.type.is_floating and np.isnan(values.values).any():  # each NaN is a value of its own
        return fold_frames(impl, [values.to_list()], frames)
    codes, _, size = _dense(values)
    out = np.zeros(len(frames), dtype=np.int64)
    if size <= FEW:
        for start in range(0, len(frames), 1 << 19):
            part = frames.slice(start, start + (1 << 19))
            out[start : start + len(part)] = (_value_counts(codes, size, part) > 0).sum(axis=1)
        return Column(SqlType.INT64, out)
    if _is_long(frames):
        return Column(SqlType.INT64, _distinct_long(codes, frames))
    for start, stop, rows, _, _ in _runs(codes, size, frames):
        out[start:stop] = np.bincount(rows, minlength=stop - start)
    return Column(SqlType.INT64, out)


def _distinct_long(codes: Array, frames: Frames) -> Array:
    """Long frames: count places whose value last stood before the frame, by a wavelet matrix."""
    pool = codes[frames.order]
    n = len(pool)
    by_value = np.argsort(pool, kind="stable")
    previous = np.zeros(n, dtype=np.int64)  # 1 + place of the same value before, 0 for none
    same = pool[by_value[1:]] == pool[by_value[:-1]]
    previous[by_value[1:][same]] = by_value[:-1][same] + 1
    previous[pool == 0] = n + 1  # NULL never counts
    lo, hi = frames.lo, frames.hi
    out = _count_below(previous, lo, hi, lo + 1)
    if frames.extra is not None:
        current = codes[frames.extra]
        # Is the extra row's value in the run? Find its last place before hi.
        keys = pool[by_value] * (n + 1) + by_value
        at = np.searchsorted(keys, current * (n + 1) + hi, "left") - 1
        last = np.where(at >= 0, keys[np.maximum(at, 0)], -1)
        inside = (last // (n + 1) == current) & (last % (n + 1) >= lo)
        out = out + ((current != 0) & ~inside)
    return out


def _count_below(items: Array, lo: Array, hi: Array, bound: Array) -> Array:
    """For each query how many of items[lo:hi] are less than bound."""
    bits = max(1, int(max(items.max(initial=0), bound.max(initial=0))).bit_length())
    lo, hi = lo.copy(), hi.copy()
    out = np.zeros(len(lo), dtype=np.int64)
    for bit in range(bits - 1, -1, -1):
        ones = ((items >> bit) & 1).astype(np.bool_)
        zeros_before = _totals((~ones).astype(np.int64))
        zeros = int(zeros_before[-1])
        lo0, hi0 = zeros_before[lo], zeros_before[hi]
        up = ((bound >> bit) & 1).astype(np.bool_)
        out += np.where(up, hi0 - lo0, 0)
        lo = np.where(up, zeros + lo - lo0, lo0)
        hi = np.where(up, zeros + hi - hi0, hi0)
        items = np.concatenate([items[~ones], items[ones]])
    return out


LONG = 200
"""Frames are long when they hold so many times the rows there are: then nothing is exploded."""


def _is_long(frames: Frames) -> bool:
    return int(frames.sizes.sum()) > LONG * (len(frames) + len(frames.order))


def _sliding_top(codes: Array, frames: Frames, width: int) -> tuple[Array, Array, Array]:
    """Long frames of many values: the most frequent codes by keeping counts as frames slide.

    Frames in the order of their ends only ever gain and lose at the edges. A heap holds (count,
    code) as of each change; entries that a later change made wrong are dropped when they surface.

    Returns:
        The codes (0 for none) ``[frames, width]``, the greatest count and the sum of counts.
    """
    pool = codes[frames.order].tolist()
    extras = None if frames.extra is None else codes[frames.extra].tolist()
    by = np.lexsort((frames.lo, frames.hi))
    lows, highs = frames.lo[by].tolist(), frames.hi[by].tolist()
    top = np.zeros((len(frames), width), dtype=np.int64)
    best = np.zeros(len(frames), dtype=np.int64)
    total = np.zeros(len(frames), dtype=np.int64)
    counts: dict[int, int] = {}
    heap: list[tuple[int, int]] = []
    size = low = high = 0

    def change(code: int, by: int) -> None:
        nonlocal size
        if code:
            size += by
            now = counts.get(code, 0) + by
            if now:
                counts[code] = now
                heappush(heap, (-now, code))
            else:
                del counts[code]

    for at, a, b in zip(by.tolist(), lows, highs, strict=True):
        if a >= high or a < low:  # another partition: start afresh
            counts.clear()
            heap.clear()
            size, low, high = 0, a, a
        for p in range(high, b):
            change(pool[p], 1)
        for p in range(low, a):
            change(pool[p], -1)
        low, high = a, max(high, b)
        if extras is not None:
            change(extras[at], 1)
        if len(heap) > 64 + 8 * len(counts):
            heap[:] = [(-n, c) for c, n in counts.items()]
            heapify(heap)
        kept: list[tuple[int, int]] = []
        while heap and len(kept) < width:
            entry = heappop(heap)
            if counts.get(entry[1]) == -entry[0] and (not kept or entry != kept[-1]):
                kept.append(entry)
        for rank, entry in enumerate(kept):
            top[at, rank] = entry[1]
            heappush(heap, entry)
        if kept:
            best[at] = -kept[0][0]
        total[at] = size
        if extras is not None:
            change(extras[at], -1)
    return top, best, total


def _top1_ratio(impl: AggregateImpl, values: Column, frames: Frames) -> Column:
    codes, _, size = _dense(values)
    best = np.zeros(len(frames), dtype=np.int64)
    total = np.zeros(len(frames), dtype=np.int64)
    if size <= FEW:
        if size:
            counts = _value_counts(codes, size, frames)
            best, total = counts.max(axis=1).astype(np.int64), counts.sum(axis=1)
    elif _is_long(frames):
        _, best, total = _sliding_top(codes, frames, 1)
    else:
        for start, stop, rows, _, counts in _runs(codes, size, frames):
            np.maximum.at(best[start:stop], rows, counts)
            total[start:stop] = np.bincount(rows, weights=counts, minlength=stop - start)
    return Column(SqlType.DOUBLE, best / np.maximum(total, 1))


def _topn_frequency(impl: AggregateImpl, values: Column, frames: Frames) -> Column:
    n = int(impl.parameter)
    if values.type.is_floating and (np.signbit(values.values) & (values.values == 0)).any():
        return fold_frames(impl, [values.to_list()], frames)  # a frame's own zero is spelled
    codes, first, size = _dense(values)
    texts = _texts(values, first)
    some = frames.sizes > 0 if frames.extra is None else np.ones(len(frames), dtype=np.bool_)
    if n == 0:
        some = np.zeros_like(some)
    width = min(n, size)
    top = np.zeros((len(frames), width), dtype=np.int64)
    if width == 0:
        pass
    elif size <= FEW:
        for start in range(0, len(frames), 1 << 19):
            part = frames.slice(start, start + (1 << 19))
            counts = _value_counts(codes, size, part).astype(np.int64)
            # Count descending, then code ascending, as one number to take the greatest of.
            score = counts * size + np.arange(size - 1, -1, -1)
            each = np.arange(len(part))
            for rank in range(width):
                best = np.argmax(score, axis=1)
                there = counts[each, best] > 0
                top[start : start + len(part), rank] = np.where(there, best + 1, 0)
                counts[each, best] = 0
                score[each, best] = -1
    elif _is_long(frames):
        top, _, _ = _sliding_top(codes, frames, width)
    else:
        for start, _, rows, found, counts in _runs(codes, size, frames):
            most = int(counts.max(initial=0)) + 1
            if (int(rows.max(initial=0)) + 1) * most * (size + 1) < 2**62:
                by_rank = np.argsort((rows * most + (most - 1 - counts)) * (size + 1) + found)
            else:
                by_rank = np.lexsort((found, -counts, rows))
            ranked = rows[by_rank]
            heads = np.searchsorted(ranked, ranked, "left")
            nth = np.arange(len(ranked)) - heads
            kept = nth < width
            top[start + ranked[kept], nth[kept]] = found[by_rank[kept]]
    return _joined(top, texts, n, some)


def _joined(top: Array, texts: list[str], n: int, some: Array) -> Column:
    """Rows of codes (0 for none) as text; each distinct row is spelled once."""
    top = np.concatenate([some.astype(np.int64)[:, None], top], axis=1)
    if 2 * (len(texts) + 1) ** (top.shape[1] - 1) < 2**62:
        packed = np.zeros(len(top), dtype=np.int64)
        for k in range(top.shape[1]):
            packed = packed * (len(texts) + 1) + top[:, k]
        _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    else:
        _, first, inverse = np.unique(top, axis=0, return_index=True, return_inverse=True)
    spelled = [
        topn_text([texts[c - 1] for c in row[1:] if c], n) if row[0] else ""
        for row in top[first].tolist()
    ]
    return column_from_list(SqlType.STRING, spelled).take(inverse.reshape(-1))


def _nth(impl: AggregateImpl, values: Column, frames: Frames) -> Column:
    """The n-th newest row's value."""
    back = int(impl.parameter or 0)
    if frames.extra is not None:
        if back == 0:
            return values.take(frames.extra)
        back -= 1
    places = frames.hi - 1 - back
    inside = places >= frames.lo
    if not len(frames.order):
        return null_column(impl.type, len(frames))
    found = frames.order[np.where(inside, places, 0)]
    return values.take_or_null(np.where(inside, found, -1))


def _oldest(impl: AggregateImpl, values: Column, frames: Frames) -> Column:
    inside = frames.sizes > 0
    if not len(frames.order):
        places = np.full(len(frames), -1, dtype=np.int64)
    else:
        places = np.where(inside, frames.order[np.where(inside, frames.lo, 0)], -1)
    if frames.extra is not None:
        places = np.where(inside, places, frames.extra)
    return values.take_or_null(places)


_KERNELS: dict[str, Callable[[AggregateImpl, Column, Frames], Column]] = {
    "count": _count,
    "sum": _sum,
    "avg": _avg,
    "max": _extreme(True),
    "min": _extreme(False),
    "distinct_count": _distinct_count,
    "top1_ratio": _top1_ratio,
    "topn_frequency": _topn_frequency,
    "nth": _nth,
    "oldest": _oldest,
}

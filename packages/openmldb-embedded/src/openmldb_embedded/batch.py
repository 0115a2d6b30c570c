"""Batch mode: a checked plan over whole tables, one column at a time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import numpy as np
from openmldb_sql.types import SqlType

from openmldb_embedded.columns import Array, Batch, Column, concat_columns, null_column
from openmldb_embedded.errors import ResourceLimitError
from openmldb_embedded.expr import Expr, column_of, truth
from openmldb_embedded.functions.lists import listed
from openmldb_embedded.kernels import aggregate, chunks
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
    WindowFrame,
    WindowPlan,
)
from openmldb_embedded.pool import each
from openmldb_embedded.rewrite import columns_read
from openmldb_embedded.sorting import runs_by_code, stable_order
from openmldb_embedded.windows import Frames, Layout, key_codes, layout

Resolve = Callable[[str, str], Batch]

PARALLEL_ROWS = 20_000
"""From so many rows on, a window's aggregates are computed by several threads."""

MAX_ROWS = 50_000_000
"""Rows an intermediate result may have (a LEFT JOIN multiplies)."""


def execute(node: Node, resolve: Resolve) -> Batch:
    """The plan's rows; ``resolve(db, table)`` gives each table."""
    result = _Executor(resolve).run(node)
    return Batch(node.schema, result.columns, result.num_rows)


class _Executor:
    def __init__(self, resolve: Resolve) -> None:
        self.resolve = resolve
        self.done: dict[int, tuple[Node, Batch]] = {}

    def run(self, node: Node) -> Batch:
        match node:
            case Scan(fields, db, table):
                stored = self.resolve(db, table)
                return Batch([(f.name, f.type) for f in fields], stored.columns, stored.num_rows)
            case Renamed(_, child):
                return self.run(child)
            case Unit():
                return Batch([], [], 1)
            case Filter(_, child, predicate):
                batch = self.run(child)
                keep = np.flatnonzero(truth(predicate.vector(batch.columns, batch.num_rows)))
                return batch if len(keep) == batch.num_rows else batch.take(keep)
            case Project(_, child, exprs):
                batch = self.run(child)
                n = batch.num_rows
                return Batch(node.schema, [e.vector(batch.columns, n) for e in exprs], n)
            case Limit(_, child, rows):
                return self.run(child).slice(0, rows)
            case Union(_, parts):
                return Batch.concat([self.run(p) for p in parts])
            case Join():
                return self.join(node)
            case Aggregate():
                return self.group(node)
            case WindowAggregate():
                return self.window(node)
        raise AssertionError(node)

    # -- windows

    def window(self, node: WindowAggregate) -> Batch:
        child = self.run(node.child)
        orders = {
            w.order: w.order.vector(child.columns, child.num_rows)
            for w in node.windows
            if w.order is not None
        }
        keep = None
        for c in orders.values():
            if c.valid is not None:
                keep = c.valid if keep is None else keep & c.valid
        if keep is not None:  # a row without an order key is dropped, as the offline engine does
            child = child.take(np.flatnonzero(keep))
        unions = self._unions(node)
        if node.by_frame:
            return self._by_frame(node, child, unions)
        sources: dict[tuple[int, ...], _Sources] = {}
        layouts: dict[tuple[object, ...], Layout] = {}
        frames: dict[tuple[int, bool], Frames] = {}
        tasks: list[tuple[AggregateCall, _Sources, Frames]] = []
        for call in node.calls:
            w = node.windows[call.window]
            batches = [unions[id(u)] for u in reversed(w.unions)] + [child]
            ids = tuple(id(b) for b in batches)
            source = sources.get(ids)
            if source is None:
                source = sources[ids] = _Sources(batches)
            key = (ids, w.partition, w.order, w.frame.instance_not_in_window)
            lay = layouts.get(key)
            if lay is None:
                lay = layouts[key] = _layout(w, source)
            which = (call.window, call.beyond_frame)
            if which not in frames:
                frames[which] = lay.frames(w.frame.beyond() if call.beyond_frame else w.frame)
            tasks.append((call, source, frames[which]))
        values = _evaluate(tasks, child)
        return Batch(node.schema, child.columns + values, child.num_rows)

    def _unions(self, node: WindowAggregate) -> dict[int, Batch]:
        """The united relations, by the identity of their plans; equal plans run once."""
        unions: dict[int, Batch] = {}
        texts: dict[str, Batch] = {}
        for w in node.windows:
            for u in w.unions:
                known = texts.get(repr(u))
                if known is None:
                    known = texts[repr(u)] = self.run(u)
                unions[id(u)] = known
        return unions

    def _by_frame(self, node: WindowAggregate, child: Batch, unions: dict[int, Batch]) -> Batch:
        """``WindowAggregate.by_frame``: of a single window."""
        (w,) = node.windows
        source = _Sources([*(unions[id(u)] for u in reversed(w.unions)), child])
        fetched = _layout(w, source).frames(w.frame)
        some = np.flatnonzero(fetched.hi > fetched.lo)
        place = np.full(child.num_rows, -1, dtype=np.int64)
        place[some] = np.arange(len(some))
        lo, hi = fetched.lo[some], fetched.hi[some]
        heads = fetched.order[hi - 1] if len(some) else np.zeros(0, np.int64)
        if w.frame.kind == "range" and w.frame.end > 0:
            assert w.order is not None
            lo, hi = _again(w.frame, source.evaluate(w.order).values[fetched.order], lo, hi)
        frames = Frames(fetched.order, lo, hi, None)
        columns = [source.column(i).take(heads) for i in range(len(child.columns))]
        rows = Batch(child.schema, columns, len(some))
        columns += _evaluate([(c, source, frames) for c in node.calls], rows)
        return Batch(node.schema, [c.take_or_null(place) for c in columns], child.num_rows)

    def group(self, node: Aggregate) -> Batch:
        return grouped(node, self.run(node.child))[0]

    # -- joins

    def join(self, node: Join) -> Batch:
        return joined(node, self.run(node.left), self.run(node.right))[0]


def grouped(node: Aggregate, child: Batch) -> tuple[Batch, Array]:
    """The groups of the child's rows, and the first row of each."""
    n = child.num_rows
    keys = [k.vector(child.columns, n) for k in node.keys]
    if keys and n:
        codes = key_codes([keys])
        order = stable_order(codes)
        edges = np.flatnonzero(np.concatenate([[True], codes[order[1:]] != codes[order[:-1]]]))
        ends = np.append(edges[1:], n)
        appearance = np.argsort(order[edges], kind="stable")
        lo, hi = edges[appearance], ends[appearance]
    elif keys or not n:  # of no rows there is no group, not even that of all rows
        order = lo = hi = np.zeros(0, dtype=np.int64)
    else:
        order, lo, hi = np.arange(n), np.zeros(1, np.int64), np.full(1, n, np.int64)
    frames = Frames(order, lo, hi, None)
    source = _Sources([child])
    values: list[Column] = []
    for call in node.calls:
        values.append(_call(call, source, frames, values, child))
    heads = order[lo] if keys else lo
    columns = [k.take(heads) for k in keys] + values
    return Batch(node.schema, columns, len(lo)), heads


def joined(node: Join, left: Batch, right: Batch) -> tuple[Batch, Array | None]:
    """The joined rows, and each one's left row; None where these are all left rows in order."""
    if node.kind == "LEFT":
        at_left, at_right = _left_join(node, left, right, *_matches(node, left, right))
        columns = [c.take(at_left) for c in left.columns]
        columns += [c.take_or_null(at_right) for c in right.columns]
        return Batch(node.schema, columns, len(at_left)), at_left
    if node.residual is None:
        pick = _last_of_key(node, left, right)
    else:
        pick = _last_matching(node.residual, left, right, *_matches(node, left, right))
    columns = left.columns + [c.take_or_null(pick) for c in right.columns]
    return Batch(node.schema, columns, left.num_rows), None


def _join_codes(node: Join, left: Batch, right: Batch) -> tuple[Array, Array]:
    """Integers for left and right rows that are equal where the join keys are."""
    n = right.num_rows
    if not node.pairs:
        return np.zeros(left.num_rows, np.int64), np.zeros(n, np.int64)
    a = [p.vector(left.columns, left.num_rows) for p, _ in node.pairs]
    b = [p.vector(right.columns, n) for _, p in node.pairs]
    codes = key_codes([a, b])
    return codes[: left.num_rows], codes[left.num_rows :]


def _by_age(node: Join, right: Batch) -> Array | None:
    """Right rows so that of two matches the later is taken; None where they stand so already."""
    if node.order is None:
        return None
    by = node.order.vector(right.columns, right.num_rows)
    key = by.values.astype(np.int64)
    if node.descending:
        key = ~key
    if by.valid is not None:  # NULL sorts before every value
        key = np.where(by.valid, key, np.iinfo(np.int64).min)
    if len(key) and int(key.min()) < 0:
        return np.argsort(key, kind="stable")
    return stable_order(key)


def _last_of_key(node: Join, left: Batch, right: Batch) -> Array:
    """For each left row the place of the right row it is joined to, -1 for none."""
    mine, theirs = _join_codes(node, left, right)
    size = int(max(mine.max(initial=0), theirs.max(initial=0))) + 1
    newest = np.full(size, -1, dtype=np.int64)
    order = _by_age(node, right)
    if order is None:
        newest[theirs] = np.arange(right.num_rows)  # of equal codes the last is kept
    else:
        newest[theirs[order]] = order
    return newest[mine]


def _matches(node: Join, left: Batch, right: Batch) -> tuple[Array, Array, Array]:
    """Right rows by key and age, and for each left row the run of those with its key."""
    mine, theirs = _join_codes(node, left, right)
    size = int(max(mine.max(initial=0), theirs.max(initial=0))) + 1
    aged = _by_age(node, right)
    if aged is None:
        order, begins = runs_by_code(theirs, size)
    else:
        order, begins = runs_by_code(theirs[aged], size)
        order = aged[order]
    return order, begins[mine], begins[mine + 1]


def _last_matching(
    residual: Expr, left: Batch, right: Batch, order: Array, lo: Array, hi: Array
) -> Array:
    pick = np.full(left.num_rows, -1, dtype=np.int64)
    frames = Frames(order, lo, hi, None)
    for start, stop in chunks(frames):
        places, rows = frames.slice(start, stop).explode()  # newest first
        columns = [c.take(rows + start) for c in left.columns]
        columns += [c.take(places) for c in right.columns]
        hit = np.flatnonzero(truth(residual.vector(columns, len(rows))))[::-1]
        pick[rows[hit] + start] = places[hit]  # the newest is written last
    return pick


def _left_join(
    node: Join, left: Batch, right: Batch, order: Array, lo: Array, hi: Array
) -> tuple[Array, Array]:
    total = int((hi - lo).sum())
    if total > MAX_ROWS:
        raise ResourceLimitError(
            f"LEFT JOIN would make {total} rows; the limit is {MAX_ROWS}: add a condition"
        )
    frames = Frames(order, lo, hi, None)
    lefts: list[Array] = []
    rights: list[Array] = []
    for start, stop in chunks(frames):
        places, rows = frames.slice(start, stop).explode()
        if node.residual is not None:
            columns = [c.take(rows + start) for c in left.columns]
            columns += [c.take(places) for c in right.columns]
            hit = truth(node.residual.vector(columns, len(rows)))
            places, rows = places[hit], rows[hit]
        lonely = np.flatnonzero(np.bincount(rows, minlength=stop - start) == 0)
        rows = np.concatenate([rows, lonely])
        places = np.concatenate([places, np.full(len(lonely), -1)])
        arranged = np.lexsort((places, rows))
        lefts.append(rows[arranged] + start)
        rights.append(places[arranged])
    if not lefts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(lefts), np.concatenate(rights)


class _Sources:
    """The rows of a window's sources end to end, each column joined when first asked for."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches
        self.total = sum(b.num_rows for b in batches)
        self._columns: dict[int, Column] = {}

    def column(self, index: int) -> Column:
        found = self._columns.get(index)
        if found is None:
            found = concat_columns([b.columns[index] for b in self.batches])
            self._columns[index] = found
        return found

    def evaluate(self, e: Expr) -> Column:
        needed = columns_read(e)
        width = max(needed, default=-1) + 1
        placeholder = null_column(SqlType.NULL, 0)
        columns = [self.column(i) if i in needed else placeholder for i in range(width)]
        return e.vector(columns, self.total)


def _again(f: WindowFrame, times: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    """The frame of each run's newest row within that run of ``times``."""
    known = times.tolist()
    first, last = lo.copy(), hi.copy()
    for i, (a, b) in enumerate(zip(lo.tolist(), hi.tolist(), strict=True)):
        newest = known[b - 1]
        stop = bisect_right(known, newest - f.end, a, b)
        start = a if f.start is None else bisect_left(known, newest - f.start, a, b)
        if f.maxsize is not None:
            start = max(start, stop - f.maxsize)
        first[i], last[i] = min(start, stop), stop
    return first, last


def _layout(w: WindowPlan, source: _Sources) -> Layout:
    keys = [[e.vector(b.columns, b.num_rows) for e in w.partition] for b in source.batches]
    orders = None
    if w.order is not None:
        orders = [w.order.vector(b.columns, b.num_rows) for b in source.batches]
    return layout(keys, orders, w.frame.instance_not_in_window)


def _evaluate(tasks: list[tuple[AggregateCall, _Sources, Frames]], child: Batch) -> list[Column]:
    """The value of each call; large ones side by side, as numpy leaves the interpreter's lock."""
    done: dict[int, Column] = {}
    free = [i for i, (call, _, _) in enumerate(tasks) if not call.correlated]
    if child.num_rows >= PARALLEL_ROWS and len(free) > 1:
        done = dict(zip(free, each(lambda i: _call(*tasks[i], [], child), free), strict=True))
    values: list[Column] = []
    for i, task in enumerate(tasks):
        known = done.get(i)
        values.append(known if known is not None else _call(*task, values, child))
    return values


def _call(
    call: AggregateCall, source: _Sources, frames: Frames, earlier: list[Column], child: Batch
) -> Column:
    impl = call.impl
    if call.correlated:
        return _correlated(call, source, frames, earlier, child)
    if call.expand is not None:
        return _expanded(call, source, frames)
    return aggregate(impl, [source.evaluate(a) for a in call.arguments], frames)


def _expanded(call: AggregateCall, source: _Sources, frames: Frames) -> Column:
    """A list aggregate's argument: each row's text becomes many values."""
    assert call.expand is not None
    split = call.expand.row
    texts = [source.evaluate(a).to_list() for a in call.arguments]
    parts = [split(*t) for t in zip(*texts, strict=True)]
    order = frames.order.tolist()
    lo, hi = frames.lo.tolist(), frames.hi.tolist()
    extra = None if frames.extra is None else frames.extra.tolist()
    out = []
    for i in range(len(lo)):
        rows = order[lo[i] : hi[i]][::-1]
        if extra is not None:
            rows = [extra[i], *rows]
        out.append(call.impl.fold(listed(x for r in rows for x in parts[r])))
    return column_of(call.impl.type, out)


def _correlated(
    call: AggregateCall, source: _Sources, frames: Frames, earlier: list[Column], child: Batch
) -> Column:
    """An argument that reads the current row's aggregates: evaluate it for every frame row."""
    width = len(child.columns)
    needed = {i for a in call.arguments for i in columns_read(a)}
    placeholder = null_column(SqlType.NULL, 0)
    parts: list[Column] = []
    for start, stop in chunks(frames):
        places, rows = frames.slice(start, stop).explode()
        columns = [
            placeholder
            if i not in needed
            else source.column(i).take(places)
            if i < width
            else earlier[i - width].take(rows + start)
            for i in range(width + len(earlier))
        ]
        arguments = [a.vector(columns, len(rows)) for a in call.arguments]
        sizes = np.bincount(rows, minlength=stop - start)
        hi = np.cumsum(sizes)
        # Exploded newest first: read backwards, every frame is a run, oldest first.
        n = len(rows)
        run = Frames(np.arange(n)[::-1], n - hi, n - hi + sizes, None)
        parts.append(aggregate(call.impl, arguments, run))
    if not parts:
        return null_column(call.impl.type, 0)
    return concat_columns(parts)

"""Batch mode in parts: a plan over tables that do not fit into memory.

Windows, joins and groups only ever look at rows of equal keys. So their inputs go through the disk
in buckets of whole keys (``spill``), and one bucket at a time is computed as ``batch`` computes
whole tables: with the same results, bit for bit, in another order of rows. What can only be
computed whole (LIMIT, UNION of results, aggregates without GROUP BY) is, below a join or window.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from openmldb_sql.types import Schema, SqlType

from openmldb_embedded import values as v
from openmldb_embedded.batch import execute, grouped, joined
from openmldb_embedded.columns import Batch, Column
from openmldb_embedded.expr import Col, Expr, truth
from openmldb_embedded.plan import (
    Aggregate,
    Field,
    Filter,
    Join,
    Node,
    Project,
    Renamed,
    Scan,
    WindowAggregate,
    WindowPlan,
)
from openmldb_embedded.prune import pruned
from openmldb_embedded.rewrite import columns_read, map_columns, substitute
from openmldb_embedded.spill import Piece, Spill

Load = Callable[[int], Piece]
"""Gives the rows of a bucket."""


@dataclass(frozen=True)
class Tables:
    """The tables of a job.

    Attributes:
        whole: ``(db, table)`` to all rows.
        some: ``(db, table, columns)`` to the rows in order, some at a time, of these columns alone.
        rows: ``(db, table)`` to about how many rows it has.
    """

    whole: Callable[[str, str], Batch]
    some: Callable[[str, str, Sequence[int]], Iterator[Batch]]
    rows: Callable[[str, str], int]


def weight(plan: Node, tables: Tables) -> int:
    """About how many bytes the plan holds at once when it is computed whole."""
    total = 0
    for node in _once(plan):
        if isinstance(node, Scan):
            total += _rows(node, tables) * _width(node.fields)
        elif isinstance(node, Join | Aggregate | WindowAggregate):
            total += sum(_rows(n, tables) for n in node.children()) * _ROW
            if isinstance(node, WindowAggregate):
                own = node.fields[len(node.child.fields) :]
                total += _rows(node, tables) * _width(own)
    return total


_ROW = 24
"""Bytes that sorting and matching takes for a row."""


def _width(fields: Sequence[Field]) -> int:
    """Bytes of a row's columns: a text is a code, and its part of the dictionary."""
    return sum(16 if f.type is SqlType.STRING else 9 for f in fields)


def _once(node: Node) -> Iterator[Node]:
    """The node and everything below it; equal relations that windows unite run once."""
    yield node
    children = node.children()
    if isinstance(node, WindowAggregate):
        children = (node.child, *{repr(u): u for w in node.windows for u in w.unions}.values())
    for child in children:
        yield from _once(child)


def _rows(node: Node, tables: Tables) -> int:
    """At most about how many rows a relation has (of a LEFT JOIN: how many it has at least)."""
    if isinstance(node, Scan):
        return tables.rows(node.db, node.table)
    if isinstance(node, Join):
        return _rows(node.left, tables)
    if isinstance(node, WindowAggregate):
        return _rows(node.child, tables)
    return sum(_rows(child, tables) for child in node.children())


def divides(plan: Node) -> bool:
    """Whether the plan's result can be computed in parts."""
    match plan:
        case Scan():
            return True
        case Renamed() | Filter() | Project():
            return divides(plan.children()[0])
        case Join():
            alike = all(a.type is b.type or SqlType.NULL in (a.type, b.type) for a, b in plan.pairs)
            return bool(plan.pairs) and alike and _all_plain(plan)
        case WindowAggregate():
            several = len(_by_keys(plan.windows)) > 1
            correlated = any(c.correlated for c in plan.calls)
            return not plan.by_frame and not (several and correlated) and _all_plain(plan)
        case Aggregate():
            return bool(plan.keys) and _all_plain(plan)
    return False


def _all_plain(node: Node) -> bool:
    """Whether the inputs can be written: lists and maps cannot."""
    return not any(f.type in v.COMPOSITE for child in node.children() for f in child.fields)


def in_parts(plan: Node, tables: Tables, folder: Path, parts: int, held: int) -> Iterator[Batch]:
    """The rows of a plan that ``divides``, some at a time.

    Args:
        plan: The plan.
        tables: The tables it reads.
        folder: Where rows are kept meanwhile; an empty folder.
        parts: How many buckets.
        held: Bytes that may be kept in memory until they are written.
    """
    executor = _Parts(tables, folder, parts, held)
    for piece in executor.stream(pruned(plan)):
        yield piece.batch


@dataclass(frozen=True)
class _Present(Expr):
    """Whether an expression is not NULL."""

    of: Expr
    type: SqlType = SqlType.BOOL

    def children(self) -> Sequence[Expr]:
        """The expression."""
        return (self.of,)

    def vector(self, columns: Sequence[Column], length: int) -> Column:
        """Its mask."""
        return Column(SqlType.BOOL, self.of.vector(columns, length).mask())


class _Parts:
    def __init__(self, tables: Tables, folder: Path, parts: int, held: int) -> None:
        self.tables = tables
        self.folder = folder
        self.parts = parts
        self.held = held
        self._numbers = itertools.count()
        self._spills: list[tuple[Spill, str]] = []

    # -- rows one after the other

    def stream(self, node: Node) -> Iterator[Piece]:
        """A relation's rows in any order."""
        if not divides(node):
            whole = execute(node, self.tables.whole)
            yield Piece(whole, np.arange(whole.num_rows))
            return
        match node:
            case Project(_, Scan() as scan, exprs):
                yield from self._scan(scan, exprs, node)
            case Scan():
                yield from self._scan(
                    node, [Col(i, f.type) for i, f in enumerate(node.fields)], node
                )
            case Renamed() | Filter() | Project():
                for piece in self.stream(node.children()[0]):
                    yield _changed(node, piece)
            case Join() if self._is_beside(node):
                right = execute(node.right, self.tables.whole)
                for piece in self.stream(node.left):
                    yield _joined(node, piece, right)
            case _:
                with ExitStack() as stack:
                    load = self.natural(node, stack)
                    for bucket in range(self.parts):
                        yield self._loaded(load, bucket)

    def _loaded(self, load: Load, bucket: int) -> Piece:
        try:
            return load(bucket)
        except (MemoryError, pa.ArrowMemoryError):
            for spill, keys in self._spills:
                spill.check(bucket, keys)
            raise

    def _scan(self, scan: Scan, exprs: Sequence[Expr], node: Node) -> Iterator[Piece]:
        columns = sorted({i for e in exprs for i in columns_read(e)})
        places = {old: new for new, old in enumerate(columns)}
        moved = [map_columns(e, lambda c: Col(places[c.index], c.type, c.name)) for e in exprs]
        start = 0
        for batch in self.tables.some(scan.db, scan.table, columns):
            n = batch.num_rows
            found = [e.vector(batch.columns, n) for e in moved]
            yield Piece(Batch(node.schema, found, n), np.arange(start, start + n))
            start += n

    # -- rows by bucket

    def natural(self, node: Node, stack: ExitStack) -> Load:
        """The rows of a join, window or group by bucket of its own keys; see ``follows``."""
        if isinstance(node, Join):
            return self._join(node, stack)
        if isinstance(node, Aggregate):
            return self._group(node, stack)
        assert isinstance(node, WindowAggregate)
        return self._window(node, stack)

    def bucketed(self, node: Node, keys: Sequence[Expr], stack: ExitStack) -> Load:
        """A relation's rows by bucket of ``keys``; its files are removed by the stack."""
        if divides(node) and self.follows(node, keys):
            return self._following(node, stack)
        path = self.folder / f"spill-{next(self._numbers)}"
        spill = Spill(path, node.schema, self.parts, self.held)
        self._spills.append((spill, ", ".join(k.describe() for k in keys)))
        stack.callback(self._drop, spill)
        for piece in self.stream(node):
            n = piece.batch.num_rows
            if n:
                spill.add(piece, [k.vector(piece.batch.columns, n) for k in keys])
        spill.flush()
        return spill.load

    def _drop(self, spill: Spill) -> None:
        spill.close()
        self._spills = [known for known in self._spills if known[0] is not spill]

    def follows(self, node: Node, keys: Sequence[Expr]) -> bool:
        """Whether a relation comes by bucket of these keys without being written once more."""
        match node:
            case Renamed(_, child) | Filter(_, child, _):
                return self.follows(child, keys)
            case Project(_, child, exprs):
                return self.follows(child, [substitute(k, exprs) for k in keys])
            case Join():
                if self._is_beside(node):
                    read = {i for k in keys for i in columns_read(k)}
                    of_left = max(read, default=0) < len(node.left.fields)
                    return of_left and self.follows(node.left, keys)
                return _equal([a for a, _ in node.pairs], keys)
            case Aggregate():
                return _equal([Col(i, k.type) for i, k in enumerate(node.keys)], keys)
            case WindowAggregate():
                return _equal(node.windows[_by_keys(node.windows)[-1][0]].partition, keys)
        return False

    def _is_beside(self, node: Join) -> bool:
        """Whether the right side is so small that it stays in memory while the left goes by."""
        return node.kind == "LAST" and weight(node.right, self.tables) <= self.held // 4

    def _following(self, node: Node, stack: ExitStack) -> Load:
        if isinstance(node, Join) and self._is_beside(node):
            right = execute(node.right, self.tables.whole)
            rows = self._following(node.left, stack)
            return lambda bucket: _joined(node, rows(bucket), right)
        if not isinstance(node, Renamed | Filter | Project):
            return self.natural(node, stack)
        below = self._following(node.children()[0], stack)
        return lambda bucket: _changed(node, below(bucket))

    def _join(self, node: Join, stack: ExitStack) -> Load:
        left = self.bucketed(node.left, [a for a, _ in node.pairs], stack)
        right = self.bucketed(node.right, [b for _, b in node.pairs], stack)

        return lambda bucket: _joined(node, left(bucket), right(bucket).batch)

    def _group(self, node: Aggregate, stack: ExitStack) -> Load:
        child = self.bucketed(node.child, node.keys, stack)

        def load(bucket: int) -> Piece:
            mine = child(bucket)
            if not len(mine.places):
                return _nothing(node)
            batch, heads = grouped(node, mine.batch)
            return Piece(batch, mine.places[heads])

        return load

    def _window(self, node: WindowAggregate, stack: ExitStack) -> Load:
        orders = {w.order for w in node.windows if w.order is not None}
        below = node.child
        for order in orders:  # a row without an order key is dropped
            below = Filter(below.fields, below, _Present(order))
        groups = _by_keys(node.windows)
        if len(groups) > 1:
            return self._following(_chained(node, below, groups), stack)
        keys = node.windows[0].partition
        child = self.bucketed(below, keys, stack)
        slots: dict[str, int] = {}
        unions: list[Load] = []
        windows = []
        for w in node.windows:
            for u in w.unions:
                if repr(u) not in slots:
                    slots[repr(u)] = len(unions)
                    unions.append(self.bucketed(u, keys, stack))
            windows.append(
                replace(w, unions=tuple(_slot(u.fields, slots[repr(u)]) for u in w.unions))
            )
        rows = _slot(below.fields, len(unions))
        plan = replace(node, child=rows, windows=tuple(windows))

        def load(bucket: int) -> Piece:
            mine = child(bucket)
            if not len(mine.places):
                return _nothing(node)
            known = [u(bucket).batch for u in unions] + [mine.batch]
            return Piece(execute(plan, lambda _, name: known[int(name)]), mine.places)

        return load


def _changed(node: Node, piece: Piece) -> Piece:
    """A row by row change of some rows."""
    batch = piece.batch
    n = batch.num_rows
    if isinstance(node, Filter):
        keep = np.flatnonzero(truth(node.predicate.vector(batch.columns, n)))
        return piece if len(keep) == n else Piece(batch.take(keep), piece.places[keep])
    if isinstance(node, Project):
        columns = [e.vector(batch.columns, n) for e in node.exprs]
        return Piece(Batch(node.schema, columns, n), piece.places)
    return Piece(Batch(node.schema, batch.columns, n), piece.places)


def _joined(node: Join, mine: Piece, right: Batch) -> Piece:
    if not len(mine.places):
        return _nothing(node)
    batch, at_left = joined(node, mine.batch, right)
    return Piece(batch, mine.places if at_left is None else mine.places[at_left])


def _nothing(node: Node) -> Piece:
    return Piece(Batch.empty(node.schema), np.zeros(0, np.int64))


def _slot(fields: tuple[Field, ...], number: int) -> Scan:
    """Stands in a plan for rows that are there already."""
    return Scan(fields, "", str(number), Schema(()))


def _by_keys(windows: Sequence[WindowPlan]) -> list[list[int]]:
    """The places of the windows of equal keys."""
    groups: list[tuple[tuple[Expr, ...], list[int]]] = []
    for i, w in enumerate(windows):
        for keys, places in groups:
            if _equal(keys, w.partition):
                places.append(i)
                break
        else:
            groups.append((w.partition, [i]))
    return [places for _, places in groups]


def _chained(node: WindowAggregate, child: Node, groups: Sequence[Sequence[int]]) -> Node:
    """The windows of each key in turn, each over the rows and values of those before."""
    width = len(node.child.fields)
    at: dict[int, int] = {}
    for places in groups:
        calls = [i for i, c in enumerate(node.calls) if c.window in places]
        at.update({call: len(child.fields) + i for i, call in enumerate(calls)})
        child = WindowAggregate(
            child.fields + tuple(node.fields[width + i] for i in calls),
            child,
            tuple(node.windows[i] for i in places),
            tuple(replace(node.calls[i], window=places.index(node.calls[i].window)) for i in calls),
        )
    order = [*range(width), *(at[i] for i in range(len(node.calls)))]
    exprs = tuple(Col(i, f.type, f.name) for i, f in zip(order, node.fields, strict=True))
    return Project(node.fields, child, exprs)


def _equal(some: Sequence[Expr], others: Sequence[Expr]) -> bool:
    """Whether expressions are the same, whatever their columns are called."""
    return [_nameless(e) for e in some] == [_nameless(e) for e in others]


def _nameless(e: Expr) -> Expr:
    return map_columns(e, lambda c: Col(c.index, c.type))

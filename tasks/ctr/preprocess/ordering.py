"""Rows in the order that their own values give, whatever the order in which they come.

The order in which an engine writes its rows is its own affair; what a model learns must not
depend on it. Rows are sorted by time, then by key, then by all else, so that equal data is equal
bit for bit. More rows than memory should hold are sorted in runs on the disk, which are then put
together one range of values after the other (external sort by sampled splitters).
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

RUN_ROWS = 1 << 18
"""Rows that are sorted at a time; with 40 id columns some 100 MB."""

_SAMPLES = 1024
"""Rows of each run by whose values the splitters are chosen."""


class RowSorter:
    """Takes rows in any order and gives them back by their first columns, then by the others.

    Args:
        schema: the rows' columns; the order of the columns is the order of the comparison.
        first: columns that are compared before the others; NULLs are last.
        folder: an existing folder for what memory should not hold.
        run_rows: rows that are held at a time, about.
    """

    def __init__(
        self, schema: pa.Schema, first: tuple[str, ...], folder: Path, run_rows: int = RUN_ROWS
    ) -> None:
        self.schema = schema
        self.rows = 0
        self._first = first
        rest = [name for name in schema.names if name not in first]
        self._order = [(name, "ascending") for name in (*first, *rest)]
        self._folder = folder
        self._run_rows = run_rows
        self._held: list[pa.RecordBatch] = []
        self._held_rows = 0
        self._runs: list[pa.Table] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch of rows."""
        if batch.num_rows:
            self._held.append(batch)
            self._held_rows += batch.num_rows
            self.rows += batch.num_rows
        if self._held_rows >= self._run_rows:
            self._spill()

    def _spill(self) -> None:
        run = self._sort(pa.Table.from_batches(self._held, self.schema)).combine_chunks()
        self._held, self._held_rows = [], 0
        path = self._folder / f"{len(self._runs)}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, self.schema) as writer:
            writer.write_table(run)
        with pa.memory_map(str(path)) as source:
            self._runs.append(pa.ipc.open_file(source).read_all())

    def _sort(self, rows: pa.Table) -> pa.Table:
        first = rows.select(list(self._first))
        order = pc.sort_indices(first, sort_keys=self._order[: len(self._first)])
        if _has_ties(first.take(order)):
            return rows.sort_by(self._order)
        return rows.take(order)

    def sorted(self) -> Iterator[pa.Table]:
        """All rows in order, some at a time; to be asked once."""
        if not self.rows:
            return
        if not self._runs:
            yield self._sort(pa.Table.from_batches(self._held, self.schema))
            return
        if self._held:
            self._spill()
        keys = [_Keys(run, self._first) for run in self._runs]
        starts = [0] * len(keys)
        for splitter in (*self._splitters(keys), None):
            ends = [
                len(run) if splitter is None else bisect.bisect_left(run, splitter, lo=start)
                for run, start in zip(keys, starts, strict=True)
            ]
            pieces = [
                run.slice(start, end - start)
                for run, start, end in zip(self._runs, starts, ends, strict=True)
                if end > start
            ]
            starts = ends
            if pieces:
                yield self._sort(pa.concat_tables(pieces))

    def _splitters(self, keys: list[_Keys]) -> list[_Key]:
        """Values between which there are about `run_rows` rows, by a sample of every run."""
        every = max(1, self._run_rows // _SAMPLES)
        sample = sorted(key for run in keys for key in run.sample(every))
        step = max(1, self._run_rows // every)
        return list(dict.fromkeys(sample[step::step]))


def _has_ties(rows: pa.Table) -> bool:
    """Whether a row of a sorted table equals the next one; NULLs may."""
    equal = pa.scalar(True)
    for column in rows.combine_chunks().columns:
        values = column.chunk(0) if column.num_chunks else column
        equal = pc.and_kleene(equal, pc.equal(values[:-1], values[1:]).fill_null(True))
    return bool(pc.any(equal).as_py())


def in_blocks(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly `rows` rows, but for the last."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += table.num_rows
        while count >= rows:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows)
            held = [whole.slice(rows)]
            count -= rows
    if count:
        yield pa.concat_tables(held)


_Key = tuple[tuple[bool, object], ...]
"""A row's first columns, each with whether it is NULL, so that NULL compares and is last."""


class _Keys:
    """The first columns of a sorted run as a sequence that `bisect` can search."""

    def __init__(self, run: pa.Table, first: tuple[str, ...]) -> None:
        self._columns = [
            run[name].chunk(0).cast(pa.int64())
            if pa.types.is_timestamp(run.schema.field(name).type)
            else run[name].chunk(0).cast(pa.binary())
            for name in first
        ]
        self._rows: int = run.num_rows

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, at: int) -> _Key:
        values = (column[at].as_py() for column in self._columns)
        return tuple((value is None, value if value is not None else 0) for value in values)

    def sample(self, every: int) -> Iterator[_Key]:
        """Every so many-th row's key."""
        for at in range(every // 2, self._rows, every):
            yield self[at]

"""Rows in the order that their own values give, whatever the order in which they come.

The order in which an engine writes its rows is its own affair; what a model learns must not
depend on it. Rows are sorted by time, then by key, then by all else, so that equal data is equal
bit for bit. They come back in pieces, one range of time after the other. More rows than memory
should hold are sorted in runs on the disk, which are then put together piece by piece (external
sort by sampled splitters).
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.ctr.preprocess.rows import Rows, Saved, joined

RUN_BYTES = 1 << 28
"""Bytes of rows that are held at a time."""

PIECE_ROWS = 1 << 17
"""Rows that are sorted at a time, about."""

_SAMPLES = 256
"""Rows of a piece by whose values the splitters are chosen."""

_Key = tuple[int, bool, bytes]
"""A row's time and key, with whether the key is NULL, so that NULL compares and is last."""


class RowSorter:
    """Takes rows in any order and gives them back by time, then by key, then by all else.

    Args:
        folder: an existing folder for what memory should not hold.
        stored: what rows are compared by where time and key are equal: columns of n rows.
        run_bytes: bytes of rows that are held at a time, about.
        piece_rows: rows that come back at a time, about.
        pool: helps with what is held.
    """

    def __init__(
        self,
        folder: Path,
        stored: Callable[[Rows], Sequence[pa.Array]],
        run_bytes: int = RUN_BYTES,
        piece_rows: int = PIECE_ROWS,
        pool: Executor | None = None,
    ) -> None:
        self.rows = 0
        self._map: Callable[..., Iterator[tuple[Rows, list[int]]]] = pool.map if pool else map
        self._folder, self._stored = folder, stored
        self._run_bytes, self._piece_rows = run_bytes, piece_rows
        self._held: list[Rows] = []
        self._held_bytes = 0
        self._runs: list[_Run] = []

    def add(self, rows: Rows) -> None:
        """Take some rows."""
        if len(rows):
            self._held.append(rows)
            self._held_bytes += rows.nbytes
            self.rows += len(rows)
        if self._held_bytes >= self._run_bytes:
            self._spill()

    def _spill(self) -> None:
        rows = joined(self._held)
        self._held, self._held_bytes = [], 0
        rows = rows.take(_by_time_and_key(rows.times, rows.keys))
        path = self._folder / f"{len(self._runs)}.arrow"
        rows.save(str(path))
        self._runs.append(_Run(path, rows, max(1, self._piece_rows // _SAMPLES)))

    def sorted(self) -> Iterator[Rows]:
        """All rows in order, some at a time; to be asked once."""
        if self._runs:
            if self._held:
                self._spill()
            for splitter in (*self._splitters(), None):
                parts = [part for run in self._runs for part in run.before(splitter)]
                if parts:
                    rows = joined(parts)
                    yield self._untied(rows.take(_by_time_and_key(rows.times, rows.keys)))
        elif self._held:
            ranges = _Ranges(self._held, self._piece_rows)
            # Each part is put in order of the ranges by itself, so that no whole is ever made.
            grouped = list(self._map(ranges.grouped, _taken_out(self._held)))
            for number in range(len(ranges)):
                pieces = [part.slice(*bounds[number : number + 2]) for part, bounds in grouped]
                rows = joined([piece for piece in pieces if len(piece)])
                yield self._untied(rows.take(_by_time_and_key(rows.times, rows.keys)))

    def _untied(self, rows: Rows) -> Rows:
        """Sorted rows; those of one time and key in the order of all else."""
        ties = _ties(rows)
        if ties is None:
            return rows
        order = np.arange(len(rows))
        at = np.flatnonzero(ties[:-1] | ties[1:])  # a row that equals the one before or after it
        tied = rows.take(at)
        group = pa.array(np.cumsum(~ties[:-1])[at])
        columns = [group, *self._stored(tied)]
        names = [str(number) for number in range(len(columns))]
        order[at] = at[_order(pa.RecordBatch.from_arrays(columns, names=names))]
        return rows.take(order)

    def _splitters(self) -> list[_Key]:
        """Times and keys between which there are about `piece_rows` rows, by a sample."""
        sample = sorted(key for run in self._runs for key in run.sample)
        return list(dict.fromkeys(sample[_SAMPLES::_SAMPLES]))


class _Run:
    """A sorted run on the disk that is read from its beginning to its end.

    Args:
        path: where it lies.
        rows: what is in it.
        every: so many rows apart are those of the sample.
    """

    def __init__(self, path: Path, rows: Rows, every: int) -> None:
        keys = _Keys(rows)
        self.sample = [keys[at] for at in range(every // 2, len(rows), every)]
        self._saved = Saved(str(path))
        self._next = 0
        self._part: Rows | None = None

    def before(self, splitter: _Key | None) -> Iterator[Rows]:
        """The next rows, those before the splitter; all that are left where None."""
        while True:
            if self._part is None:
                if self._next == len(self._saved):
                    return
                self._part = self._saved.part(self._next)
                self._next += 1
            part = self._part
            end = len(part) if splitter is None else bisect.bisect_left(_Keys(part), splitter)
            if end:
                yield part.slice(0, end)
            if end < len(part):
                self._part = part.slice(end, len(part))
                return
            self._part = None


class _Keys:
    """Times and keys of rows as a sequence that `bisect` can search."""

    def __init__(self, rows: Rows) -> None:
        self._times, self._keys = rows.times, rows.keys.cast(pa.binary())

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, at: int) -> _Key:
        key = self._keys[at].as_py()
        return int(self._times[at]), key is None, key or b""


def _by_time_and_key(times: npt.NDArray[np.int64], keys: pa.Array) -> npt.NDArray[np.int64]:
    return _order(pa.RecordBatch.from_arrays([pa.array(times), keys], names=["time", "key"]))


def _order(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    keys = [(name, "ascending") for name in batch.schema.names]
    return np.asarray(pc.sort_indices(batch, sort_keys=keys).to_numpy(), dtype=np.int64)


class _Ranges:
    """Ranges of time of about as many rows each, one after the other, all of which hold rows.

    Args:
        parts: all rows.
        rows: rows of a range, about.
    """

    def __init__(self, parts: Sequence[Rows], rows: int) -> None:
        times = np.concatenate([part.times for part in parts])
        sample = np.sort(times[:: max(1, rows // _SAMPLES)])
        # What is before the first splitter holds rows, and so does what a splitter begins.
        self._splitters = np.unique(sample[_SAMPLES::_SAMPLES])
        if len(self._splitters) and times.min() == self._splitters[0]:
            self._splitters = self._splitters[1:]

    def __len__(self) -> int:
        return len(self._splitters) + 1

    def grouped(self, part: Rows) -> tuple[Rows, list[int]]:
        """Rows in the order of the ranges, and where each range begins, the end included."""
        group = np.searchsorted(self._splitters, part.times, side="right")
        order = np.argsort(group.astype(np.min_scalar_type(len(self))), kind="stable")
        ends = np.bincount(group, minlength=len(self)).cumsum().tolist()
        return part.take(order), [0, *ends]


def _taken_out(parts: list[Rows]) -> Iterator[Rows]:
    """The parts, which the list no longer holds."""
    parts.reverse()
    while parts:
        yield parts.pop()


def _ties(rows: Rows) -> npt.NDArray[np.bool_] | None:
    """Which sorted rows have time and key of the one before; False before them and after them.

    Returns:
        bool [n + 1]; None if there is none.
    """
    same = rows.times[1:] == rows.times[:-1]
    if same.any():
        keys = rows.keys
        equal = pc.equal(keys[1:], keys[:-1])
        if keys.null_count:
            is_null = keys.is_null()
            equal = pc.or_(equal.fill_null(False), pc.and_(is_null[1:], is_null[:-1]))
        same &= equal.to_numpy(zero_copy_only=False)
    return np.concatenate([[False], same, [False]]) if same.any() else None


class Blocks:
    """Puts tables of any size together to tables of exactly `rows` rows, but for the last.

    Args:
        rows: rows of a block.
        whole: columns that are in one chunk. Where a writer ends a page depends on the chunks, of
            columns that take more than a page in a block.
    """

    def __init__(self, rows: int, whole: Sequence[str] = ()) -> None:
        self._rows, self._whole = rows, whole
        self._held: list[pa.Table] = []
        self._count = 0

    def add(self, table: pa.Table) -> Iterator[pa.Table]:
        """Take a table; gives the blocks that are full."""
        self._held.append(table)
        self._count += table.num_rows
        while self._count >= self._rows:
            whole = pa.concat_tables(self._held)
            self._held = [whole.slice(self._rows)]
            self._count -= self._rows
            yield self._block(whole.slice(0, self._rows))

    def rest(self) -> Iterator[pa.Table]:
        """What is left, if anything."""
        if self._count:
            yield self._block(pa.concat_tables(self._held))

    def _block(self, table: pa.Table) -> pa.Table:
        for name in self._whole:
            at = table.schema.get_field_index(name)
            column = pa.chunked_array([table.column(at).combine_chunks()])
            table = table.set_column(at, table.schema.field(at), column)
        return table

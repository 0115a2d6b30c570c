"""Rows on the disk, in as many buckets as a job has parts: rows of equal keys share a bucket."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from openmldb_sql.types import SqlType

from openmldb_embedded.columns import Array, Batch, Column, column_from_arrow
from openmldb_embedded.dtypes import ARROW
from openmldb_embedded.errors import ResourceLimitError
from openmldb_embedded.pool import each

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a relation.

    Attributes:
        places: For each row a number; rows stand in the relation in ascending order of them, and
            rows of one number in the order in which they come.
    """

    batch: Batch
    places: Array


class Spill:
    """One relation's rows by bucket, in one file.

    Args:
        path: The file; it must not exist.
        schema: (name, type) of each column.
        buckets: How many.
        held: Bytes that are kept in memory until they are written.
    """

    def __init__(
        self, path: Path, schema: Sequence[tuple[str, SqlType]], buckets: int, held: int
    ) -> None:
        self.schema = list(schema)
        self.rows = np.zeros(buckets, dtype=np.int64)
        fields = [pa.field(str(i), ARROW[kind]) for i, (_, kind) in enumerate(self.schema)]
        self._arrow = pa.schema([*fields, pa.field("place", pa.int64())])
        self._all = range(len(self.schema))
        self._path = path
        self._file = path.open("x+b")
        self._most = held
        self._held = 0
        self._size = 0
        self._pending: list[list[pa.Table]] = [[] for _ in range(buckets)]
        self._chunks: list[list[tuple[int, int]]] = [[] for _ in range(buckets)]

    def add(self, piece: Piece, keys: Sequence[Column]) -> None:
        """Add rows, each to the bucket of its keys."""
        buckets = bucket_of(keys, len(piece.places), len(self.rows))
        order = np.argsort(buckets, kind="stable")
        rows = piece.batch.take(order)
        columns = each(Column.to_arrow, rows.columns)
        table = pa.Table.from_arrays(
            [*columns, pa.array(piece.places[order], pa.int64())], schema=self._arrow
        )
        counts = np.bincount(buckets, minlength=len(self.rows))
        self.rows += counts
        start = 0
        for bucket, count in enumerate(counts.tolist()):
            if count:
                self._pending[bucket].append(table.slice(start, count))
                start += count
        self._held += table.nbytes
        if self._held > self._most:
            self.flush()

    def flush(self) -> None:
        """Write what is held in memory."""
        for bucket, tables in enumerate(self._pending):
            if not tables:
                continue
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, self._arrow, options=_OPTIONS) as out:
                out.write_table(pa.concat_tables(tables).combine_chunks())
            tables.clear()
            written = self._file.write(sink.getvalue())
            self._chunks[bucket].append((self._size, written))
            self._size += written
        self._file.flush()
        self._held = 0

    def load(self, bucket: int) -> Piece:
        """A bucket's rows, in the relation's order."""
        tables = []
        for start, size in self._chunks[bucket]:
            self._file.seek(start)
            with pa.ipc.open_stream(self._file.read(size)) as found:
                tables.append(found.read_all())
        if not tables:
            return Piece(Batch.empty(self.schema), np.zeros(0, np.int64))
        table = pa.concat_tables(tables)
        tables.clear()
        places = table.column("place").to_numpy()
        columns = each(lambda i: column_from_arrow(table.column(i), self.schema[i][1]), self._all)
        batch = Batch(self.schema, columns, len(places))
        if len(places) and (places[1:] < places[:-1]).any():
            order = np.argsort(places, kind="stable")
            return Piece(batch.take(order), places[order])
        return Piece(batch, places)

    def check(self, bucket: int, keys: str) -> None:
        """Say of a bucket that does not fit into memory that one key has most rows, if so.

        Raises:
            ResourceLimitError: The bucket holds many times what others hold.
        """
        total = int(self.rows.sum())
        own = int(self.rows[bucket] - np.median(self.rows))  # what it has beyond its part
        if len(self.rows) > 2 and own > 3 * total / len(self.rows) and own > total // 10:
            raise ResourceLimitError(
                f"the job needs more memory than it may take: about {own / total:.0%} of {total} "
                f"rows have one {keys}, and the rows of a key are computed at once; leave that key "
                f"out, or start the server with a larger --job-memory"
            )

    def close(self) -> None:
        """Remove the file."""
        self._pending.clear()
        self._file.close()
        self._path.unlink(missing_ok=True)


def bucket_of(keys: Sequence[Column], rows: int, buckets: int) -> Array:
    """Each row's bucket: equal keys (NULL equals NULL) have one, on whatever machine."""
    mixed = np.zeros(rows, dtype=np.uint64)
    for key in keys:
        mixed = _mixed(mixed * np.uint64(0x9E3779B97F4A7C15) + _numbers(key))
    return (mixed % np.uint64(buckets)).astype(np.int64)


def _mixed(x: Array) -> Array:
    """The finaliser of SplitMix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def _numbers(key: Column) -> Array:
    """A number of 64 bits for each value, equal for equal values."""
    if key.type is SqlType.STRING:
        return _of_texts(key)
    values = key.values
    if key.type.is_floating:
        values = values.astype(np.float64) + 0.0  # -0.0 equals 0.0
        values = np.where(np.isnan(values), np.nan, values).view(np.uint64)
    else:
        values = values.astype(np.int64).view(np.uint64)
    if key.type is SqlType.NULL:
        return np.zeros(len(values), dtype=np.uint64)
    return values if key.valid is None else np.where(key.valid, values, np.uint64(0))


def _of_texts(key: Column) -> Array:
    codes = key.values
    texts = key.dictionary.arrow
    if len(texts) > len(codes):  # of a large dictionary few are used
        used, codes = np.unique(codes[codes >= 0], return_inverse=True)
        whole = np.full(len(key.values), -1, dtype=np.int64)
        whole[key.values >= 0] = codes
        codes = whole
        texts = texts.take(pa.array(used))
    found = [zlib.crc32(text) for text in texts.view(pa.binary()).to_pylist()]
    numbers = np.array([*found, 0], dtype=np.uint64)  # code -1
    return numbers[codes]

"""Parquet files, read the same way by every reader, and what Spark 3.2 would refuse in one."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from openmldb_files.errors import FileError
from openmldb_files.normalise import columns_normal, normal
from openmldb_files.types import ARROW_OF, describe, sql_type_of

BATCH_ROWS = 65_536

_DICTIONARY_BYTES = 1 << 20
"""Bytes of a dictionary that the common writers allow before they give it up."""

_READABLE_ENCODINGS = {"PLAIN", "PLAIN_DICTIONARY", "RLE", "RLE_DICTIONARY", "BIT_PACKED"}
_UNREADABLE_CODECS = {"BROTLI", "LZO", "LZ4", "LZ4_RAW"}
_GREGORIAN = dt.date(1582, 10, 15)
_FIRST_TIME = dt.datetime(1900, 1, 1)


@dataclass(frozen=True)
class FileColumn:
    """A column of a file: name, Arrow's type, and the SQL type that LOAD DATA sees, if any."""

    name: str
    arrow: pa.DataType
    sql: str | None

    def __str__(self) -> str:
        return f"{self.name} {describe(self.arrow)}"


def not_parquet(path: Path) -> str:
    """Why a file is not parquet, in words."""
    size = path.stat().st_size
    if size == 0:
        return "the file is empty (0 bytes), so no parquet: an upload or a writer broke off"
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, size - 4))
        tail = file.read(4)
    if head == b"PARE" or tail == b"PARE":
        return "the file is encrypted parquet, which is not read here"
    if head == b"PAR1":
        return "the parquet file has no whole footer: it is cut short, or still being written"
    return "the file is not parquet"


@contextlib.contextmanager
def open_parquet(path: str | Path, encoded: Collection[str] = ()) -> Iterator[pq.ParquetFile]:
    """A parquet file; its INT96 times are read in microseconds, as Spark does.

    Args:
        path: the file.
        encoded: columns of text that are read as Arrow dictionaries where the file holds
            dictionaries of them.

    Raises:
        FileError: it is not parquet, or damaged where it is read.
    """
    path = Path(path)
    try:
        # Nanoseconds, Arrow's own choice for INT96, wrap around beyond 1677 and 2262.
        footer = pq.read_metadata(path) if encoded else None
        with pq.ParquetFile(
            path,
            metadata=footer,
            pre_buffer=False,  # a copy more of what lies on a disk anyway
            coerce_int96_timestamp_unit="us",
            read_dictionary=_by_dictionary(footer, encoded) if footer else None,
        ) as file:
            twice = [n for n, count in Counter(file.schema_arrow.names).items() if count > 1]
            if twice:
                raise FileError(path, "the file holds the column twice", column=twice[0])
            yield file
    except FileNotFoundError:
        raise FileError(path, "the file is not there") from None
    except (FileError, MemoryError):  # Arrow's own MemoryError does not mean a damaged file
        raise
    except (OSError, pa.ArrowException, OverflowError) as error:
        if _has_footer(path):
            reason = f"the parquet file cannot be read: {error}"
            raise FileError(path, reason, column=_unreadable(path)) from error
        if isinstance(error, pa.ArrowNotImplementedError):  # a type, so that no schema can be had
            raise FileError(path, f"a column is of a type that is not read: {error}") from error
        raise FileError(path, not_parquet(path)) from error


def _by_dictionary(footer: pq.FileMetaData, names: Collection[str]) -> list[str]:
    """Columns of the names whose every row group is a dictionary and places in it.

    A writer gives a dictionary up once it is large, and goes on with the texts themselves; what
    is read of such a row group as a dictionary holds all of its texts, in every batch anew. The
    footer does not say that; but the size does: a place takes two bytes or so.
    """
    found = []
    for at in range(footer.num_columns):
        name = footer.schema.column(at).path
        if name in names:
            parts = [footer.row_group(n).column(at) for n in range(footer.num_row_groups)]
            if all(
                part.has_dictionary_page
                and part.total_uncompressed_size <= _DICTIONARY_BYTES + 3 * part.num_values
                for part in parts
            ):
                found.append(name)
    return found


def _has_footer(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def _unreadable(path: Path) -> str | None:
    """The first column that Arrow cannot read; None where it is not one column's fault."""
    with contextlib.suppress(OSError, pa.ArrowException), pq.ParquetFile(path) as file:
        return next((name for name in file.schema_arrow.names if not _is_read(file, name)), None)
    return None


def _is_read(file: pq.ParquetFile, name: str) -> bool:
    try:
        for _ in file.iter_batches(columns=[name]):
            pass
    except (OSError, pa.ArrowException):
        return False
    return True


def columns_of(path: str | Path) -> list[FileColumn]:
    """The columns of a file in its order.

    Raises:
        FileError: it is not parquet.
    """
    with open_parquet(path) as file:
        return [FileColumn(f.name, f.type, sql_type_of(f.type)) for f in file.schema_arrow]


def rows_of(path: str | Path) -> int:
    """Rows of a file, from its footer.

    Raises:
        FileError: it is not parquet.
    """
    with open_parquet(path) as file:
        return int(file.metadata.num_rows)


def nulls_of(path: str | Path, columns: Collection[str]) -> dict[str, int | None]:
    """NULLs of plain columns of a file, from its footer; None where the footer does not say.

    A column that the file lacks is left out.

    Raises:
        FileError: it is not parquet.
    """
    with open_parquet(path) as file:
        footer = file.metadata
        places = {
            footer.schema.column(at).path: at
            for at in range(footer.num_columns)
            if footer.schema.column(at).path in columns
        }
        found: dict[str, int | None] = {}
        for name, at in places.items():
            parts = [
                footer.row_group(number).column(at).statistics
                for number in range(footer.num_row_groups)
            ]
            counts = [
                part.null_count if part is not None and part.has_null_count else None
                for part in parts
            ]
            known = [count for count in counts if count is not None]
            found[name] = sum(known) if len(known) == len(counts) else None
        return found


def normal_schema(path: str | Path) -> pa.Schema:
    """The schema that `read_parquet` gives the file's batches.

    Raises:
        FileError: it is not parquet.
    """
    return pa.schema(
        [pa.field(c.name, ARROW_OF[c.sql] if c.sql else c.arrow) for c in columns_of(path)]
    )


def read_parquet(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
    batch_rows: int = BATCH_ROWS,
    encoded: Collection[str] = (),
    threads: bool = True,
) -> Iterator[pa.RecordBatch]:
    """The rows of a file in order, every column in the one Arrow type of its SQL type.

    Args:
        path: the file.
        columns: only these, in this order; all where None.
        where: only rows that this lets through; it sees the batches as they are given.
        batch_rows: rows of a batch at most.
        encoded: columns of text that come as `dictionary<int32, string>` where the file holds
            them so, which is faster. A dictionary may hold texts that its batch does not.
        threads: whether several threads read its columns; where several files are read at once,
            or small ones, that costs more than it saves.

    Raises:
        FileError: it is not parquet, lacks a column, or holds text that is no UTF-8.
    """
    path = Path(path)
    with open_parquet(path, encoded) as file:
        schema = file.schema_arrow
        if columns is not None:
            for name in columns:
                if name not in schema.names:
                    raise FileError(path, "the file has no such column", column=name)
        for batch in file.iter_batches(
            batch_size=batch_rows,
            columns=None if columns is None else list(columns),
            use_threads=threads,
        ):
            ready = normal_batch(batch, path, encoded)
            if columns is not None and ready.schema.names != list(columns):
                ready = ready.select(list(columns))
            if where is None:
                yield ready
            else:
                yield from pa.Table.from_batches([ready]).filter(where).to_batches()


def normal_batch(
    batch: pa.RecordBatch, path: str | Path, encoded: Collection[str] = ()
) -> pa.RecordBatch:
    """`columns_normal` whose errors name file and column.

    Raises:
        FileError: text that is no UTF-8, or a time that milliseconds cannot hold.
    """
    try:
        ready = columns_normal(batch, encoded)
    except MemoryError:
        raise
    except (ValueError, pa.ArrowException) as error:
        raise FileError(path, str(error), column=_guilty(batch)) from error
    for name, column in zip(ready.schema.names, ready.columns, strict=True):
        texts = column.dictionary if pa.types.is_dictionary(column.type) else column
        if pa.types.is_string(texts.type):
            try:
                texts.validate(full=True)
            except pa.ArrowInvalid as error:
                raise FileError(path, f"text that is no UTF-8: {error}", column=name) from error
    return ready


def _guilty(batch: pa.RecordBatch) -> str | None:
    return next(
        (
            str(name)
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
            if not _is_convertible(column)
        ),
        None,
    )


def _is_convertible(column: pa.Array) -> bool:
    try:
        normal(column)
    except (ValueError, pa.ArrowException):
        return False
    return True


@dataclass(frozen=True)
class SparkFault:
    """Something in a file that Spark 3.2 does not read.

    Attributes:
        column: the column.
        reason: what is not read, and what to write instead.
        refuses: whether a load is sure to end by it; values of old calendars do by settings.
    """

    column: str | None
    reason: str
    refuses: bool = True


def spark_faults(path: str | Path) -> list[SparkFault]:
    """What Spark 3.2 (OpenMLDB's batch engine) refuses in a file that is otherwise whole.

    Nanosecond times; encodings and codecs newer than it; BOOLEAN in data pages v2; dates before
    1582-10-15 and times before 1900 by writers other than Spark 3 (`spark.sql.parquet
    .datetimeRebaseModeInRead` is EXCEPTION unless set). Old values are found by the file's
    statistics, where it has them.

    Raises:
        FileError: it is not parquet.
    """
    faults: dict[tuple[str | None, str], SparkFault] = {}

    def add(column: str | None, reason: str, *, refuses: bool = True) -> None:
        faults.setdefault((column, reason), SparkFault(column, reason, refuses))

    with open_parquet(path) as file:
        metadata = file.metadata
        by_spark = b"org.apache.spark.version" in (metadata.metadata or {})
        for at in range(metadata.num_columns):
            column = file.schema.column(at)
            kind = str(column.logical_type)
            if "nanoseconds" in kind:
                add(column.path, "times in nanoseconds; write them in microseconds")
            elif kind == "Int(bitWidth=64, isSigned=false)":
                add(column.path, "unsigned 64-bit integers are a decimal to Spark")
        for group in range(metadata.num_row_groups):
            for at in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(at)
                encodings = set(chunk.encodings)
                if not chunk.num_values:
                    continue  # no page, so no encoding that counts
                if chunk.physical_type == "BOOLEAN" and encodings == {"RLE"}:
                    add(
                        chunk.path_in_schema,
                        "BOOLEAN in data pages v2 (RLE); write data pages v1",
                    )
                elif strange := sorted(encodings - _READABLE_ENCODINGS):
                    add(chunk.path_in_schema, f"the encoding {', '.join(strange)}")
                if chunk.compression in _UNREADABLE_CODECS:
                    add(
                        chunk.path_in_schema,
                        f"the codec {chunk.compression}; write snappy, gzip or zstd",
                    )
                if not by_spark and chunk.is_stats_set and _is_ancient(chunk.statistics):
                    add(
                        chunk.path_in_schema,
                        "dates before 1582-10-15 or times before 1900, which mean two things "
                        "in two calendars",
                        refuses=False,
                    )
    return list(faults.values())


def _is_ancient(statistics: Any) -> bool:
    if not statistics.has_min_max:
        return False
    least = statistics.min
    if isinstance(least, dt.datetime):
        return least.replace(tzinfo=None) < _FIRST_TIME
    return isinstance(least, dt.date) and least < _GREGORIAN

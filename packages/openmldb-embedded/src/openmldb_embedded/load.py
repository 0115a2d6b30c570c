"""LOAD DATA's readers: files to Arrow tables of exactly the table's types.

Parquet is strict, as the real engine is: names, order and types must be the table's. CSV is lenient
in the way the real engine is: a cell that does not parse becomes NULL.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from openmldb_files import columns_of, differences, read_parquet, spark_faults
from openmldb_sql.types import ColumnDef, Schema, SqlType

from openmldb_embedded.dtypes import ARROW
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.options import (
    FILE_OPTIONS,
    FileOptions,
    check_mode,
    file_options,
    flag_option,
)
from openmldb_embedded.wire import RANGES, to_moment

CHUNK_ROWS = 1 << 18


@dataclass(frozen=True)
class LoadOptions(FileOptions):
    """OPTIONS of LOAD DATA, checked; the defaults are OpenMLDB's."""

    deep_copy: bool = True
    put_if_absent: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> LoadOptions:
        """Check a statement's options.

        Raises:
            ExecutionError: An unknown option, or a value it does not take.
        """
        known = FILE_OPTIONS | {"deep_copy", "put_if_absent"}
        ignored = {"load_mode", "thread", "sql", "merge_schema"}
        unknown = sorted(set(options) - known - ignored)
        if unknown:
            raise ExecutionError(
                f"LOAD DATA has no option {', '.join(unknown)}; it has "
                f"{', '.join(sorted(known | {'load_mode', 'thread'}))}"
            )
        found = cls(
            **file_options(options),
            deep_copy=flag_option(options, "deep_copy", default=True),
            put_if_absent=flag_option(options, "put_if_absent", default=False),
        )
        if found.format not in ("csv", "parquet"):
            raise ExecutionError(f"LOAD DATA reads csv and parquet, not format={found.format!r}")
        check_mode(found.mode)
        if len(found.quote) > 1 or len(found.delimiter.encode()) != 1:
            raise ExecutionError("delimiter takes one ASCII character, quote at most one")
        return found


def read_files(files: Sequence[Path], schema: Schema, options: LoadOptions) -> Iterator[pa.Table]:
    """The rows of all files in order, some at a time, as tables of the schema's Arrow types.

    Raises:
        ExecutionError: A file that is not of the format, or does not fit the schema.
    """
    if options.format == "parquet" and files and not any(path.stat().st_size for path in files):
        raise ExecutionError(f"{files[0].parent} holds only empty files, so no parquet")
    is_first = True
    for path in files:
        yield from _read_file(path, schema, options, is_first)
        is_first = is_first and not path.stat().st_size


def _read_file(
    path: Path, schema: Schema, options: LoadOptions, is_first: bool
) -> Iterator[pa.Table]:
    try:
        if path.stat().st_size == 0:
            return
        if options.format == "parquet":
            tables = _read_parquet(path, schema, is_first)
        else:
            tables = _read_csv(path, schema, options)
        for table in tables:
            _check_not_null(table, schema, path)
            yield table
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ExecutionError(f"{path} cannot be read as {options.format}: {error}") from error


def arrow_schema(schema: Schema) -> pa.Schema:
    """The Arrow schema of a table's rows."""
    return pa.schema([pa.field(c.name, ARROW[c.type]) for c in schema.columns])


def _check_not_null(table: pa.Table, schema: Schema, path: Path) -> None:
    for column, data in zip(schema.columns, table.columns, strict=True):
        if column.not_null and data.null_count:
            raise ExecutionError(f"{path}: column {column.name} is NOT NULL but holds nulls")


# -------------------------------------------------------------------- parquet


def _read_parquet(path: Path, schema: Schema, is_first: bool) -> Iterator[pa.Table]:
    """A file's rows.

    Spark takes the schema from the first file of a load: a later one that lacks a column has NULLs.
    """
    found = columns_of(path)
    wanted = {name: kind.value for name, kind in schema.fields}
    faults = [one for one in differences(found, wanted) if is_first or not one.is_missing]
    if faults:
        raise ExecutionError(
            f"schema mismatch (name and data type): {path}, "
            + "; ".join(f"column {one.column}: {one.reason}" for one in faults)
        )
    refused = [fault for fault in spark_faults(path) if fault.refuses]
    if refused:
        raise ExecutionError(
            f"{path}, column {refused[0].column}: OpenMLDB's batch engine does not read "
            f"{refused[0].reason}"
        )
    there = {column.name for column in found}
    target = arrow_schema(schema)
    names = [name for name in target.names if name in there]
    for batch in read_parquet(path, columns=names, batch_rows=CHUNK_ROWS):
        columns = [
            batch.column(item.name) if item.name in there else pa.nulls(len(batch), item.type)
            for item in target
        ]
        yield pa.Table.from_arrays(columns, schema=target)


# -------------------------------------------------------------------- csv


def _read_csv(path: Path, schema: Schema, options: LoadOptions) -> Iterator[pa.Table]:
    if path.stat().st_size == 0:
        return
    names = schema.names
    source, escape = _with_escapes(path, options.quote)
    first = pacsv.ReadOptions(column_names=None if options.header else names, block_size=8 * 2**20)
    parse = pacsv.ParseOptions(
        delimiter=options.delimiter,
        quote_char=options.quote or False,
        escape_char=escape,
        newlines_in_values=bool(options.quote),
    )
    header = names
    if options.header:
        with _opened(path) as file:
            line = file.readline().decode("utf-8-sig", "replace").rstrip("\r\n")
        quote = options.quote
        header = [
            cell.strip().strip(quote) if quote else cell for cell in line.split(options.delimiter)
        ]
        if len(header) != len(names):
            raise ExecutionError(
                f"{path}: the header has {len(header)} columns, the table {len(names)}"
            )
        if header != names and sorted(header) == sorted(names):
            raise ExecutionError(
                f"{path}: the header has the table's columns in another order "
                f"({', '.join(header)}); cells are taken by position: reorder the file"
            )
        first = pacsv.ReadOptions(column_names=names, skip_rows=1, block_size=8 * 2**20)
    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[options.null_value, ""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    target = arrow_schema(schema)
    if path.stat().st_size == 0 or _only_header(path, options.header):
        return
    with pacsv.open_csv(source, first, parse, convert) as reader:
        for batch in reader:
            columns = [
                _parse_cells(column, definition)
                for column, definition in zip(batch.columns, schema.columns, strict=True)
            ]
            yield pa.Table.from_arrays(columns, schema=target)


def _with_escapes(path: Path, quote: str) -> tuple[Path | pa.BufferReader, str | bool]:
    """A CSV for Arrow's reader, and its escape character.

    To Spark a backslash escapes a quote, and is a character of the value anywhere else; to Arrow
    it escapes whatever follows. So those before anything else are doubled, where a file has any
    before a quote at all.
    """
    if not quote:
        return path, False
    mark = quote.encode()
    if path.name.endswith(".gz"):
        return path, False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b"\\" + mark) < 0:
            return path, False
        plain = re.compile(rb"\\+(?![\\" + re.escape(mark) + rb"])")
        return pa.BufferReader(plain.sub(lambda found: found[0] * 2, content)), "\\"


def _only_header(path: Path, header: bool) -> bool:
    if not header:
        return False
    with _opened(path) as file:
        file.readline()
        return not file.read(1)


def _opened(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """A CSV's bytes; Hadoop reads one that ends in `.gz` as gzip."""
    return gzip.open(path) if path.name.endswith(".gz") else path.open("rb")


_INTEGER = r"^\s*[+-]?\d{1,19}\s*$"
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_SPECIAL = {"NaN": "nan", "Infinity": "inf", "Inf": "inf", "-Infinity": "-inf", "-Inf": "-inf"}


def _parse_cells(cells: pa.Array, column: ColumnDef) -> pa.Array:
    """Text to the column's type; what does not parse becomes NULL."""
    kind = column.type
    if kind is SqlType.STRING:
        return cells
    if kind in (SqlType.INT16, SqlType.INT32, SqlType.INT64):
        numbers = _integers(cells)
        low, high = RANGES[kind]
        fits = pc.and_(pc.greater_equal(numbers, low), pc.less_equal(numbers, high))
        return pc.if_else(fits, numbers, None).cast(ARROW[kind])
    if kind.is_floating:
        for text, arrow in _SPECIAL.items():
            cells = pc.if_else(pc.equal(cells, text), arrow, cells)
        good = pc.or_(
            pc.match_substring_regex(cells, _NUMBER),
            pc.is_in(cells, pa.array(["nan", "inf", "-inf"])),
        )
        text = pc.utf8_trim_whitespace(pc.if_else(good, cells, None))
        text = pc.if_else(pc.starts_with(text, "+"), pc.utf8_slice_codeunits(text, 1), text)
        with np.errstate(over="ignore"):
            doubles = text.cast(pa.float64())
        return doubles.cast(ARROW[kind], safe=False)
    if kind is SqlType.BOOL:
        lower = pc.utf8_lower(pc.utf8_trim_whitespace(cells))
        true, false = pc.equal(lower, "true"), pc.equal(lower, "false")
        return pc.if_else(pc.or_(true, false), true, None)
    distinct = cells.dictionary_encode()
    texts = distinct.dictionary.to_pylist()
    if kind is SqlType.DATE:
        days = [_day(text) for text in texts]
        return pa.array(days, pa.int32()).cast(pa.date32()).take(distinct.indices)
    moments = [_milliseconds(text) for text in texts]
    return pa.array(moments, pa.int64()).cast(pa.timestamp("ms")).take(distinct.indices)


def _integers(cells: pa.Array) -> pa.Array:
    good = pc.if_else(pc.match_substring_regex(cells, _INTEGER), cells, None)
    good = pc.utf8_trim_whitespace(good)
    good = pc.if_else(pc.starts_with(good, "+"), pc.utf8_slice_codeunits(good, 1), good)
    try:
        return good.cast(pa.int64())
    except pa.ArrowInvalid:  # nineteen digits may be too many: rare, so one at a time
        numbers = [None if text is None else int(text) for text in good.to_pylist()]
        low, high = RANGES[SqlType.INT64]
        return pa.array([n if n is not None and low <= n <= high else None for n in numbers])


def _day(text: str) -> int | None:
    moment = to_moment(text)
    return None if moment is None else (moment + 8 * 3_600_000) // 86_400_000


def _milliseconds(text: str) -> int | None:
    stripped = text.strip()
    if stripped.lstrip("+-").isdecimal() and len(stripped) <= 19:
        number = int(stripped)
        return number if abs(number) < 2**63 else None
    moment = to_moment(stripped)
    if moment is not None:
        return moment
    try:
        parsed = dt.datetime.fromisoformat(stripped)
    except ValueError:
        return None
    if parsed.tzinfo is None:
        return None
    return int(parsed.timestamp() * 1000)


# -------------------------------------------------------------------- staging


def stage_parquet(tables: Iterator[pa.Table], schema: Schema, path: Path) -> int:
    """Write rows to one parquet file and return how many there were."""
    rows = 0
    with pq.ParquetWriter(path, arrow_schema(schema), compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
            rows += table.num_rows
    return rows

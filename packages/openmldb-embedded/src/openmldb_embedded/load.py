"""LOAD DATA's readers: files to Arrow tables of exactly the table's types.

Parquet is strict, as the real engine is: names, order and types must be the table's. CSV is lenient
in the way the real engine is: a cell that does not parse becomes NULL.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from openmldb_files import columns_of, differences, read_parquet, spark_faults
from openmldb_sql.types import Schema

from openmldb_embedded.csv_cells import read_csv
from openmldb_embedded.dtypes import ARROW
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.options import (
    FILE_OPTIONS,
    FileOptions,
    check_mode,
    file_options,
    flag_option,
)

LOG = logging.getLogger("openmldb_embedded")

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
            # As on a cluster, which does not say so; the log of the server does here.
            LOG.warning("LOAD DATA has no option %s: it is ignored", ", ".join(unknown))
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
            tables = read_csv(path, schema, options)
        for table in tables:
            _check_not_null(table, schema, path)
            yield table
    except MemoryError:  # Arrow's is an ArrowException, too, and no fault of the file
        raise
    except (OSError, ValueError, EOFError, zlib.error, pa.ArrowException) as error:
        raise ExecutionError(f"{path} cannot be read as {options.format}: {error}") from error


def about_rows(path: Path, options: LoadOptions, columns: int) -> int:
    """About how many rows a file has: of parquet as its footer says, of CSV by its size.

    A file that cannot be read has none; reading it tells why.
    """
    try:
        size = path.stat().st_size
        if options.format == "parquet":
            return int(pq.read_metadata(path).num_rows) if size else 0
        unpacked = size if path.suffix == ".csv" else 4 * size
        return unpacked // (_CELL_BYTES * columns)
    except (OSError, ValueError, pa.ArrowException):
        return 0


_CELL_BYTES = 8
"""What a cell of a CSV file has, with its delimiter."""


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


# -------------------------------------------------------------------- staging


def stage_parquet(tables: Iterator[pa.Table], schema: Schema, path: Path) -> int:
    """Write rows to one parquet file and return how many there were."""
    rows = 0
    with pq.ParquetWriter(path, arrow_schema(schema), compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
            rows += table.num_rows
    return rows

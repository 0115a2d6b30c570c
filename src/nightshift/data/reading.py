"""Reading the product's parquet files, with what is wrong in one as the product's own error.

Which files count and what their columns are is `openmldb_files`' business; here its errors become
`DataError`, which a night does not retry.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nightshift.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn what is wrong with a file into a `DataError` that names it.

    Raises:
        DataError: with file and, where known, column.
    """
    from openmldb_files import FileError

    try:
        yield
    except FileError as error:
        raise DataError(str(error)) from error


def parquet_files(folder: Path) -> list[Path]:
    """The data files of one partition or snapshot, in the order of their names.

    As a night's LOAD DATA reads it: names that end in `.parquet`, hidden and empty ones ignored.
    """
    from openmldb_files import data_files

    return data_files(folder, suffix=".parquet") if folder.is_dir() else []


def batches(
    paths: Sequence[Path],
    *,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
    batch_rows: int = 65_536,
    encoded: Collection[str] = (),
    threads: bool = True,
) -> Iterator[pa.RecordBatch]:
    """Rows of several files, as `openmldb_files.read_parquet` gives them.

    Raises:
        DataError: a file is not parquet or lacks a column.
    """
    from openmldb_files import read_parquet

    with told():
        for path in paths:
            yield from read_parquet(
                path,
                columns=columns,
                where=where,
                batch_rows=batch_rows,
                encoded=encoded,
                threads=threads,
            )


def rows(paths: Sequence[Path]) -> int:
    """Rows of several files, from their footers.

    Raises:
        DataError: a file is not parquet.
    """
    from openmldb_files import rows_of

    with told():
        return sum(rows_of(path) for path in paths)


def null_counts(paths: Sequence[Path], columns: Collection[str]) -> dict[str, int]:
    """NULLs of some columns of several files, from their footers; a column without is left out.

    Raises:
        DataError: a file is not parquet.
    """
    from openmldb_files import nulls_of

    found: dict[str, int] = {}
    unknown: set[str] = set()
    with told():
        for path in paths:
            for name, count in nulls_of(path, columns).items():
                if count is None:
                    unknown.add(name)
                else:
                    found[name] = found.get(name, 0) + count
    return {name: count for name, count in found.items() if name not in unknown}


def newest_ms(paths: Sequence[Path], column: str) -> int | None:
    """The newest time of a timestamp column, in milliseconds; None where there is none.

    Raises:
        DataError: a file is not parquet or lacks the column.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    newest: int | None = None
    for batch in batches(paths, columns=[column]):
        found = batch.column(0)
        if not pa.types.is_timestamp(found.type):
            return None
        top = pc.max(found.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())).as_py()
        if top is not None and (newest is None or top > newest):
            newest = top
    return newest


def table(
    paths: Sequence[Path],
    *,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
) -> pa.Table:
    """Rows of several files in one table, whose columns are in the first file's order.

    Raises:
        DataError: there is no file, one is not parquet, or two differ in their columns.
    """
    import pyarrow as pa
    from openmldb_files import FileError, normal_schema, read_parquet

    if not paths:
        raise DataError("there is no file to read")
    with told():
        schema = normal_schema(paths[0])
        wanted = list(columns) if columns is not None else schema.names
        parts: list[pa.RecordBatch] = []
        for path in paths:
            # First, so that a column which the file lacks is named.
            parts += list(read_parquet(path, columns=wanted, where=where))
            other = normal_schema(path)
            for name in wanted:
                if other.field(name).type != schema.field(name).type:
                    raise FileError(
                        path,
                        f"it is {other.field(name).type} here and {schema.field(name).type} in "
                        f"{paths[0].name}",
                        column=name,
                        hint="write all files of a table with one schema",
                    )
        return pa.Table.from_batches(parts, pa.schema([schema.field(n) for n in wanted]))

"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from openmldb_files import columns_of, open_parquet

from nightshift.data.readers import TextForm


def names(path: Path, form: TextForm) -> list[str]:
    """The columns of a file; see `Reader`."""
    del form
    return [column.name for column in columns_of(path)]


def batches(path: Path, columns: Sequence[str], form: TextForm) -> Iterator[pa.RecordBatch]:
    """The rows of a file, of these columns alone; see `Reader`."""
    del form
    with open_parquet(path) as file:
        wanted = [name for name in file.schema_arrow.names if name in columns]
        yield from file.iter_batches(columns=wanted)

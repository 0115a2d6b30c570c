"""CSV and TSV files, plain or gzipped: every cell as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from openmldb_files.delimited import Dialect, header_of, read_delimited

from nightshift.data.readers import TextForm


def names(path: Path, form: TextForm) -> list[str]:
    """The cells of the header; see `Reader`."""
    return header_of(path, Dialect(form.delimiter, form.encoding))


def batches(path: Path, columns: Sequence[str], form: TextForm) -> Iterator[pa.RecordBatch]:
    """The rows of a file, with all of its columns; see `Reader`."""
    del columns
    yield from read_delimited(path, Dialect(form.delimiter, form.encoding))

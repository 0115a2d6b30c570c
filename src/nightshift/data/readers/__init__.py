"""What `data load` reads: a module here for each format, and a line for each ending of a name."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import pyarrow as pa

READERS: Mapping[str, str] = {
    ".parquet": "parquet",
    ".csv": "delimited",
    ".csv.gz": "delimited",
    ".tsv": "delimited",
    ".tsv.gz": "delimited",
}
"""Modules of this package by the endings of the names that they read."""

SUFFIXES = tuple(READERS)


@dataclass(frozen=True)
class TextForm:
    """How text files are written, where the caller says it.

    Attributes:
        delimiter: between cells; None: by the file's name.
        encoding: of the text.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"


class Reader(Protocol):
    """The functions of a reader's module."""

    def names(self, path: Path, form: TextForm) -> list[str]:
        """The columns of a file, in its order.

        Raises:
            FileError: it is not of the format.
        """

    def batches(
        self, path: Path, columns: Sequence[str], form: TextForm
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a file, at least of those of the columns that it has.

        Raises:
            FileError: a row cannot be read.
        """


def reader_of(path: Path) -> Reader:
    """The reader of a file whose name has one of the `SUFFIXES`."""
    module = next(name for suffix, name in READERS.items() if path.name.endswith(suffix))
    return cast("Reader", importlib.import_module(f"{__name__}.{module}"))

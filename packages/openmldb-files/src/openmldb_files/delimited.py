"""CSV, read strictly: columns by the header's names, every cell as text, nothing repaired.

An empty cell is NULL, `""` is the empty text. A backslash is a character like any other.
"""

from __future__ import annotations

import contextlib
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from openmldb_files.errors import FileError

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_BLOCK = 8 * 2**20


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Attributes:
        delimiter: between cells; a tab for names that end in `.tsv`, where not given.
        encoding: of the text.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"

    def of(self, path: Path) -> str:
        """The delimiter of one file."""
        if self.delimiter is not None:
            return self.delimiter
        return "\t" if path.name.endswith((".tsv", ".tsv.gz")) else ","


def header_of(path: Path, dialect: Dialect = Dialect()) -> list[str]:
    """The names in the first line.

    Raises:
        FileError: the file is empty, not of the encoding, or names a column twice.
    """
    with _opened(path, dialect) as reader:
        names = list(reader.schema.names)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FileError(path, "the header names the column twice", column=twice[0])
    return names


def read_delimited(path: Path, dialect: Dialect = Dialect()) -> Iterator[pa.RecordBatch]:
    """The rows of a file, each column as text.

    Raises:
        FileError: a row has more or fewer cells than the header, a quote is never closed, the
            text is not of the encoding, or the file is cut short.
    """
    path = Path(path)
    header_of(path, dialect)
    with _opened(path, dialect) as reader:
        yield from reader


@contextlib.contextmanager
def _opened(path: Path, dialect: Dialect) -> Iterator[pacsv.CSVStreamingReader]:
    if path.stat().st_size == 0:
        raise FileError(path, "the file is empty (0 bytes): not even a header is there")
    hint = (
        f"say its encoding (--encoding), or write it in {dialect.encoding}"
        if dialect.encoding.lower().replace("-", "") == "utf8"
        else ""
    )
    names = _names(path, dialect, hint)
    try:
        with pacsv.open_csv(
            path,
            pacsv.ReadOptions(block_size=_BLOCK, encoding=dialect.encoding),
            pacsv.ParseOptions(delimiter=dialect.of(path), newlines_in_values=True),
            pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        ) as reader:
            yield reader
    except (FileError, MemoryError):
        raise
    except (UnicodeError, LookupError) as error:
        raise FileError(path, f"it is no {dialect.encoding} text: {error}", hint=hint) from error
    except (OSError, pa.ArrowException, EOFError, zlib.error) as error:
        text = str(error)
        raise FileError(path, text, hint=hint if "UTF8" in text else "") from error


def _names(path: Path, dialect: Dialect, hint: str) -> list[str]:
    """The header's cells, so that every column can be declared text before one row is read."""
    try:
        with pacsv.open_csv(
            path,
            pacsv.ReadOptions(block_size=_BLOCK, encoding=dialect.encoding),
            pacsv.ParseOptions(delimiter=dialect.of(path), newlines_in_values=True),
        ) as reader:
            return list(reader.schema.names)
    except (UnicodeError, LookupError) as error:
        raise FileError(path, f"it is no {dialect.encoding} text: {error}", hint=hint) from error
    except (OSError, pa.ArrowException, EOFError, zlib.error) as error:
        raise FileError(path, str(error), hint=hint if "UTF8" in str(error) else "") from error

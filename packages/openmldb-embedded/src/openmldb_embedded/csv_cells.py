"""The cells of CSV files as Spark 3.2 cuts and reads them, which OpenMLDB's batch engine is.

A file is a sequence of lines, whatever its quotes say. A cell that begins with a quote ends with
the next one before a delimiter; where anything else follows a quote, the cell goes on to the
delimiter. Bytes that are no UTF-8 become U+FFFD. Rows that are too short are filled up with
NULL, the rest of a row that is too long is lost, and what does not parse is NULL.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import itertools
import math
import mmap
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from openmldb_sql.types import ColumnDef, Schema, SqlType

from openmldb_embedded.csv_times import MOST_MS, NoDateError, to_days, to_long, to_milliseconds
from openmldb_embedded.dtypes import ARROW
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.options import FileOptions
from openmldb_embedded.wire import RANGES

_BLOCK = 8 * 2**20
_HEAD_BYTES = 1 << 16
_SLOW_ROWS = 1 << 16
_BOM = codecs.BOM_UTF8
_UNPACKED: dict[str, Callable[[Path], io.BufferedIOBase]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
}
_NOT_UNPACKED = (".deflate", ".lz4", ".snappy", ".zst")
"""Further endings by which Hadoop unpacks a file."""


def read_csv(path: Path, schema: Schema, options: FileOptions) -> Iterator[pa.Table]:
    """The rows of a file, some at a time, as tables of the schema's Arrow types.

    Raises:
        ExecutionError: The header has the table's columns in another order; a date is none.
    """
    if options.header:
        _check_header(path, schema, options)
    content = _content(path)
    if not content:
        return
    if _is_regular(content, options.quote, options.delimiter):
        tables = _by_arrow(content, schema, options)
    else:
        tables = _by_lines(content, schema, options)
    longs = _times_of(content, schema, options)
    for texts in tables:
        columns = [
            _parse_cells(column, definition, path, longs)
            for column, definition in zip(texts, schema.columns, strict=True)
        ]
        if columns[0]:
            yield pa.Table.from_arrays(
                columns, schema=pa.schema([(c.name, ARROW[c.type]) for c in schema.columns])
            )


def _times_of(content: bytes | mmap.mmap, schema: Schema, options: FileOptions) -> dict[str, bool]:
    """By column of times, whether the file's first rows have milliseconds; else later ones say."""
    names = [c.name for c in schema.columns if c.type is SqlType.TIMESTAMP]
    longs: dict[str, bool] = {}
    if names:
        head = bytes(content[:_HEAD_BYTES])
        if len(head) < len(content):
            head = head[: head.rfind(b"\n") + 1]
        for texts in _by_lines(head, schema, options) if head else ():
            for name in names:
                _decide(texts[schema.names.index(name)], name, longs)
    return longs


def _opened(path: Path) -> io.BufferedIOBase:
    """A CSV's bytes. Hadoop unpacks by the end of the name.

    Raises:
        ExecutionError: Packed in a way that is not read here.
    """
    if path.suffix in _NOT_UNPACKED:
        raise ExecutionError(
            f"{path}: {path.suffix} files are not read; unpack it, or pack it as .gz or .bz2"
        )
    return _UNPACKED[path.suffix](path) if path.suffix in _UNPACKED else path.open("rb")


def _content(path: Path) -> bytes | mmap.mmap:
    if path.stat().st_size == 0:
        return b""
    with _opened(path) as file:
        if path.suffix in _UNPACKED:
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _check_header(path: Path, schema: Schema, options: FileOptions) -> None:
    """Refuse the table's own names in another order: cells are taken by their place alone."""
    with _opened(path) as file:
        line = file.readline().decode("utf-8-sig", "replace").rstrip("\r\n")
    header = [cell or "" for cell in split_line(line, options.delimiter, options.quote)]
    header, names = [cell.strip() for cell in header], schema.names
    if header != names and sorted(header) == sorted(names):
        raise ExecutionError(
            f"{path}: the header has the table's columns in another order "
            f"({', '.join(header)}); cells are taken by position: reorder the file"
        )


def _is_regular(content: bytes | mmap.mmap, quote: str, delimiter: str) -> bool:
    """Whether Arrow's reader cuts a file into the same cells as Spark's does."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(content), _BLOCK):
            decoder.decode(content[start : start + _BLOCK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    mark = quote.encode()
    if not mark or content.find(mark) < 0:
        return True
    # Each quote is one of two that hold a whole cell, with neither quote nor backslash in it.
    q, edge = re.escape(mark), re.escape(delimiter.encode())
    cell = re.compile(
        rb"(?:(?<=[\r\n" + edge + rb"])|\A)" + q + rb"[^\r\n\\" + q + rb"]*" + q
        + rb"(?=[\r\n" + edge + rb"]|\Z)"
    )  # fmt: skip
    cells = sum(1 for _ in cell.finditer(content))
    return sum(1 for _ in re.finditer(q, content)) == 2 * cells


def _by_arrow(
    content: bytes | mmap.mmap, schema: Schema, options: FileOptions
) -> Iterator[Sequence[pa.Array]]:
    names = schema.names
    odd: list[str] = []

    def keep(row: pacsv.InvalidRow) -> str:
        if row.text.strip():
            odd.append(row.text)
        return "skip"

    body = content[len(_BOM) :] if content[: len(_BOM)] == _BOM else content
    if options.header:
        end = body.find(b"\n")
        if end < 0 or end + 1 == len(body):
            return
        body = memoryview(body)[end + 1 :]  # type: ignore[assignment]
    reader = pacsv.open_csv(
        pa.BufferReader(body),
        pacsv.ReadOptions(column_names=names, block_size=_BLOCK),
        pacsv.ParseOptions(
            delimiter=options.delimiter,
            quote_char=options.quote or False,
            double_quote=False,
            invalid_row_handler=keep,
        ),
        pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    with reader:
        for batch in reader:
            yield [_nulled(column, options.null_value) for column in batch.columns]
    for start in range(0, len(odd), _SLOW_ROWS):
        yield _columns(odd[start : start + _SLOW_ROWS], len(names), options)


def _nulled(cells: pa.Array, null: str) -> pa.Array:
    return pc.if_else(pc.equal(cells, null), None, cells)


def _by_lines(
    content: bytes | mmap.mmap, schema: Schema, options: FileOptions
) -> Iterator[Sequence[pa.Array]]:
    file = io.TextIOWrapper(
        io.BytesIO(content[:]), encoding="utf-8-sig", errors="replace", newline=None
    )
    if options.header:
        file.readline()
    lines = (line.rstrip("\n") for line in file if line.strip())
    while some := list(itertools.islice(lines, _SLOW_ROWS)):
        yield _columns(some, len(schema.columns), options)


def _columns(lines: Sequence[str], width: int, options: FileOptions) -> list[pa.Array]:
    rows = [split_line(line.rstrip("\r\n"), options.delimiter, options.quote) for line in lines]
    filled = [(row + [None] * (width - len(row)))[:width] for row in rows]
    return [
        _nulled(pa.array(column, pa.string()), options.null_value)
        for column in zip(*filled, strict=True)
    ]


def split_line(line: str, delimiter: str, quote: str) -> list[str | None]:
    """The cells of one line; None for one of no characters."""
    cells: list[str | None] = []
    at, end = 0, len(line)
    while True:
        if quote and line.startswith(quote, at):
            cell, at = _quoted_cell(line, at, delimiter, quote)
            cells.append(cell)
        else:
            stop = line.find(delimiter, at)
            stop = end if stop < 0 else stop
            cells.append(line[at:stop] or None)
            at = stop
        if at >= end:
            return cells
        at += 1
        if at == end:
            return [*cells, None]


def _quoted_cell(line: str, start: int, delimiter: str, quote: str) -> tuple[str, int]:
    """A cell that begins with a quote, and the place behind it.

    A backslash stands for itself, but two are one, and one before a quote makes it a character. The
    cell ends with a quote before a delimiter, blanks between them are lost; where anything else
    follows a quote, the cell goes on to the delimiter with all its quotes.
    """
    parts: list[str] = []
    at, end, former = start + 1, len(line), ""
    if at == end:
        return quote, end
    while at < end:
        char = line[at]
        if former == quote and (char == delimiter or char <= " "):
            behind = at
            while behind < end and line[behind] <= " " and line[behind] != delimiter:
                behind += 1
            if behind == end or line[behind] == delimiter:
                return "".join(parts), behind
        if former == quote and char not in (quote, "\\"):
            stop = line.find(delimiter, at)
            stop = end if stop < 0 else stop
            return f"{quote}{''.join(parts)}{quote}{line[at:stop]}", stop
        if char == quote or char == "\\":
            if former == "\\":
                parts.append(char)
                char = ""
            elif former == quote:
                parts.append(quote)
            at += 1
        else:
            if former == "\\":
                parts.append(former)
            stops = [place for c in (quote, "\\") if (place := line.find(c, at)) >= 0]
            stop = min(stops, default=end)
            parts.append(line[at:stop])
            char = line[stop : stop + 1]
            at = stop + 1
        former = char
    return "".join(parts), end


_INTEGER = r"^[+-]?\d{1,18}$"
_NUMBER = r"^[\x00-\x20]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[fFdD]?[\x00-\x20]*$"
_OTHER_NUMBER = re.compile(
    r"([+-]?)(?:(NaN)|(Infinity)|(0[xX](?:[0-9a-fA-F]+\.?|[0-9a-fA-F]*\.[0-9a-fA-F]+)"
    r"[pP][+-]?[0-9]+)[fFdD]?)"
)
_BLANKS = "".join(map(chr, range(0x21)))
_SPECIAL = {"NaN": "nan", "Inf": "inf", "-Inf": "-inf"}


def _parse_cells(
    cells: pa.Array, column: ColumnDef, path: Path, longs: dict[str, bool]
) -> pa.Array:
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
        return _floats(cells, ARROW[kind])
    if kind is SqlType.BOOL:
        lower = pc.utf8_lower(cells)
        true, false = pc.equal(lower, "true"), pc.equal(lower, "false")
        return pc.if_else(pc.or_(true, false), true, None)
    if kind is SqlType.TIMESTAMP:
        _decide(cells, column.name, longs)
        if longs.get(column.name):
            moments = pc.min_element_wise(_integers(cells), MOST_MS, skip_nulls=False)
            moments = pc.max_element_wise(moments, -MOST_MS - 1, skip_nulls=False)
            return moments.cast(pa.timestamp("ms"))
    distinct = cells.dictionary_encode()
    texts = distinct.dictionary.to_pylist()
    if kind is SqlType.DATE:
        try:
            days = pa.array([to_days(text) for text in texts], pa.int32())
        except NoDateError as error:
            raise ExecutionError(f"{path}, column {column.name}: {error}") from error
        return days.cast(pa.date32()).take(distinct.indices)
    moments = pa.array([to_milliseconds(text) for text in texts], pa.int64())
    return moments.cast(pa.timestamp("ms")).take(distinct.indices)


def _decide(cells: pa.Array, name: str, longs: dict[str, bool]) -> None:
    """Whether a file's times are milliseconds: its first one that is not NULL says so for all."""
    if name not in longs:
        first = pc.index(cells.is_valid(), value=True).as_py()
        if first >= 0:
            longs[name] = to_long(cells[first].as_py()) is not None


def _integers(cells: pa.Array) -> pa.Array:
    plain = pc.match_substring_regex(cells, _INTEGER)
    good = pc.if_else(plain, cells, None)
    good = pc.if_else(pc.starts_with(good, "+"), pc.utf8_slice_codeunits(good, 1), good)
    numbers = good.cast(pa.int64())
    if numbers.null_count == cells.null_count:
        return numbers
    # Nineteen digits, leading zeros, digits of other scripts: rare, so one at a time.
    others = pc.if_else(plain, None, cells).to_pylist()
    more = pa.array([None if one is None else to_long(one) for one in others], pa.int64())
    return pc.coalesce(numbers, more)


def _floats(cells: pa.Array, kind: pa.DataType) -> pa.Array:
    good = pc.match_substring_regex(cells, _NUMBER)
    text = pc.ascii_trim(pc.if_else(good, cells, None), _BLANKS)
    text = pc.if_else(pc.starts_with(text, "+"), pc.utf8_slice_codeunits(text, 1), text)
    text = pc.replace_substring_regex(text, r"(\d\.?)[fFdD]$", r"\1")
    with np.errstate(over="ignore"):
        numbers = text.cast(kind)
    if numbers.null_count == cells.null_count:
        return numbers
    others = pc.if_else(good, None, cells).to_pylist()
    with np.errstate(over="ignore"):
        more = pa.array(
            [None if one is None else _other_float(one) for one in others], pa.float64()
        )
    return pc.coalesce(numbers, more.cast(kind, safe=False))


def _other_float(text: str) -> float | None:
    """What Spark and Java take for a number beside decimals; None for other text."""
    if text in _SPECIAL:
        return float(_SPECIAL[text])
    found = _OTHER_NUMBER.fullmatch(text.strip(_BLANKS))
    if found is None:
        return None
    sign, nan, infinity, digits = found.groups()
    try:
        number = math.nan if nan else math.inf if infinity else float.fromhex(digits)
    except OverflowError:
        number = math.inf
    return -number if sign == "-" else number

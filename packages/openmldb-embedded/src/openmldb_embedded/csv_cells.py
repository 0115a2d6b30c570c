"""The cells of CSV files as Spark 3.2 cuts and reads them, which OpenMLDB's batch engine is.

A file is a sequence of lines, whatever its quotes say. A cell that begins with a quote ends with
the next one before a delimiter; where anything else follows a quote, the cell is as it stands, up
to the delimiter. Bytes that are no UTF-8 become U+FFFD. Rows that are too short are filled up with
NULL, the rest of a row that is too long is lost, and what does not parse is NULL.
"""

from __future__ import annotations

import codecs
import datetime as dt
import gzip
import io
import itertools
import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from openmldb_sql.types import ColumnDef, Schema, SqlType

from openmldb_embedded.dtypes import ARROW
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.options import FileOptions
from openmldb_embedded.wire import RANGES, to_moment

_BLOCK = 8 * 2**20
_SLOW_ROWS = 1 << 16
_BOM = codecs.BOM_UTF8


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
    for texts in tables:
        columns = [
            _parse_cells(column, definition, path)
            for column, definition in zip(texts, schema.columns, strict=True)
        ]
        if columns[0]:
            yield pa.Table.from_arrays(
                columns, schema=pa.schema([(c.name, ARROW[c.type]) for c in schema.columns])
            )


def _opened(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """A CSV's bytes; Hadoop reads one that ends in `.gz` as gzip."""
    return gzip.open(path) if path.name.endswith(".gz") else path.open("rb")


def _content(path: Path) -> bytes | mmap.mmap:
    if path.stat().st_size == 0:
        return b""
    if path.name.endswith(".gz"):
        with gzip.open(path) as packed:
            return packed.read()
    with path.open("rb") as file:
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
    """A cell that begins with a quote, and the place behind it."""
    parts: list[str] = []
    at, end = start + 1, len(line)
    while at < end:
        char = line[at]
        if char == "\\":
            # Backslashes escape where a quote follows them, and are themselves anywhere else.
            run = len(line) - at - len(line[at:].lstrip("\\"))
            at += run
            if line[at : at + 1] != quote:
                parts.append("\\" * run)
            else:
                parts.append("\\" * (run // 2) + quote * (run % 2))
                at += run % 2
        elif char == quote:
            if at + 1 == end or line[at + 1] == delimiter:
                return "".join(parts), at + 1
            stop = line.find(delimiter, at)
            stop = end if stop < 0 else stop
            return line[start:stop], stop
        else:
            parts.append(char)
            at += 1
    return "".join(parts), end  # no quote ends it: the line does


_INTEGER = r"^[+-]?\d{1,19}$"
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[fFdD]?\s*$"
_SPECIAL = {"NaN": "nan", "Infinity": "inf", "Inf": "inf", "-Infinity": "-inf", "-Inf": "-inf"}
_DATE = re.compile(r"\s*\d{4}-\d{1,2}-\d{1,2}(?:[ T].*)?")


def _parse_cells(cells: pa.Array, column: ColumnDef, path: Path) -> pa.Array:
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
        text = pc.replace_substring_regex(text, r"(\d\.?)[fFdD]$", r"\1")
        with np.errstate(over="ignore"):
            doubles = text.cast(pa.float64())
        return doubles.cast(ARROW[kind], safe=False)
    if kind is SqlType.BOOL:
        lower = pc.utf8_lower(cells)
        true, false = pc.equal(lower, "true"), pc.equal(lower, "false")
        return pc.if_else(pc.or_(true, false), true, None)
    distinct = cells.dictionary_encode()
    texts = distinct.dictionary.to_pylist()
    if kind is SqlType.DATE:
        days = [_day(text, column.name, path) for text in texts]
        return pa.array(days, pa.int32()).cast(pa.date32()).take(distinct.indices)
    moments = [_milliseconds(text) for text in texts]
    return pa.array(moments, pa.int64()).cast(pa.timestamp("ms")).take(distinct.indices)


def _integers(cells: pa.Array) -> pa.Array:
    good = pc.if_else(pc.match_substring_regex(cells, _INTEGER), cells, None)
    good = pc.if_else(pc.starts_with(good, "+"), pc.utf8_slice_codeunits(good, 1), good)
    try:
        return good.cast(pa.int64())
    except pa.ArrowInvalid:  # nineteen digits may be too many: rare, so one at a time
        numbers = [None if text is None else int(text) for text in good.to_pylist()]
        low, high = RANGES[SqlType.INT64]
        return pa.array([n if n is not None and low <= n <= high else None for n in numbers])


def _day(text: str, column: str, path: Path) -> int | None:
    if _DATE.fullmatch(text) is None:
        return None
    day = re.split(r"[ T]", text.strip(), maxsplit=1)[0]
    moment = to_moment(day)
    if moment is None:
        raise ExecutionError(f"{path}, column {column}: {day} is no date of the calendar")
    return (moment + 8 * 3_600_000) // 86_400_000


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

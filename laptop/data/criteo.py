"""Files of the Criteo display advertising data as the tables of the pipeline `criteo`.

Two formats are read, each plain or gzipped, and told apart by the first line:

- Criteo's own: tab-separated label, 13 integers, 26 categories of 8 hex digits; missing is empty;
- PaddleRec's slot text: `click:0 dense_feature:0.05 ... 1:715353 ... 26:306163`, between blanks or
  tabs, with 13 dense features; a slot that is missing is left out.

Neither holds a time or an id of a row. A row's id is its number; the rows, which lie in the order
of their time, are spread evenly over a number of days. Where every file is named `day_<n>`, as in
Criteo's terabyte log, each file is a day.
"""

from __future__ import annotations

import datetime as dt
import gzip
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from nightshift.errors import DataError
from nightshift.layout import DAY_MS, day_start_ms

PIPELINE = "criteo"
DENSE = tuple(f"i{n}" for n in range(1, 14))
CATEGORIES = tuple(f"c{n}" for n in range(1, 27))
COLUMNS = ("label", *DENSE, *CATEGORIES)
DEFAULT_DAYS = 7
"""As many as the challenge's training file covers."""

_DAY_FILE = re.compile(r"day_(\d+)(?:\.|$)")
_BLOCK = 16 << 20
_LINES = 50_000
_CLICK, _DENSE_KEY = "click", "dense_feature"


@dataclass(frozen=True)
class Found:
    """What was laid out.

    Attributes:
        rows: of all files.
        positives: of them.
        format: `criteo` or `slot`.
        days: on which rows lie.
    """

    rows: int
    positives: int
    format: str
    days: int


def files_of(place: Path) -> list[Path]:
    """The data files of a file or folder, in the order of their numbers.

    Raises:
        DataError: there is none.
    """
    if place.is_file():
        return [place]
    found = [
        path
        for path in (place.iterdir() if place.is_dir() else ())
        if path.is_file() and not path.name.startswith(("_", "."))
    ]
    if not found:
        raise DataError(f"{place} is neither a file nor a folder of files in Criteo's format")
    return sorted(found, key=lambda path: [_number(part) for part in re.split(r"(\d+)", path.name)])


def _number(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdecimal() else (-1, part)


def write_tables(
    sources: Sequence[Path],
    to: Path,
    *,
    end: dt.date,
    days: int,
    said: Callable[[str], None] = lambda text: None,
) -> Found:
    """Write the tables `impression` and `click`, one block of rows a file.

    Args:
        sources: files, earliest first, all of one format.
        to: an existing folder.
        end: the last day (UTC+8).
        days: days that the rows are spread over; where each file is a day it does not count.
        said: told how far it is.

    Returns:
        What was found.

    Raises:
        DataError: a line is not of its file's format; the message names file and line.
    """
    formats = {path: format_of(path) for path in sources}
    if len(set(formats.values())) > 1:
        raise DataError(
            f"files of two formats: {', '.join(f'{p}: {f}' for p, f in formats.items())}"
        )
    clock = _Clock([(path, _count(path)) for path in sources], end, days)
    for name in ("impression", "click"):
        (to / name).mkdir()
    rows = positives = parts = 0
    for path in sources:
        read = _criteo if formats[path] == "criteo" else _slots
        for table in read(path):
            at = clock.times(path, rows, len(table))
            positives += _write(table, at, rows, to, parts)
            rows, parts = rows + len(table), parts + 1
            said(f"{path.name}: {rows} rows")
    return Found(rows, positives, formats[sources[0]], clock.days)


def format_of(path: Path) -> str:
    """`criteo` or `slot`, by the first line.

    Raises:
        DataError: it is neither.
    """
    try:
        with _opened(path) as file:
            line = file.readline(1 << 16).decode("utf-8", "replace").rstrip("\r\n")
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if not line.strip():
        raise DataError(
            f"{path}: its first line is empty; a row of Criteo's or PaddleRec's begins there"
        )
    if re.match(rf"{_CLICK}:\S", line):
        return "slot"
    cells = line.count("\t") + 1
    if cells == len(COLUMNS):
        return "criteo"
    if cells == len(COLUMNS) - 1:
        raise DataError(
            f"{path} has {cells} cells a line and no label, as Criteo's test file; it takes the "
            "training file, whose first cell is 0 or 1"
        )
    raise DataError(
        f"{path}: the first line has {cells} cell(s) between tabs; Criteo's format has "
        f"{len(COLUMNS)} (label, 13 integers, 26 categories), PaddleRec's begins with {_CLICK}:0"
    )


class _Clock:
    """The times that rows are given."""

    def __init__(self, counts: Sequence[tuple[Path, int]], end: dt.date, days: int) -> None:
        numbers = [_DAY_FILE.search(path.name) for path, _ in counts]
        self._by_file = len(counts) > 1 and all(numbers)
        self.days = len(counts) if self._by_file else days
        self._total = sum(count for _, count in counts)
        self._start = day_start_ms(end - dt.timedelta(days=self.days - 1))
        self._first: dict[Path, tuple[int, int, int]] = {}
        before = 0
        for day, (path, count) in enumerate(counts):
            self._first[path] = (day, before, count)
            before += count

    def times(self, path: Path, first: int, count: int) -> npt.NDArray[np.int64]:
        """Milliseconds since 1970 of `count` rows, `first` of which lie before them in all."""
        at = np.arange(first, first + count, dtype=np.int64)
        if not self._by_file:
            return self._start + at * (self.days * DAY_MS) // max(self._total, 1)
        day, before, rows = self._first[path]
        return self._start + day * DAY_MS + (at - before) * DAY_MS // max(rows, 1)


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _count(path: Path) -> int:
    """Lines of a file."""
    count, last = 0, b"\n"
    try:
        with _opened(path) as file:
            while block := file.read(_BLOCK):
                count, last = count + block.count(b"\n"), block[-1:]
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    return count + (last != b"\n")


def _criteo(path: Path) -> Iterator[pa.Table]:
    kinds = dict.fromkeys(DENSE, pa.float64()) | dict.fromkeys(CATEGORIES, pa.string())
    try:
        with _opened(path) as file:
            reader = pcsv.open_csv(
                file,
                read_options=pcsv.ReadOptions(
                    column_names=list(COLUMNS), block_size=_BLOCK, use_threads=False
                ),
                parse_options=pcsv.ParseOptions(
                    delimiter="\t", quote_char=False, ignore_empty_lines=False
                ),
                convert_options=pcsv.ConvertOptions(
                    column_types={"label": pa.int32(), **kinds},
                    null_values=["", " "],
                    strings_can_be_null=True,
                ),
            )
            for batch in reader:
                if batch.num_rows:
                    yield _labelled(pa.Table.from_batches([batch]), path)
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        raise DataError(f"{path}: {error}") from None


def _slots(path: Path) -> Iterator[pa.Table]:
    rows: list[list[str | float | None]] = []
    with _opened(path) as file:
        for number, raw in enumerate(file, 1):
            rows.append(_slot_row(raw.decode("utf-8", "replace"), f"{path}, line {number}"))
            if len(rows) == _LINES:
                yield _labelled(_table(rows), path)
                rows = []
    if rows:
        yield _labelled(_table(rows), path)


def _slot_row(line: str, where: str) -> list[str | float | None]:
    row: list[str | float | None] = [None] * len(COLUMNS)
    dense = 0
    for cell in line.split():
        key, colon, value = cell.rpartition(":")
        try:
            if key == _CLICK:
                at, row[0] = 0, int(value)
            elif key == _DENSE_KEY:
                dense += 1
                at = dense
                if dense <= len(DENSE):
                    row[at] = float(value)
            else:
                slot = int(key)
                if not 1 <= slot <= len(CATEGORIES):
                    raise ValueError(f"slot {slot} is not 1 to {len(CATEGORIES)}")
                at = len(DENSE) + slot
                if row[at] is not None:
                    raise ValueError(f"slot {slot} is there twice, and has one value a row")
                row[at] = value
        except ValueError as error:
            raise DataError(f"{where}: {cell!r}: {error}") from None
        if not colon or not value:
            raise DataError(f"{where}: {cell!r} is not name:value")
    if row[0] is None:
        raise DataError(f"{where}: there is no {_CLICK}:0 or {_CLICK}:1")
    if dense != len(DENSE):
        raise DataError(f"{where}: {dense} of {_DENSE_KEY}, and there must be {len(DENSE)}")
    return row


def _table(rows: list[list[str | float | None]]) -> pa.Table:
    kinds = [pa.int32(), *[pa.float64()] * len(DENSE), *[pa.string()] * len(CATEGORIES)]
    columns = zip(*rows, strict=True)
    return pa.table(
        {
            name: pa.array(values, kind)
            for name, kind, values in zip(COLUMNS, kinds, columns, strict=True)
        }
    )


def _labelled(table: pa.Table, path: Path) -> pa.Table:
    labels = table["label"]
    wrong = pc.invert(pc.is_in(labels, value_set=pa.array([0, 1], pa.int32())))
    if pc.any(wrong).as_py():
        at = pc.index(wrong, True).as_py()
        raise DataError(
            f"{path}: a label is {labels[at].as_py()} (row {at + 1} of its block); it must be 0 or 1"
        )
    return table


def _write(table: pa.Table, at: npt.NDArray[np.int64], first: int, to: Path, part: int) -> int:
    """Write a block as both tables; its positives."""
    ids = pa.array(np.arange(first + 1, first + 1 + len(table)), pa.int64())
    times = pa.array(at, pa.timestamp("ms"))
    own = {name: table[name] for name in (*DENSE, *CATEGORIES)}
    tables = {
        "impression": {"request_id": ids, "at": times, **own},
        "click": {"request_id": ids, "at": times, "clicked": table["label"]},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), to / name / f"part-{part:05}.parquet")
    positives: int = pc.sum(table["label"]).as_py()
    return positives

"""`POST .../upload`: a csv or parquet file of request rows, answered as the same format.

The file is spooled to the disk as it arrives, scored in chunks, and answered from a second file,
so that memory does not grow with it and every answer has its right status. All of it is scored by
one release. A row that does not fit keeps its place: its score is empty and `error` says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from python_multipart.multipart import MultipartParser, parse_options_header

from nightshift.settings import Settings
from nightshift.spreadsheets import inert
from predict_server import arrow
from predict_server.errors import InvalidRows, RequestError
from predict_server.exchange import Exchange
from predict_server.families.base import Release
from predict_server.families.ctr import CtrRelease
from predict_server.hosts import Host
from predict_server.parquet_pages import Footer, PagesError, TooLargeError, check_pages
from predict_server.payload import printable, shown

CHUNK = 500
"""Rows scored at once."""

AT_ONCE = 2
"""Uploads of one worker at a time; the others are answered 429."""

MEMORY = 4 * 1024 * 1024
"""Bytes of a file that stay in memory; more go to the disk."""

PIECE = 256 * 1024

CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
_TYPES = {
    CSV: CSV,
    "application/csv": CSV,
    PARQUET: PARQUET,
    "application/parquet": PARQUET,
    "application/x-parquet": PARQUET,
}
RELEASE = b"x-nightshift-release"
ROWS = b"x-nightshift-rows"
FAILED = b"x-nightshift-failed-rows"

_T = TypeVar("_T")
Cells = Callable[[str], str]


@dataclass
class Result:
    """A scored file.

    Attributes:
        file: the answer, at its beginning.
        release: the release that scored all of it.
        rows: how many it has.
        failed: how many of them have an error instead of a score.
    """

    file: IO[bytes]
    release: str
    rows: int = 0
    failed: int = 0


class Uploads:
    """Scores uploaded files.

    Args:
        settings: limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload")
        self._at_work = 0

    async def answer(self, host: Host, exchange: Exchange) -> None:
        """Answer one upload.

        Raises:
            RequestError: it is of another type, too big, or no such file.
            BackendError: no release is live, or a part behind it does not answer.
        """
        if self._at_work >= AT_ONCE:
            raise RequestError(
                429, "overloaded", f"{self._at_work} uploads are at work; try again later"
            )
        spreadsheet = exchange.flag("spreadsheet")
        self._at_work += 1
        try:
            with tempfile.SpooledTemporaryFile(MEMORY) as source:
                kind = await self._receive(exchange, source)
                cells = inert if spreadsheet else str
                result = await host.by_release(lambda live: self._score(live, kind, source, cells))
            with result.file:
                size = result.file.seek(0, io.SEEK_END)
                result.file.seek(0)
                headers = (
                    (RELEASE, result.release.encode("ascii", "backslashreplace")),
                    (ROWS, b"%d" % result.rows),
                    (FAILED, b"%d" % result.failed),
                )
                await exchange.stream(size, _pieces(result.file), kind, headers)
        finally:
            self._at_work -= 1

    async def _receive(self, exchange: Exchange, target: IO[bytes]) -> str:
        """Spool the body; returns its type."""
        limit = self._settings.predict_max_upload
        header = exchange.header(b"content-type")
        kind, options = parse_options_header(header)
        chunks = exchange.chunks(limit, "NIGHTSHIFT_PREDICT_MAX_UPLOAD")
        if kind == b"multipart/form-data":
            form = _Form(options.get(b"boundary", b""), target)
            async for piece in chunks:
                form.write(piece)
            found = form.type()
        else:
            found = kind.decode("latin-1").strip().lower()
            if found not in _TYPES:
                raise _wrong_type(found)
            async for piece in chunks:
                target.write(piece)
        return _TYPES[found]

    async def _score(self, live: Release, kind: str, source: IO[bytes], cells: Cells) -> Result:
        if not isinstance(live, CtrRelease):
            raise RequestError(404, "no_operation", "this pipeline takes no files of rows")
        source.seek(0)
        target = tempfile.SpooledTemporaryFile(MEMORY)  # noqa: SIM115
        try:
            return await self._copy(live, kind, source, target, cells)
        except BaseException:
            target.close()
            raise

    async def _copy(
        self, live: CtrRelease, kind: str, source: IO[bytes], target: IO[bytes], cells: Cells
    ) -> Result:
        result = Result(target, live.pointer.release_id)
        schema = live.request_schema
        make = partial(_Csv, cells=cells) if kind == CSV else _Parquet
        limit = self._settings.predict_max_upload
        table = await self._in_thread(lambda: make(source, target, schema, limit))
        chunks = table.chunks()
        while (chunk := await self._in_thread(lambda: next(chunks, None))) is not None:
            scores = await self._score_rows(live, chunk)
            await self._in_thread(partial(table.write, chunk, scores))
            result.rows += len(chunk.rows)
            result.failed += sum(1 for error in chunk.errors if error)
        await self._in_thread(table.close)
        return result

    async def _score_rows(self, live: CtrRelease, chunk: _Chunk) -> list[float | None]:
        checked, places = [], []
        for place, row in enumerate(chunk.rows):
            if not chunk.errors[place]:
                try:
                    checked += live.read([row])
                    places.append(place)
                except InvalidRows as error:
                    chunk.errors[place] = "; ".join(
                        f"{p.field}: {p.problem}" if p.field else p.problem for p in error.problems
                    )
        scores: list[float | None] = [None] * len(chunk.rows)
        if checked:
            scored = await self._patiently(live, checked)
            for place, score in zip(places, scored, strict=True):
                scores[place] = score
        return scores

    async def _patiently(self, live: CtrRelease, rows: list[list[Any]]) -> list[float]:
        """Score a chunk; a full queue is waited for, as long as one request may take."""
        end = time.monotonic() + self._settings.predict_timeout_s
        while True:
            try:
                deadline = time.monotonic() + self._settings.predict_timeout_s
                scored = await live.score(rows, deadline)
            except RequestError as error:  # noqa: PERF203
                if error.status != 429 or time.monotonic() > end:
                    raise
                await asyncio.sleep(0.1)
            else:
                return [float(score) for score in scored.scores]

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class _Form:
    """The one file of a form: `curl -F file=@rows.csv`."""

    def __init__(self, boundary: bytes, target: IO[bytes]) -> None:
        self._target = target
        self._headers: dict[str, bytes] = {}
        self._name = self._value = b""
        self._is_file = False
        self._found: str | None = None
        if not boundary:
            raise RequestError(400, "no_form", "the form has no boundary in its content type")
        with _form_errors():
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                },
            )

    def write(self, piece: bytes) -> None:
        with _form_errors():
            self._parser.write(piece)

    def type(self) -> str:
        if self._found is None:
            raise RequestError(422, "invalid_request", "the form holds no file; send one")
        return self._found

    def _begin(self) -> None:
        self._headers = {}

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        name = options.get(b"filename", b"").decode("latin-1").lower()
        self._is_file = bool(name)
        if not self._is_file:
            return
        if self._found is not None:
            raise RequestError(422, "invalid_request", "the form holds two files; send one")
        kind, _ = parse_options_header(self._headers.get("content-type", b""))
        found = kind.decode("latin-1").lower()
        if found not in _TYPES:
            suffix = name.rpartition(".")[2]
            found = {"csv": CSV, "parquet": PARQUET}.get(suffix, found)
        if found not in _TYPES:
            raise _wrong_type(found)
        self._found = found

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._target.write(data[start:end])


@contextlib.contextmanager
def _form_errors() -> Iterator[None]:
    """What the parser of forms raises, as the request's fault."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        why = printable(str(error), 200)
        raise RequestError(400, "no_form", f"the body is not a form: {why}") from None


def _wrong_type(found: str) -> RequestError:
    return RequestError(
        415, "wrong_type", f"the file's type is {shown(found)}; send {CSV} or {PARQUET}"
    )


@dataclass
class _Chunk:
    """Some rows of a file.

    Attributes:
        rows: values in the order of the request schema.
        errors: by row, what is wrong with it, or nothing.
        given: the rows as the file has them, for the answer.
    """

    rows: list[list[Any]]
    errors: list[str]
    given: Any


class _Table(ABC):
    """A file of rows, and the file that answers it."""

    @abstractmethod
    def __init__(
        self, source: IO[bytes], target: IO[bytes], schema: Sequence[tuple[str, str]], limit: int
    ) -> None: ...

    @abstractmethod
    def chunks(self) -> Iterator[_Chunk]:
        """The rows, some at a time."""

    @abstractmethod
    def write(self, chunk: _Chunk, scores: Sequence[float | None]) -> None:
        """Write a chunk's answers."""

    @abstractmethod
    def close(self) -> None:
        """Complete the answer."""


ADDED = ("score", "error")
"""Columns of an answer beside the file's own."""


def _check_columns(columns: Sequence[str], schema: Sequence[tuple[str, str]]) -> None:
    times = Counter(columns)
    for name, _ in schema:
        if name not in times:
            raise RequestError(
                422, "invalid_file", f"the file has no column {name}; see GET /schema"
            )
    for name, found in times.items():
        if found > 1:
            raise RequestError(422, "invalid_file", f"the file has column {shown(name)} twice")
        if name in ADDED:
            raise RequestError(
                422, "invalid_file", f"column {name} is what the answer adds; rename the file's own"
            )


class _Csv(_Table):
    """Comma-separated, UTF-8, with a header line; an empty cell is NULL.

    `cells` makes of a given cell the answer's.
    """

    def __init__(
        self,
        source: IO[bytes],
        target: IO[bytes],
        schema: Sequence[tuple[str, str]],
        limit: int,
        cells: Cells = str,
    ) -> None:
        self._answered = cells
        self._reader = csv.reader(_text(source, "utf-8-sig"))
        self._text = _text(target, "utf-8")
        self._writer = csv.writer(self._text, lineterminator="\n")
        with _csv_errors(self._reader):
            header = next(self._reader, None)
        if not header:
            raise RequestError(422, "invalid_file", "the file is empty; its first line is names")
        _check_columns(header, schema)
        self._width = len(header)
        self._columns = [(header.index(name), kind) for name, kind in schema]
        self._writer.writerow([*map(cells, header), *ADDED])

    def chunks(self) -> Iterator[_Chunk]:
        while True:
            chunk = _Chunk([], [], [])
            with _csv_errors(self._reader):
                for cells in self._reader:
                    if cells:
                        self._add(chunk, cells)
                    if len(chunk.rows) == CHUNK:
                        break
            if not chunk.rows:
                return
            yield chunk

    def _add(self, chunk: _Chunk, cells: list[str]) -> None:
        chunk.given.append(cells)
        if len(cells) != self._width:
            chunk.rows.append([])
            chunk.errors.append(
                f"line {self._reader.line_num}: {len(cells)} cells, not {self._width}"
            )
            return
        chunk.rows.append([_cell(cells[at], kind) for at, kind in self._columns])
        chunk.errors.append("")

    def write(self, chunk: _Chunk, scores: Sequence[float | None]) -> None:
        for cells, error, score in zip(chunk.given, chunk.errors, scores, strict=True):
            padded = (cells + [""] * self._width)[: self._width]
            shown_cells = map(self._answered, padded)
            self._writer.writerow([*shown_cells, "" if score is None else repr(score), error])

    def close(self) -> None:
        self._text.flush()


class _Open(io.BufferedIOBase):
    """A file that stays open when the text wrapper around it goes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def read1(self, size: int | None = -1, /) -> bytes:
        return self._file.read(PIECE if size is None or size < 0 else size)

    def write(self, data: Any, /) -> int:
        return self._file.write(data)


def _text(file: IO[bytes], encoding: str) -> io.TextIOWrapper[Any]:
    return io.TextIOWrapper(_Open(file), encoding, newline="")


class _csv_errors:  # noqa: N801
    """What the csv module and a decoder raise, as the request's fault."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (csv.Error, UnicodeDecodeError)):
            why = printable(str(error), 200)
            raise RequestError(
                422, "invalid_file", f"after line {self._reader.line_num}: {why}"
            ) from None


def _cell(text: str, kind: str) -> Any:
    """A csv cell as the JSON value that it stands for; what does not fit stays text."""
    if text == "":
        return None
    try:
        if kind in ("int16", "int32", "int64"):
            return int(text) if len(text) < 40 else text
        if kind in ("float", "double"):
            return float(text)
        if kind == "timestamp" and text.lstrip("-").isdecimal():
            return int(text) if len(text) < 40 else text
    except ValueError:
        return text
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text


class _Parquet(_Table):
    """Columns by name, in any of Arrow's spellings of the type; naive times are UTC."""

    def __init__(
        self, source: IO[bytes], target: IO[bytes], schema: Sequence[tuple[str, str]], limit: int
    ) -> None:
        with _page_errors():  # first: Arrow may take long over a damaged footer
            footer = Footer.of(source)
        with _parquet_errors("the file is not parquet"):
            self._file = pq.ParquetFile(source)
            given = self._file.schema_arrow
            # A text that a dictionary page holds once and many rows repeat stays as it is.
            columns = map(self._file.schema.column, range(len(self._file.schema)))
            texts = [one.path for one in columns if one.physical_type == "BYTE_ARRAY"]
            self._file = pq.ParquetFile(source, read_dictionary=texts)
        if footer.unpacked > 16 * limit:
            raise RequestError(
                413, "too_big", f"the file unpacks to {footer.unpacked} bytes; split it"
            )
        # No more than a csv file of this size could hold: NULLs take no room in a parquet file.
        if footer.rows > limit // (len(schema) or 1):
            raise RequestError(413, "too_big", f"the file has {footer.rows} rows; split it")
        arrow.check_flat(given)
        _check_columns(given.names, schema)
        with _page_errors():
            check_pages(source, footer, self._file.schema)
        self._given = given
        self._names = [name for name, _ in schema]
        self._target = target
        self._schema = given.append(pa.field(ADDED[0], pa.float32())).append(
            pa.field(ADDED[1], pa.string())
        )
        self._writer = pq.ParquetWriter(target, self._schema)

    def chunks(self) -> Iterator[_Chunk]:
        with _parquet_errors("the file is damaged"):
            for batch in self._file.iter_batches(CHUNK):
                batch.validate(full=True)
                table = pa.Table.from_batches([batch])
                arrow.check_text(table)
                rows = arrow.values_of(table.select(self._names))
                yield _Chunk(rows, [""] * len(rows), self._as_given(table))

    def _as_given(self, table: pa.Table) -> pa.Table:
        """The columns in the file's own types, which views and dictionaries cast to only so."""
        columns = [
            column
            if column.type == field.type
            else column.cast(column.type.value_type).cast(field.type)
            for column, field in zip(table.columns, self._given, strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=self._given)

    def write(self, chunk: _Chunk, scores: Sequence[float | None]) -> None:
        errors = [error or None for error in chunk.errors]
        table = chunk.given.append_column(
            self._schema.field(ADDED[0]), pa.array(scores, pa.float32())
        )
        table = table.append_column(self._schema.field(ADDED[1]), pa.array(errors, pa.string()))
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


@contextlib.contextmanager
def _page_errors() -> Iterator[None]:
    """What is wrong with the footer and the pages, as the request's fault."""
    try:
        yield
    except TooLargeError as error:
        raise RequestError(413, "too_big", f"the file cannot be read: {error}") from None
    except PagesError as error:
        raise RequestError(422, "invalid_file", f"the file is damaged: {error}") from None


@contextlib.contextmanager
def _parquet_errors(what: str) -> Iterator[None]:
    """What Arrow raises at a file, as the request's fault."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        why = printable(str(error), 200)
        raise RequestError(422, "invalid_file", f"{what}: {why}") from None


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece

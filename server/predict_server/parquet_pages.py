"""What a parquet file's pages unpack to, told before Arrow reads any of them.

Arrow unpacks a whole page to read its first row, and a page of some bytes may be one of gigabytes.
The footer tells sizes and encodings, too, but whoever wrote the file chose what it says: the page's
own header is what Arrow goes by.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

MAX_AT_ONCE = 256 * 1024 * 1024
"""Bytes that the pages of all columns may unpack to at one place of the file."""

MAX_PAGES = 100_000
"""Pages of a file; looking at each takes some microseconds."""

MAX_FIXED = 1024
"""Bytes of a value of fixed length, which a dictionary may repeat."""

MAX_FOOTER = 4 * 1024 * 1024
"""Bytes of the footer; most of them are texts, which are passed over."""

MAX_VALUES = 300_000
"""Numbers, texts and structs of the footer, each of which takes about a microsecond to read. A column
of a row group has about 50: there is room for 200 row groups of 30 columns."""

_HEADER_VALUES = 200
"""Likewise of a page's header, which has about 20."""

_HEADER = 64 * 1024
"""Bytes of a page's header; its statistics hold the least and the greatest value."""

_TAIL = 8
"""Bytes after the footer: its length and the magic bytes."""

_DICTIONARY_PAGE, _DELTA_BYTE_ARRAY = 2, 7
_LEAST = 4
"""Bytes of the shortest header."""


class PagesError(ValueError):
    """The footer or a page is not as it should be; the message says which."""


class TooLargeError(PagesError):
    """The file cannot be read in bounded memory and time; the message says how to write it."""


@dataclass(frozen=True)
class _Page:
    header: int
    kind: int
    unpacked: int
    packed: int
    encoding: int | None


@dataclass(frozen=True)
class Footer:
    """What a file's footer says of it.

    Read here, since pyarrow ends the process at some damaged footers (the histograms of a column's
    levels).

    Attributes:
        rows: rows of the file.
        unpacked: bytes that its row groups say they unpack to.
        groups: by row group, the fields of each column's ColumnMetaData by their numbers.
    """

    rows: int
    unpacked: int
    groups: list[list[dict[int, Any]]]

    @classmethod
    def of(cls, file: IO[bytes]) -> Footer:
        """The footer of a file.

        Raises:
            PagesError: it is damaged, or there is none.
            TooLargeError: it takes too long to read.
        """
        size = file.seek(0, io.SEEK_END)
        file.seek(max(size - _TAIL, 0))
        tail = file.read(_TAIL)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1":
            raise PagesError("it has no footer, so that it is not parquet or is cut off")
        if length > size - _TAIL:
            raise PagesError("its footer is damaged")
        if length > MAX_FOOTER:
            raise TooLargeError(f"its footer has {length} bytes; write larger row groups")
        file.seek(size - _TAIL - length)
        try:
            found = _Compact(file.read(length), MAX_VALUES).struct()
        except (IndexError, _NotThrift):
            raise PagesError("its footer is damaged") from None
        except _TooMany:
            raise TooLargeError(
                f"its footer holds more than {MAX_VALUES} values; write larger row groups"
            ) from None
        groups = _structs(found.get(4))
        return cls(
            _count(found.get(3)),
            sum(_count(group.get(2)) for group in groups),
            [
                [_struct(column.get(3)) for column in _structs(group.get(1))]
                for group in groups
            ],
        )  # fmt: skip


def _structs(value: Any) -> list[dict[int, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise PagesError("its footer is damaged")
    return [_struct(one) for one in value]


def _struct(value: Any) -> dict[int, Any]:
    if not isinstance(value, dict):
        raise PagesError("its footer is damaged")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise PagesError("its footer is damaged")
    return value


def check_pages(file: IO[bytes], footer: Footer, schema: Any) -> None:
    """Return if the file can be read in bounded memory.

    Args:
        file: the file, at any place.
        footer: its footer.
        schema: its `pyarrow.parquet.ParquetSchema`.

    Raises:
        TooLargeError: it cannot.
        PagesError: a page's header is damaged.
    """
    for at in range(len(schema)):
        column = schema.column(at)
        if column.physical_type == "FIXED_LEN_BYTE_ARRAY" and column.length > MAX_FIXED:
            raise TooLargeError(
                f"column {at + 1} has values of {column.length} bytes each; leave it out"
            )
    pages = 0
    for group in footer.groups:
        at_once = 0
        for at, chunk in enumerate(group):
            largest = {True: 0, False: 0}  # a dictionary stays while the pages after it are read
            for page in _pages(file, chunk):
                pages += 1
                if pages > MAX_PAGES:
                    raise TooLargeError(f"it has more than {MAX_PAGES} pages; write larger ones")
                if page.encoding == _DELTA_BYTE_ARRAY:
                    raise TooLargeError(
                        f"column {at + 1} has the encoding DELTA_BYTE_ARRAY; write it plain or "
                        "with a dictionary"
                    )
                kept = page.kind == _DICTIONARY_PAGE
                largest[kept] = max(largest[kept], page.unpacked)
            at_once += sum(largest.values())
        if at_once > MAX_AT_ONCE:
            raise TooLargeError(
                f"its pages unpack to {at_once} bytes at once; write smaller pages, or fewer rows "
                "to a row group"
            )


def _pages(file: IO[bytes], chunk: Mapping[int, Any]) -> Iterator[_Page]:
    """The pages of a column of a row group, in the order of the file.

    Args:
        file: the file.
        chunk: the column's ColumnMetaData: num_values (5), total_compressed_size (7),
            data_page_offset (9), dictionary_page_offset (11).
    """
    wanted, size, start = (_count(chunk.get(number)) for number in (5, 7, 9))
    first = chunk.get(11)
    if type(first) is int and 0 < first < start:
        start = first
    end = start + size
    values = 0
    while start + _LEAST <= end and values < wanted:
        file.seek(start)
        page, held = _read_header(file.read(_HEADER))
        yield page
        if page.kind != _DICTIONARY_PAGE:
            values += held
        start += page.header + page.packed


def _read_header(data: bytes) -> tuple[_Page, int]:
    """A page's header, and how many values it says that the page holds.

    The struct `PageHeader` of parquet.thrift, in Thrift's compact protocol.
    """
    reader = _Compact(data, _HEADER_VALUES)
    try:
        found = reader.struct()
    except (IndexError, _NotThrift, _TooMany):
        raise PagesError("the header of a page is damaged or too long") from None
    kind, unpacked, packed = (found.get(key) for key in (1, 2, 3))
    sizes = [one for one in (kind, unpacked, packed) if isinstance(one, int)]
    if len(sizes) != 3 or min(sizes) < 0:
        raise PagesError("the header of a page lacks its sizes")
    # data_page_header, dictionary_page_header, data_page_header_v2
    inner: dict[int, Any] = next(
        (found[key] for key in (5, 7, 8) if isinstance(found.get(key), dict)), {}
    )
    encoding = inner.get(4 if isinstance(found.get(8), dict) else 2)
    values = inner.get(1, 0)
    if not isinstance(values, int) or values < 0:
        raise PagesError("the header of a page lacks the number of its values")
    page = _Page(
        reader.at, sizes[0], sizes[1], sizes[2], encoding if isinstance(encoding, int) else None
    )
    return page, values


_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
_DEEPEST = 8


class _TooMany(Exception):
    """There are more values than may be read."""


class _NotThrift(Exception):
    """The bytes are none of the compact protocol's."""


class _Compact:
    """Reads Thrift's compact protocol, `most` values of it; what is not needed is passed over."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data = data
        self._left = most
        self.at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Whole numbers, structs and lists of them by the numbers of their fields."""
        if depth > _DEEPEST:
            raise _NotThrift
        found: dict[int, Any] = {}
        field = 0
        while (head := self._byte()) != _STOP:
            kind, step = head & 15, head >> 4
            field = field + step if step else self._number()
            found[field] = self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _TooMany
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _BYTE:
            return self._byte()
        if kind in (4, 5, 6):
            return self._number()
        if kind == _DOUBLE:
            return self._skip(8)
        if kind == _BINARY:
            return self._skip(self._varint())
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise _NotThrift

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        size = head >> 4 if head >> 4 < 15 else self._varint()
        kind = head & 15
        if kind in (_TRUE, _FALSE):
            kind = _BYTE
        return [self._value(kind, depth + 1) for _ in range(size)]

    def _byte(self) -> int:
        found = self._data[self.at]
        self.at += 1
        return found

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        found = shift = 0
        while True:
            byte = self._byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
            shift += 7
            if shift > 63:
                raise _NotThrift

    def _number(self) -> int:
        found = self._varint()
        return (found >> 1) ^ -(found & 1)

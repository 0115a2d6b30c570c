"""From typed values to ids, the same way offline and online.

A value first becomes its canonical text, then xxhash64 (seed 10, as in the OpenMLDB and OneFlow
tutorial) of that text, viewed as int64. Offline values come from parquet, online ones from the
API server's JSON; both pass through `canonical`, so that one value has one id wherever it was
seen:

- NULL is the single byte 0xff, which no UTF-8 text is; the empty string stays a value.
- NaN and the infinities count as NULL: the API server may be set to write them as null.
- Integers are decimal. A `float` is taken as float32 (JSON shows it widened to double), then
  rounded to the field's decimals like a `double`, and printed without trailing zeros or a
  negative zero: `0.5`, `3`, `0`.
- A date is `YYYY-MM-DD` (JSON's is not padded), a timestamp its milliseconds since 1970 UTC.

An encoded row is int64, and a field takes one column of it, or one a token:

- a number that stays a number is there by the bits of its float32 (rounded to the field's
  decimals first, if it has any): `nightshift.features.numbers` does the rest. Float32, because
  OpenMLDB may add up a window in another order offline than online, which shows in the last
  bits of a double. NULL is NaN, and what float32 cannot hold is its largest number;
- a text of several values is split, blanks around a token are cut off, empty tokens are passed
  over; a token's id is that of the token as a text; `PAD_ID` fills the columns that are left.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash
from openmldb_files import describe, normal

from nightshift.config.yamlfile import nearest
from nightshift.errors import ContractError
from nightshift.features.specification import FeatureSpec, Field

SEED = 10
"""Seed of xxhash64, the tutorial's."""

NULL_TEXT = b"\xff"
"""Canonical text of NULL; no valid UTF-8 holds this byte."""

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_FLOAT32 = struct.Struct("<f")
_DATE = re.compile(r"(\d{1,4})-(\d{1,2})-(\d{1,2})")
_INT_BITS = {"int16": 16, "int32": 32, "int64": 64, "timestamp": 64}
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int16": (int,),
    "int32": (int,),
    "int64": (int,),
    "float": (float, int),
    "double": (float, int),
    "string": (str,),
    "date": (str, dt.date),
    "timestamp": (int,),
}


def hash_text(text: bytes) -> int:
    """Id of a canonical text: xxhash64 with seed 10, viewed as a signed 64-bit integer."""
    value: int = xxhash.xxh64_intdigest(text, SEED)
    return value - (1 << 64) if value >> 63 else value


NULL_ID = hash_text(NULL_TEXT)
"""Id of NULL, the same in every field."""

PAD_ID = hash_text(b"\xfe")
"""Fills the columns of a multi-valued field that has fewer tokens; no UTF-8 holds this byte."""

MISSING_BITS = int(np.array([np.nan], np.float32).view(np.uint32)[0])
"""A missing number in an encoded row."""

_LARGEST = float(np.finfo(np.float32).max)


def canonical(value: Any, field: Field) -> bytes:
    """Canonical text of one value of `field`, from parquet or from JSON.

    Args:
        value: None, or a Python value of the field's type: bool, int (integers, and a
            timestamp as milliseconds), float, str, `datetime.date` or its text.
        field: gives type and decimals.

    Raises:
        ContractError: the value is not of the field's type.
    """
    if value is None:
        return NULL_TEXT
    if type(value) not in _JSON_TYPES[field.type]:
        raise _mismatch(field, value)
    return printer(field)(value)


def printer(field: Field) -> Callable[[Any], bytes]:
    """The function from a value other than NULL, of the right Python type, to its text."""
    kind = field.type
    if kind == "string":
        return lambda value: _utf8(value, field)
    if kind in ("float", "double"):
        return lambda value: _decimal(value, field)
    if kind in _INT_BITS:
        return lambda value: _integer(value, field)
    if kind == "bool":
        return lambda value: b"true" if value else b"false"
    return lambda value: _date(value, field)


def _utf8(value: str | bytes, field: Field) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ContractError(
            f"column {field.name} holds text that is no Unicode: {value!r}"
        ) from None


def _integer(value: int, field: Field) -> bytes:
    half = 1 << (_INT_BITS[field.type] - 1)
    if not -half <= value < half:
        raise ContractError(f"column {field.name} is {field.type} and cannot hold {value}")
    return b"%d" % value


def _decimal(value: float, field: Field) -> bytes:
    try:
        value = float(value)
        if field.type == "float":
            (value,) = _FLOAT32.unpack(_FLOAT32.pack(value))
    except OverflowError:
        return NULL_TEXT
    if not math.isfinite(value):
        return NULL_TEXT
    if field.decimals is None:
        return repr(value + 0.0).encode()
    text = f"{value:.{field.decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return b"0" if text == "-0" else text.encode()


def _date(value: str | dt.date, field: Field) -> bytes:
    if isinstance(value, str):
        match = _DATE.fullmatch(value)
        try:
            if match is None:
                raise ValueError(value)
            value = dt.date(*(int(part) for part in match.groups()))
        except ValueError:
            raise _mismatch(field, value) from None
    return value.isoformat().encode()


def _mismatch(field: Field, value: object) -> ContractError:
    return ContractError(
        f"column {field.name} is {field.type} and cannot hold {value!r} "
        f"({type(value).__name__}); see its type in the feature specification"
    )


def column_types(schema: pa.Schema) -> list[tuple[str, str]]:
    """(name, SQL type) of each column, as `FeatureSpec.check_columns` takes them."""
    return [(item.name, describe(item.type)) for item in schema]


def distinct_values(array: pa.Array, field: Field) -> tuple[pa.Array, npt.NDArray[Any], bool]:
    """A column's distinct values, and which of them each row has.

    Args:
        array: one Arrow array (no chunks) of the field's type, n rows.
        field: gives the type.

    Returns:
        k values, whose `to_pylist` `printer` takes, NULL among them where an Arrow dictionary
        holds it; codes of whole numbers, shape [n], into them, k where a row is NULL; whether a
        row is.

    Raises:
        ContractError: the array is of another type.
    """
    given = describe(array.type)
    if given != field.type:
        raise ContractError(
            f"column {field.name} is {given} and {field.type} is specified; make them one"
        )
    encoded = array
    if not pa.types.is_dictionary(array.type) or len(array.dictionary) > len(array):
        encoded = normal(array).dictionary_encode()
    values = normal(encoded.dictionary)
    if field.type == "timestamp":
        values = values.cast(pa.int64())
    if field.type == "string":
        values = values.cast(pa.binary())
    indices = encoded.indices
    has_nulls = indices.null_count > 0
    if has_nulls:
        return values, np.where(is_null(indices), len(values), values_of(indices)), True
    return values, indices.to_numpy(), False


def is_null(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Which rows of a column are NULL: bool [n]; from its bits, as Arrow's own way is slow."""
    bits = column.buffers()[0]
    if bits is None or not column.null_count:
        return np.zeros(len(column), dtype=np.bool_)
    start, end = column.offset, column.offset + len(column)
    valid = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=end, bitorder="little")
    return np.equal(valid[start:], 0)


def values_of(column: pa.Array) -> npt.NDArray[Any]:
    """The values of a column of numbers without its validity: [n], anything where one is NULL."""
    parts = [None, column.buffers()[1]]
    plain = pa.Array.from_buffers(column.type, len(column), parts, 0, column.offset)
    return np.asarray(plain.to_numpy())


def unique_texts(array: pa.Array, field: Field) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """Canonical texts of a column's distinct values, and which of them each row has.

    Args:
        array: one Arrow array (no chunks) of the field's type, n rows.
        field: gives type and decimals.

    Returns:
        k texts (several may be equal: 0.001 and 0.002 at two decimals; the last one is always
        NULL's), and int64 codes of shape [n] into them.

    Raises:
        ContractError: the array is of another type.
    """
    found, codes, _ = distinct_values(array, field)
    show, values = printer(field), found.to_pylist()
    texts = [NULL_TEXT if value is None else show(value) for value in values]
    return [*texts, NULL_TEXT], codes.astype(np.int64, copy=False)


def hash_texts(texts: Iterable[bytes]) -> Ids:
    """`hash_text` of many texts: int64 [k]."""
    digests = map(xxhash.xxh64_intdigest, texts, itertools.repeat(SEED))
    return np.fromiter(digests, dtype=np.uint64).view(np.int64)


def encode_column(column: pa.Array | pa.ChunkedArray, field: Field) -> Ids:
    """Ids of one column: int64 [n]; each distinct value is printed and hashed once a chunk."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = []
    for chunk in chunks:
        texts, codes = unique_texts(chunk, field)
        parts.append(hash_texts(texts)[codes])
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def number_bits(values: npt.NDArray[np.float64], field: Field) -> Ids:
    """Encoded column of numbers: float64 [n], NaN where one is missing, to int64 [n]."""
    if field.decimals is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = np.round(values, field.decimals)
        # A value whose scaled form overflows has no decimals to round.
        values = np.where(np.isfinite(rounded), rounded, values)
    values = np.where(np.isfinite(values), np.clip(values, -_LARGEST, _LARGEST), np.nan)
    bits = (values + 0.0).astype(np.float32).view(np.uint32).astype(np.int64)
    return np.where(np.isnan(values), MISSING_BITS, bits)


def numbers_of(column: Ids) -> Floats:
    """Raw values of an encoded column of numbers: int64 [n] to float32 [n]."""
    return column.astype(np.uint32).view(np.float32)


def _number_column(chunk: pa.Array, field: Field) -> Ids:
    given = describe(chunk.type)
    if given != field.type:
        raise ContractError(
            f"column {field.name} is {given} and {field.type} is specified; make them one"
        )
    if pa.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary_decode()
    doubles = chunk.cast(pa.float64(), safe=False)
    return number_bits(doubles.fill_null(np.nan).to_numpy(zero_copy_only=False), field)


def split_tokens(text: str | None, field: Field) -> list[str]:
    """Tokens of a multi-valued text, the first `most` of them; none of NULL."""
    if text is None or field.tokens is None:
        return []
    parts = (part.strip() for part in text.split(field.tokens.separator))
    return [part for part in parts if part][: field.tokens.most]


def _token_ids(text: str | None, field: Field) -> list[int]:
    ids = [hash_text(_utf8(token, field)) for token in split_tokens(text, field)]
    return ids + [PAD_ID] * (field.width - len(ids))


def _token_columns(chunk: pa.Array, field: Field) -> Ids:
    given = describe(chunk.type)
    if given != "string":
        raise ContractError(
            f"column {field.name} is {given} and {field.type} is specified; make them one"
        )
    encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    texts = [*encoded.dictionary.to_pylist(), None]
    known = np.array([_token_ids(text, field) for text in texts], dtype=np.int64)
    codes = encoded.indices.cast(pa.int64()).fill_null(len(texts) - 1)
    return np.asarray(known[codes.to_numpy(zero_copy_only=False)])


def encode_field(column: pa.Array | pa.ChunkedArray, field: Field) -> Ids:
    """Encoded columns of one field: int64 [n, width of the field]."""
    if field.number is None and field.tokens is None:
        return encode_column(column, field)[:, None]
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [
        _number_column(chunk, field)[:, None] if field.number else _token_columns(chunk, field)
        for chunk in chunks
    ]
    return np.concatenate(parts) if parts else np.empty((0, field.width), dtype=np.int64)


def stored_types(spec: FeatureSpec) -> list[tuple[str, pa.DataType]]:
    """(name, Arrow type) of a dataset's columns: float32 for a number, int64 for an id."""
    return [
        (name, pa.float32() if field.number else pa.int64())
        for field, names in zip(spec.fields, columns_by_field(spec), strict=True)
        for name in names
    ]


def stored_columns(spec: FeatureSpec, encoded: Sequence[Ids]) -> list[pa.Array]:
    """A dataset's columns from what `encode_field` gave for each field."""
    return [
        pa.array(numbers_of(ids[:, at]) if field.number else ids[:, at])
        for field, ids in zip(spec.fields, encoded, strict=True)
        for at in range(field.width)
    ]


def encoded_of_stored(spec: FeatureSpec, table: pa.Table | pa.RecordBatch) -> Ids:
    """Encoded rows int64 [n, width] of a dataset's table; the inverse of `stored_columns`."""
    encoded = np.empty((table.num_rows, spec.width), dtype=np.int64)
    for at, (name, _) in enumerate(stored_types(spec)):
        encoded[:, at] = stored_column(table.column(name))
    return encoded


def stored_column(column: pa.Array | pa.ChunkedArray) -> Ids:
    """One encoded column of a dataset's: its ids, or the bits of its numbers."""
    values = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else None
    values = column.to_numpy() if values is None else values
    if values.dtype == np.float32:
        bits = np.ascontiguousarray(values).view(np.uint32).astype(np.int64)
        return np.where(np.isnan(values), MISSING_BITS, bits)
    ids: Ids = values.astype(np.int64, copy=False)
    return ids


def shown(spec: FeatureSpec, encoded: Ids) -> dict[str, str]:
    """One encoded row, int64 [width], for a person: numbers by value, ids as decimal text."""
    texts: dict[str, str] = {}
    for field, names in zip(spec.fields, columns_by_field(spec), strict=True):
        for name in names:
            value = encoded[len(texts) : len(texts) + 1]
            texts[name] = f"{numbers_of(value)[0]:g}" if field.number else str(value[0])
    return texts


def columns_by_field(spec: FeatureSpec) -> list[tuple[str, ...]]:
    """Names of the dataset's columns that each field takes."""
    names, start = [], 0
    for field in spec.fields:
        names.append(spec.columns[start : start + field.width])
        start += field.width
    return names


def encode_table(spec: FeatureSpec, table: pa.Table) -> Ids:
    """Encoded feature rows, read from parquet.

    Args:
        spec: the feature specification.
        table: n rows; columns that are not features are not looked at.

    Returns:
        int64 of shape [n, width of the specification], in the specification's order.

    Raises:
        ContractError: a feature is missing or of another type.
    """
    ids = np.empty((table.num_rows, spec.width), dtype=np.int64)
    start = 0
    for field, at in zip(spec.fields, _positions(spec, table.column_names), strict=True):
        ids[:, start : start + field.width] = encode_field(table.column(at), field)
        start += field.width
    return ids


CACHED = 4096
"""Values of a field whose ids an encoder remembers; beyond them it begins anew."""


class RowEncoder:
    """Encodes feature rows as the API server's JSON gives them; safe to use from many threads.

    Ids of values that were seen before are remembered, within bounds: a request's values are
    mostly those of the requests before it.

    Args:
        spec: the feature specification.
        names: the rows' column names; columns that are not features are not looked at.

    Raises:
        ContractError: a feature is missing, or given twice.
    """

    def __init__(self, spec: FeatureSpec, names: Sequence[str]) -> None:
        self._names = len(names)
        self._width = spec.width
        self._columns: list[_Column] = []
        start = 0
        for at, field in zip(_positions(spec, names), spec.fields, strict=True):
            self._columns.append(_Column(at, start, field))
            start += field.width
        self._scalar = all(column.is_id for column in self._columns)

    def encode(self, rows: Sequence[Sequence[Any]]) -> Ids:
        """Encoded rows.

        Args:
            rows: n rows of JSON values: timestamps as milliseconds, dates as text.

        Returns:
            int64 of shape [n, width of the specification], in the specification's order.

        Raises:
            ContractError: a row is too short, or a value is of another type.
        """
        if set(map(len, rows)) - {self._names}:
            number, row = next((n, r) for n, r in enumerate(rows) if len(r) != self._names)
            raise ContractError(
                f"feature row {number} has {len(row)} values and {self._names} column names"
            )
        ids = np.empty((len(rows), self._width), dtype=np.int64)
        if len(rows) == 1 and self._scalar:
            (row,) = rows
            ids[0] = [column.ids((row[column.at],))[0] for column in self._columns]
        elif len(rows):
            values = list(zip(*rows, strict=True))
            for column in self._columns:
                ids[:, column.start : column.stop] = column.encoded(values[column.at])
        return ids


class _Column:
    """One feature among the columns of feature rows."""

    def __init__(self, at: int, start: int, field: Field) -> None:
        self.at = at
        self.start, self.stop = start, start + field.width
        self.is_id = field.number is None and field.tokens is None
        self._field = field
        self._allowed = frozenset({*_JSON_TYPES[field.type], type(None)})
        self._show = printer(field)
        self._known: dict[Any, int] = {None: NULL_ID}

    def encoded(self, values: Sequence[Any]) -> Ids:
        """Encoded columns of the field's values.

        Returns:
            int64 [n, width of the field], or [1, width] where all of them are equal.
        """
        self._check(values)
        first = values[0]
        if values[-1] == first == values[len(values) // 2] and values.count(first) == len(values):
            values = (first,)  # as are the user's, of many candidates
        field = self._field
        if self.is_id:
            try:
                return np.fromiter(map(self._known.__getitem__, values), np.int64, len(values))[
                    :, None
                ]
            except KeyError:
                return np.array(self._learned(values), dtype=np.int64)[:, None]
        if field.tokens:
            return np.array([_token_ids(value, field) for value in values], dtype=np.int64)
        return number_bits(_doubles(values, field), field)[:, None]

    def ids(self, values: Sequence[Any]) -> list[int]:
        """Ids of values, of a field that takes one a value."""
        self._check(values)
        return self._learned(values)

    def _learned(self, values: Sequence[Any]) -> list[int]:
        known = self._known
        found = list(map(known.get, values))
        for at, (had, value) in enumerate(zip(found, values, strict=True) if None in found else ()):
            if had is None:
                found[at] = self._learn(known, value)
        return found  # type: ignore[return-value]

    def _check(self, values: Sequence[Any]) -> None:
        if not self._allowed.issuperset(set(map(type, values))):
            raise _mismatch(self._field, next(v for v in values if type(v) not in self._allowed))

    def _learn(self, known: dict[Any, int], value: Any) -> int:
        made = hash_text(self._show(value))
        if len(known) >= CACHED:
            self._known = {None: NULL_ID}
        elif value == value:  # no NaN equals another: each would be kept
            known[value] = made
        return made


def encode_rows(spec: FeatureSpec, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Ids:
    """`RowEncoder.encode` of rows that come once.

    Args:
        spec: the feature specification.
        names: the rows' column names; columns that are not features are not looked at.
        rows: n rows of JSON values: timestamps as milliseconds, dates as text.

    Returns:
        int64 of shape [n, width of the specification], in the specification's order.

    Raises:
        ContractError: a feature is missing, a row is too short, or a value is of another type.
    """
    return RowEncoder(spec, names).encode(rows)


def _doubles(values: Sequence[Any], field: Field) -> npt.NDArray[np.float64]:
    return np.array([np.nan if v is None else _double(v, field) for v in values], np.float64)


def _double(value: float, field: Field) -> float:
    if field.type in _INT_BITS:
        _integer(int(value), field)
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _positions(spec: FeatureSpec, names: Sequence[str]) -> list[int]:
    where: dict[str, int] = {}
    for at, name in enumerate(names):
        if name in where and name in spec.expected_types:
            raise ContractError(f"the feature rows give column {name} twice")
        where[name] = at
    for name in spec.names:
        if name not in where:
            raise ContractError(
                f"feature {name} of {spec.source} is not among the columns{nearest(name, names)}"
            )
    return [where[name] for name in spec.names]

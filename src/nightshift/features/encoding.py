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
"""

from __future__ import annotations

import datetime as dt
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
    return _printer(field)(value)


def _printer(field: Field) -> Callable[[Any], bytes]:
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
    given = describe(array.type)
    if given != field.type:
        raise ContractError(
            f"column {field.name} is {given} and {field.type} is specified; make them one"
        )
    is_encoded = pa.types.is_dictionary(array.type)
    encoded = array if is_encoded else normal(array).dictionary_encode()
    values = normal(encoded.dictionary)
    if field.type == "timestamp":
        values = values.cast(pa.int64())
    if field.type == "string":
        values = values.cast(pa.large_binary())
    show = _printer(field)
    texts = [NULL_TEXT if value is None else show(value) for value in values.to_pylist()]
    codes = encoded.indices.cast(pa.int64()).fill_null(len(texts)).to_numpy(zero_copy_only=False)
    return [*texts, NULL_TEXT], codes


def hash_texts(texts: Iterable[bytes]) -> Ids:
    """`hash_text` of many texts: int64 [k]."""
    digest = xxhash.xxh64_intdigest
    return np.array([digest(text, SEED) for text in texts], dtype=np.uint64).view(np.int64)


def encode_column(column: pa.Array | pa.ChunkedArray, field: Field) -> Ids:
    """Ids of one column: int64 [n]; each distinct value is printed and hashed once a chunk."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = []
    for chunk in chunks:
        texts, codes = unique_texts(chunk, field)
        parts.append(hash_texts(texts)[codes])
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def encode_table(spec: FeatureSpec, table: pa.Table) -> Ids:
    """Ids of feature rows read from parquet.

    Args:
        spec: the feature specification.
        table: n rows; columns that are no features are not looked at.

    Returns:
        int64 of shape [n, number of fields], in the specification's order.

    Raises:
        ContractError: a feature is missing or of another type.
    """
    ids = np.empty((table.num_rows, len(spec.fields)), dtype=np.int64)
    for position, at in enumerate(_positions(spec, table.column_names)):
        ids[:, position] = encode_column(table.column(at), spec.fields[position])
    return ids


def encode_rows(spec: FeatureSpec, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Ids:
    """Ids of feature rows as the API server's JSON gives them.

    Args:
        spec: the feature specification.
        names: the rows' column names; columns that are no features are not looked at.
        rows: n rows of JSON values: timestamps as milliseconds, dates as text.

    Returns:
        int64 of shape [n, number of fields], in the specification's order.

    Raises:
        ContractError: a feature is missing, a row is too short, or a value is of another type.
    """
    positions = _positions(spec, names)
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise ContractError(
                f"feature row {number} has {len(row)} values and {len(names)} column names"
            )
    ids = np.empty((len(rows), len(spec.fields)), dtype=np.int64)
    for position, (at, field) in enumerate(zip(positions, spec.fields, strict=True)):
        ids[:, position] = _encode_values([row[at] for row in rows], field)
    return ids


def _encode_values(values: list[Any], field: Field) -> list[int]:
    allowed = {*_JSON_TYPES[field.type], type(None)}
    if not {type(value) for value in values} <= allowed:
        raise _mismatch(field, next(v for v in values if type(v) not in allowed))
    show = _printer(field)
    known: dict[Any, int] = {None: NULL_ID}
    ids = []
    for value in values:
        found = known.get(value)
        if found is None:
            found = known[value] = hash_text(show(value))
        ids.append(found)
    return ids


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

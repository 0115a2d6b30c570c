"""Columns and batches: the values the batch engine computes with.

A column is a numpy array and, where it holds NULLs, a mask of valid places. Strings are int32 codes
into a dictionary of distinct strings, so that grouping, joining and counting work on integers; a
NULL string has code -1.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from openmldb_files.normalise import normal
from openmldb_files.types import sql_type_of, storage_type
from openmldb_sql.errors import TypeCheckError
from openmldb_sql.types import SqlType

from openmldb_embedded.dtypes import ARROW, NUMPY
from openmldb_embedded.errors import ExecutionError

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_EPOCH = dt.date(1970, 1, 1)
_EPOCH_ORDINAL = _EPOCH.toordinal()


class StringDict:
    """An immutable dictionary of distinct strings; code i is the i-th string."""

    __slots__ = ("_arrow", "_objects", "_ranks")

    def __init__(self, arrow: pa.StringArray) -> None:
        self._arrow = arrow
        self._objects: npt.NDArray[np.object_] | None = None
        self._ranks: npt.NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self._arrow)

    @property
    def arrow(self) -> pa.StringArray:
        """The strings as an Arrow array."""
        return self._arrow

    @property
    def objects(self) -> npt.NDArray[np.object_]:
        """The strings as a numpy array of str; made on first use."""
        if self._objects is None:
            out = np.empty(len(self._arrow), dtype=object)
            out[:] = _texts(self._arrow)
            self._objects = out
        return self._objects

    @property
    def ranks(self) -> npt.NDArray[np.int32]:
        """For each code, its place in byte order: ranks compare as the strings do."""
        if self._ranks is None:
            order = np.asarray(pc.array_sort_indices(self._arrow))
            ranks = np.empty(len(order), dtype=np.int32)
            ranks[order] = np.arange(len(order), dtype=np.int32)
            self._ranks = ranks
        return self._ranks


def _texts(strings: pa.StringArray) -> list[str]:
    try:
        return cast(list[str], strings.to_pylist())
    except UnicodeDecodeError:  # a character cut in two: see string_array
        return [
            raw.decode("utf-8", "surrogateescape") for raw in strings.view(pa.binary()).to_pylist()
        ]


def string_array(values: Sequence[str | None]) -> pa.StringArray:
    """An Arrow array of texts; bytes that are no UTF-8 stand in a str as surrogate escapes."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        raw = [None if x is None else x.encode("utf-8", "surrogateescape") for x in values]
        return pa.array(raw, pa.binary()).view(pa.string())


def encode_strings(strings: pa.Array | pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], StringDict]:
    """Dictionary codes (-1 for NULL) and the dictionary of an Arrow string array."""
    if isinstance(strings, pa.ChunkedArray):
        strings = strings.combine_chunks()
        if isinstance(strings, pa.ChunkedArray):  # an empty chunked array stays chunked
            strings = pa.array([], pa.string())
    if pa.types.is_string_view(strings.type):
        strings = strings.cast(pa.string())
    if not pa.types.is_dictionary(strings.type):
        strings = strings.dictionary_encode()
    values = strings.dictionary
    if values.type != pa.string():
        values = values.cast(pa.string())
    if values.null_count:
        strings = strings.cast(pa.string()).dictionary_encode()
        values = strings.dictionary
    codes = strings.indices
    if codes.null_count:
        codes = pc.fill_null(codes, -1)
    return np.asarray(codes).astype(np.int32, copy=False), StringDict(values)


def unify(dictionaries: Sequence[StringDict]) -> tuple[StringDict, list[Array | None]]:
    """One dictionary for several, and for each the map of its codes (None: unchanged)."""
    first = dictionaries[0]
    if all(d is first for d in dictionaries):
        return first, [None] * len(dictionaries)
    distinct: dict[int, StringDict] = {id(d): d for d in dictionaries}
    parts = list(distinct.values())
    joined, whole = encode_strings(pa.concat_arrays([d.arrow for d in parts]))
    maps: dict[int, Array | None] = {}
    at = 0
    for d in parts:
        maps[id(d)] = joined[at : at + len(d)]
        at += len(d)
    maps[id(parts[0])] = None  # encoding keeps first appearance: the first map is the identity
    return StringDict(whole.arrow), [maps[id(d)] for d in dictionaries]


def remap(codes: Array, mapping: Array | None) -> Array:
    """Codes under a map from ``unify``; NULL (-1) stays."""
    if mapping is None:
        return codes
    if len(mapping) == 0:
        return codes
    return np.where(codes >= 0, mapping[codes], np.int32(-1)).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Column:
    """Values of one type.

    Attributes:
        type: The SQL type.
        values: Array ``[num_rows]`` of ``NUMPY[type]``; where ``valid`` is False the value
            means nothing, except that a string's code is -1.
        valid: Mask ``[num_rows]``, or None when no value is NULL.
        strings: The dictionary, for STRING only.
    """

    type: SqlType
    values: Array
    valid: Mask | None = None
    strings: StringDict | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dictionary(self) -> StringDict:
        """The dictionary of a string column."""
        if self.strings is None:
            raise ExecutionError(f"a {self.type.value} column has no string dictionary")
        return self.strings

    def mask(self) -> Mask:
        """The valid mask, made where it is None."""
        return np.ones(len(self.values), dtype=np.bool_) if self.valid is None else self.valid

    def take(self, places: Array) -> Column:
        """The values at ``places`` (all within range)."""
        valid = None if self.valid is None else self.valid[places]
        return Column(self.type, self.values[places], valid, self.strings)

    def take_or_null(self, places: Array) -> Column:
        """The values at ``places``; NULL where a place is -1."""
        found = places >= 0
        if found.all():
            return self.take(places)
        if len(self.values) == 0:
            return null_column(self.type, len(places))
        out = self.take(np.where(found, places, 0))
        valid = found if out.valid is None else out.valid & found
        return column(self.type, out.values, valid, self.strings)

    def slice(self, start: int, stop: int) -> Column:
        """A view of places [start, stop)."""
        valid = None if self.valid is None else self.valid[start:stop]
        return Column(self.type, self.values[start:stop], valid, self.strings)

    def to_list(self) -> list[Any]:
        """Python values, None for NULL."""
        if self.type is SqlType.STRING:
            if len(self.dictionary) == 0:
                return [None] * len(self.values)
            out = self.dictionary.objects[self.values].tolist()
        elif self.type is SqlType.DATE:
            out = [
                dt.date.fromordinal(d + _EPOCH_ORDINAL) if -719162 <= d <= 2932896 else None
                for d in self.values.tolist()
            ]
        elif self.type is SqlType.NULL:
            return [None] * len(self.values)
        else:
            out = self.values.tolist()
        if self.valid is not None:
            for i in np.flatnonzero(~self.valid).tolist():
                out[i] = None
        return cast(list[Any], out)

    def to_arrow(self) -> pa.Array:
        """An Arrow array of ``ARROW[type]``."""
        mask = None if self.valid is None else ~self.valid
        if self.type is SqlType.STRING:
            codes = pa.array(self.values, mask=self.values < 0)
            return pa.DictionaryArray.from_arrays(codes, self.dictionary.arrow).cast(pa.string())
        if self.type is SqlType.NULL:
            return pa.nulls(len(self.values), pa.bool_())
        if self.type is SqlType.DATE:
            return pa.array(self.values, pa.int32(), mask=mask).cast(pa.date32())
        if self.type is SqlType.TIMESTAMP:
            return pa.array(self.values, pa.int64(), mask=mask).cast(pa.timestamp("ms"))
        return pa.array(self.values, ARROW[self.type], mask=mask)


def column(
    type_: SqlType, values: Array, valid: Mask | None = None, strings: StringDict | None = None
) -> Column:
    """A column with its invariants restored: dtype, no all-true mask, code -1 for NULL strings."""
    values = values.astype(NUMPY[type_], copy=False)
    if valid is not None and valid.all():
        valid = None
    if type_ is SqlType.STRING:
        if valid is not None:
            values = np.where(valid, values, np.int32(-1)).astype(np.int32, copy=False)
        strings = strings or EMPTY_DICT
    return Column(type_, values, valid, strings)


def _days(value: dt.date | str) -> int:
    """Days since the epoch of a date, or of its text ``Y-M-D``."""
    if isinstance(value, str):
        year, month, day = value.split("-")
        value = dt.date(int(year), int(month), int(day))
    return value.toordinal() - _EPOCH_ORDINAL


EMPTY_DICT = StringDict(pa.array([], pa.string()))


def null_column(type_: SqlType, length: int) -> Column:
    """``length`` NULLs."""
    fill = -1 if type_ is SqlType.STRING else 0
    strings = EMPTY_DICT if type_ is SqlType.STRING else None
    values = np.full(length, fill, dtype=NUMPY[type_])
    return Column(type_, values, np.zeros(length, dtype=np.bool_), strings)


def constant_column(type_: SqlType, value: Any, length: int) -> Column:
    """``length`` copies of a Python value."""
    if value is None or type_ is SqlType.NULL:
        return null_column(type_, length)
    if type_ is SqlType.STRING:
        strings = StringDict(string_array([value]))
        return Column(type_, np.zeros(length, dtype=np.int32), None, strings)
    if type_ is SqlType.DATE:
        value = value.toordinal() - _EPOCH_ORDINAL
    return Column(type_, np.full(length, value, dtype=NUMPY[type_]))


def column_from_list(type_: SqlType, values: Sequence[Any]) -> Column:
    """A column from Python values (see SqlType for their types), None for NULL.

    Raises:
        TypeCheckError: A value does not fit the type.
    """
    try:
        if type_ is SqlType.STRING:
            codes, strings = encode_strings(string_array(values))
            return Column(type_, codes, None if codes.min(initial=0) >= 0 else codes >= 0, strings)
        if type_ is SqlType.NULL:
            return null_column(type_, len(values))
        valid: Mask | None = None
        if None in values:
            valid = np.fromiter((v is not None for v in values), np.bool_, len(values))
        if type_ is SqlType.DATE:
            days = (0 if v is None else _days(v) for v in values)
            return Column(type_, np.fromiter(days, np.int32, len(values)), valid)
        filled = values if valid is None else [0 if v is None else v for v in values]
        if type_ is SqlType.FLOAT:
            with np.errstate(over="ignore"):
                return Column(type_, np.asarray(filled, np.float64).astype(np.float32), valid)
        return Column(type_, np.asarray(filled, dtype=NUMPY[type_]), valid)
    except MemoryError:
        raise
    except (ValueError, TypeError, OverflowError, AttributeError, pa.ArrowException) as error:
        raise TypeCheckError(f"a value does not fit type {type_.value}: {error}") from error


def column_from_arrow(data: pa.Array | pa.ChunkedArray, type_: SqlType | None = None) -> Column:
    """A column from Arrow data; ``type_`` defaults to the Arrow type's own counterpart.

    Raises:
        TypeCheckError: The Arrow type has no counterpart or cannot be cast without loss.
    """
    own = type_from_arrow(data.type)
    type_ = type_ or own
    if type_ is SqlType.STRING:
        if own is not SqlType.STRING:
            data = data.cast(pa.string())
        codes, strings = encode_strings(data)
        return Column(type_, codes, None if codes.min(initial=0) >= 0 else codes >= 0, strings)
    if isinstance(data, pa.ChunkedArray):
        data = data.combine_chunks()
        if isinstance(data, pa.ChunkedArray):
            data = pa.array([], data.type)
    valid: Mask | None = None
    if data.null_count:
        valid = np.asarray(pc.is_valid(data))
    try:
        data = normal(data)
        if type_ is SqlType.TIMESTAMP:
            return Column(type_, np.asarray(pc.fill_null(data.cast(pa.int64()), 0)), valid)
        if type_ is SqlType.DATE:
            values = np.asarray(pc.fill_null(data.cast(pa.date32()).cast(pa.int32()), 0))
            return Column(type_, values, valid)
        if type_ is SqlType.NULL:
            return null_column(type_, len(data))
        cast_data = data if data.type == ARROW[type_] else data.cast(ARROW[type_])
        zero = pa.scalar(False if type_ is SqlType.BOOL else 0, ARROW[type_])
        filled = pc.fill_null(cast_data, zero) if valid is not None else cast_data
        return Column(type_, filled.to_numpy(zero_copy_only=False), valid)
    except MemoryError:
        raise
    except (ValueError, pa.ArrowException) as error:
        raise TypeCheckError(f"cannot read {data.type} as {type_.value}: {error}") from error


def type_from_arrow(arrow: pa.DataType) -> SqlType:
    """The SQL type an Arrow type stands for.

    Raises:
        TypeCheckError: OpenMLDB has no such type.
    """
    found = sql_type_of(arrow)
    if found is not None:
        return SqlType(found)
    plain = storage_type(arrow)
    if pa.types.is_int8(plain):
        return SqlType.INT16
    if pa.types.is_null(plain):
        return SqlType.NULL
    raise TypeCheckError(f"arrow type {arrow} has no OpenMLDB counterpart")


def fill(c: Column, value: Any) -> Column:
    """The column with a Python value in place of NULL."""
    if c.valid is None:
        return c
    n = len(c)
    return concat_columns([c, constant_column(c.type, value, 1)]).take(
        np.where(c.valid, np.arange(n), n)
    )


def concat_columns(parts: Sequence[Column]) -> Column:
    """The columns end to end; all of one type (NULL fits any)."""
    if len(parts) == 1:
        return parts[0]
    type_ = next((p.type for p in parts if p.type is not SqlType.NULL), SqlType.NULL)
    parts = [null_column(type_, len(p)) if p.type is not type_ else p for p in parts]
    valid = None
    if any(p.valid is not None for p in parts):
        valid = np.concatenate([p.mask() for p in parts])
    if type_ is SqlType.STRING:
        strings, maps = unify([p.dictionary for p in parts])
        codes = np.concatenate([remap(p.values, m) for p, m in zip(parts, maps, strict=True)])
        return Column(type_, codes, valid, strings)
    return column(type_, np.concatenate([p.values for p in parts]), valid)


@dataclass(frozen=True, slots=True)
class Batch:
    """Named columns of equal length; names may repeat (a join's output may hold two of a name)."""

    schema: list[tuple[str, SqlType]]
    columns: list[Column]
    num_rows: int

    @classmethod
    def from_rows(
        cls, schema: Iterable[tuple[str, SqlType]], rows: Sequence[Sequence[Any]]
    ) -> Batch:
        """A batch from Python rows.

        Raises:
            TypeCheckError: A value does not fit its column's type.
        """
        schema = list(schema)
        by_column: list[Sequence[Any]] = (
            list(zip(*rows, strict=True)) if rows else [()] * len(schema)
        )
        columns = [
            column_from_list(t, values) for (_, t), values in zip(schema, by_column, strict=True)
        ]
        return cls(schema, columns, len(rows))

    @classmethod
    def from_arrow(
        cls, table: pa.Table, schema: Iterable[tuple[str, SqlType]] | None = None
    ) -> Batch:
        """A batch from an Arrow table, by position; ``schema`` fixes names and types.

        Raises:
            TypeCheckError: A column's type cannot be read as asked.
        """
        if schema is None:
            schema = [(f.name, type_from_arrow(f.type)) for f in table.schema]
        schema = list(schema)
        columns = [column_from_arrow(c, t) for (_, t), c in zip(schema, table.columns, strict=True)]
        return cls(schema, columns, table.num_rows)

    @classmethod
    def empty(cls, schema: Iterable[tuple[str, SqlType]]) -> Batch:
        """A batch of no rows."""
        return cls.from_rows(schema, [])

    @classmethod
    def concat(cls, parts: Sequence[Batch]) -> Batch:
        """The rows of all parts in order, with the first part's names."""
        if len(parts) == 1:
            return parts[0]
        columns = [concat_columns(cs) for cs in zip(*(p.columns for p in parts), strict=True)]
        names = [n for n, _ in parts[0].schema]
        schema = [(n, c.type) for n, c in zip(names, columns, strict=True)]
        return cls(schema, columns, sum(p.num_rows for p in parts))

    def take(self, places: Array) -> Batch:
        """The rows at ``places``."""
        return Batch(self.schema, [c.take(places) for c in self.columns], len(places))

    def slice(self, start: int, stop: int) -> Batch:
        """A view of rows [start, stop)."""
        stop = min(stop, self.num_rows)
        return Batch(self.schema, [c.slice(start, stop) for c in self.columns], stop - start)

    def to_arrow(self) -> pa.Table:
        """An Arrow table; names that repeat are kept as they are."""
        fields = [pa.field(n, ARROW[t]) for n, t in self.schema]
        return pa.Table.from_arrays([c.to_arrow() for c in self.columns], schema=pa.schema(fields))

    def to_rows(self) -> list[tuple[Any, ...]]:
        """Python rows: timestamps as int milliseconds, dates as datetime.date, NULL as None."""
        if not self.columns:
            return [()] * self.num_rows
        return list(zip(*(c.to_list() for c in self.columns), strict=True))

    def nbytes(self) -> int:
        """Bytes of the arrays and dictionaries (shared dictionaries counted once)."""
        seen: dict[int, int] = {}
        total = 0
        for c in self.columns:
            total += c.values.nbytes + (0 if c.valid is None else c.valid.nbytes)
            if c.strings is not None:
                seen[id(c.strings)] = c.strings.arrow.nbytes
        return total + sum(seen.values())

"""Values between the worlds: SQL literals, JSON bodies, the log, and the store's Python values.

A stored value is as ``types.SqlType`` says: timestamps int milliseconds, dates ``datetime.date``.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from openmldb_sql.errors import SqlError
from openmldb_sql.types import ColumnDef, Schema, SqlType

from openmldb_embedded.errors import ExecutionError, ProtocolError

RANGES = {
    SqlType.INT16: (-(2**15), 2**15 - 1),
    SqlType.INT32: (-(2**31), 2**31 - 1),
    SqlType.INT64: (-(2**63), 2**63 - 1),
    SqlType.TIMESTAMP: (-(2**63), 2**63 - 1),
}
SHANGHAI = dt.timezone(dt.timedelta(hours=8))
"""OpenMLDB's fixed zone for text without one."""

_DATE = re.compile(r"(\d{1,4})-(\d{1,2})-(\d{1,2})")
_MOMENT = re.compile(
    r"(\d{1,4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,6}))?)?)?"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
FLOAT_MAX = 3.4028234663852886e38


def to_date(text: str) -> dt.date | None:
    """A date of ``Y-M-D``, or None where the text is none."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    try:
        return dt.date(*(int(part) for part in match.groups()))
    except ValueError:
        return None


def to_moment(text: str) -> int | None:
    """Milliseconds since the epoch of ``Y-M-D[ H:M[:S[.f]]]`` read at UTC+8, or None."""
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        return None
    *parts, fraction = match.groups()
    try:
        moment = dt.datetime(*(int(part or 0) for part in parts), tzinfo=SHANGHAI)  # type: ignore[arg-type,misc]
        whole = (moment - _EPOCH) // dt.timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None
    return whole + int((fraction or "0").ljust(6, "0")[:3])


def from_literal(value: Any, column: ColumnDef) -> Any:
    """The stored value of an INSERT's literal.

    Raises:
        ExecutionError: The literal does not fit the column.
    """
    if value is None:
        if column.not_null:
            raise ExecutionError(f"column {column.name} is NOT NULL: it takes no null value")
        return None
    kind = column.type
    if kind is SqlType.STRING and isinstance(value, str):
        return value
    if kind is SqlType.BOOL and isinstance(value, bool):
        return value
    if kind in RANGES and isinstance(value, int) and not isinstance(value, bool):
        low, high = RANGES[kind]
        if low <= value <= high:
            return value
    elif kind.is_floating and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _floating(value, kind)
    elif kind is SqlType.DATE and isinstance(value, str):
        date = to_date(value)
        if date is not None:
            return date
    elif kind is SqlType.TIMESTAMP and isinstance(value, str):
        moment = to_moment(value)
        if moment is not None:
            return moment
    raise ExecutionError(
        f"convert data type failed: {_shown(value)} is no {kind.value} (column {column.name})"
    )


def _floating(value: float, kind: SqlType) -> float:
    try:
        number = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    if kind is SqlType.FLOAT:
        if abs(number) > FLOAT_MAX and math.isfinite(number):
            return math.copysign(math.inf, number)
        return float(struct.unpack("f", struct.pack("f", number))[0])
    return number


Checker = Callable[[Any], Any]


def _checker(column: ColumnDef) -> Checker:
    """A function from a JSON value to a stored one, strict as the API server is."""
    kind, name = column.type, column.name
    low, high = RANGES.get(kind, (0, 0))
    whole = kind in RANGES
    floating = kind.is_floating

    def check(value: Any) -> Any:
        if value is None:
            if column.not_null:
                raise ProtocolError(f"Translate to request row failed: column {name} is NOT NULL")
            return None
        python = type(value)
        if whole:
            if python is int and low <= value <= high:
                return value
        elif kind is SqlType.STRING:
            if python is str:
                return value
        elif kind is SqlType.BOOL:
            if python is bool:
                return value
        elif floating:
            if python is int or python is float:
                return _floating(value, kind)
        elif kind is SqlType.DATE and python is str:
            date = to_date(value)
            if date is not None:
                return date
        raise ProtocolError(
            f"Translate to request row failed: column {name} takes {_WANTED[kind]}, "
            f"not {_shown(value)}"
        )

    return check


_WANTED = {
    SqlType.BOOL: "true or false",
    SqlType.INT16: "a JSON integer of 16 bits",
    SqlType.INT32: "a JSON integer of 32 bits",
    SqlType.INT64: "a JSON integer of 64 bits",
    SqlType.FLOAT: "a JSON number",
    SqlType.DOUBLE: "a JSON number",
    SqlType.STRING: "a JSON string",
    SqlType.DATE: 'a string "Y-M-D"',
    SqlType.TIMESTAMP: "a JSON integer of milliseconds",
    SqlType.NULL: "null",
}


def _shown(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 256:
        return "a huge integer"
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


class RowReader:
    """Reads JSON rows, arrays or objects, into stored rows of one schema."""

    def __init__(self, schema: Schema) -> None:
        self.names = schema.names
        self.checkers = [_checker(column) for column in schema.columns]

    def read(self, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The stored rows.

        Raises:
            ProtocolError: A row of another length, a key that is missing, a value of another type.
        """
        return [self._row(row, place) for place, row in enumerate(rows)]

    def _row(self, row: Any, place: int) -> tuple[Any, ...]:
        if isinstance(row, dict):
            values: list[Any] = []
            for name in self.names:
                if name not in row:
                    raise ProtocolError(f"can't find col {name}")
                values.append(row[name])
        elif isinstance(row, list):
            if len(row) != len(self.names):
                raise ProtocolError(f"Invalid input data size in row {place}")
            values = row
        else:
            raise ProtocolError(f"Invalid input data: row {place} is neither array nor object")
        try:
            return tuple([check(value) for check, value in zip(self.checkers, values, strict=True)])
        except SqlError as error:
            raise ProtocolError(f"{error.message} in row {place}") from None


def show_date(value: dt.date) -> str:
    """A date as the API server writes it: without padding."""
    return f"{value.year}-{value.month}-{value.day}"


class RowWriter:
    """Writes stored rows as JSON values of one schema."""

    def __init__(self, types: Sequence[SqlType]) -> None:
        self.dates = [i for i, kind in enumerate(types) if kind is SqlType.DATE]
        self.floats = [i for i, kind in enumerate(types) if kind.is_floating]

    def write(
        self, rows: Sequence[Sequence[Any]], *, null_for_nan: bool = False
    ) -> list[list[Any]]:
        """JSON rows; with ``null_for_nan`` NaN and the infinities become null."""
        out = [list(row) for row in rows]
        for i in self.dates:
            for row in out:
                if row[i] is not None:
                    row[i] = show_date(row[i])
        if null_for_nan:
            for i in self.floats:
                for row in out:
                    if row[i] is not None and not math.isfinite(row[i]):
                        row[i] = None
        return out


def to_log(rows: Sequence[Sequence[Any]], schema: Schema) -> list[list[Any]]:
    """Rows as the log keeps them: dates become day ordinals."""
    dates = [i for i, column in enumerate(schema.columns) if column.type is SqlType.DATE]
    out = [list(row) for row in rows]
    for i in dates:
        for row in out:
            if row[i] is not None:
                row[i] = row[i].toordinal()
    return out


def from_log(rows: Sequence[Sequence[Any]], schema: Schema) -> list[tuple[Any, ...]]:
    """The inverse of ``to_log``."""
    dates = [i for i, column in enumerate(schema.columns) if column.type is SqlType.DATE]
    if not dates:
        return [tuple(row) for row in rows]
    out = [list(row) for row in rows]
    for i in dates:
        for row in out:
            if row[i] is not None:
                row[i] = dt.date.fromordinal(row[i])
    return [tuple(row) for row in out]

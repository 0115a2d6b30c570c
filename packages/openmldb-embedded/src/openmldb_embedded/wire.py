"""Values between the worlds: SQL literals, JSON bodies, the log, and the store's Python values.

A stored value is as ``types.SqlType`` says: timestamps int milliseconds, dates ``datetime.date``.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from openmldb_sql.statements import Long, Single
from openmldb_sql.types import ColumnDef, Schema, SqlType

from openmldb_embedded.errors import ExecutionError, Fatal, ProtocolError
from openmldb_embedded.values import WRAP

RANGES = {
    SqlType.INT16: (-(2**15), 2**15 - 1),
    SqlType.INT32: (-(2**31), 2**31 - 1),
    SqlType.INT64: (-(2**63), 2**63 - 1),
    SqlType.TIMESTAMP: (-(2**63), 2**63 - 1),
}
SHANGHAI = dt.timezone(dt.timedelta(hours=8))
"""OpenMLDB's fixed zone for text without one."""

_MOMENT = re.compile(
    r"(\d{1,4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,6}))?)?)?"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
FLOAT_MAX = 3.4028234663852886e38
FIRST_YEAR, LAST_YEAR = 1900, 9999
"""The years that OpenMLDB's dates have."""


@dataclass(frozen=True, order=True)
class OddDate:
    """A date of a request that the calendar does not have, as OpenMLDB reads it.

    Its row format holds year, month and day as three numbers: 2021-2-30 stays what it is, and
    what does not fit becomes 1900-1-0. Tables never hold one.
    """

    year: int
    month: int
    day: int

    def toordinal(self) -> int:
        """Refuse to be a day.

        Raises:
            ExecutionError: Always.
        """
        raise ExecutionError(f"{show_date(self)} is not a day of the calendar: nothing follows it")

    isoformat = weekday = isoweekday = timetuple = toordinal


AnyDate = dt.date | OddDate


def parts_of_date(text: str) -> tuple[int, int, int] | None:
    """Year, month and day of ``Y-M-D``, digits only; None for other text."""
    parts = text.split("-")
    if len(parts) != 3 or not all(p.isascii() and p.isdecimal() and len(p) < 10 for p in parts):
        return None
    year, month, day = (int(part) for part in parts)
    return year, month, day


def is_encodable(year: int, month: int, day: int) -> bool:
    """Whether OpenMLDB's row format takes a date; it counts to 31 in every month."""
    return FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12 and 1 <= day <= 31


def to_date(text: str) -> dt.date | None:
    """A date of ``Y-M-D`` from 1900 on, or None where the text is none."""
    parts = parts_of_date(text)
    if parts is None or not is_encodable(*parts):
        return None
    try:
        return dt.date(*parts)
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


class Misfit(Exception):
    """A constant that a column does not take."""


def from_literal(value: Any, column: ColumnDef, *, strict: bool = False) -> Any:
    """The stored value of an INSERT's constant, by OpenMLDB's rules for each pair of types.

    An INT or SMALLINT wraps around at its own width, as it does on a cluster, unless ``strict``.

    Raises:
        Misfit: The constant's type does not go into the column, or it is not a constant.
    """
    if value is None:
        if column.not_null:
            raise Misfit(f"column {column.name} can't be null")
        return None
    found = _converted(value, column.type, strict=strict)
    if found is None:
        raise Misfit(f"{_shown(value)} is no {column.type.value} (column {column.name})")
    return found


def _converted(value: Any, kind: SqlType, *, strict: bool) -> Any:
    if isinstance(value, bool):
        return value if kind is SqlType.BOOL else None
    if isinstance(value, int):
        long = isinstance(value, Long)
        number = int(value)
        if kind is SqlType.BOOL:
            return None if long else number > 0
        if kind in (SqlType.INT64, SqlType.TIMESTAMP):
            return number
        if kind is SqlType.INT32 or (kind is SqlType.INT16 and not long):
            low, high = RANGES[kind]
            if strict and not low <= number <= high:
                return None
            return WRAP[kind](number)
        return _floating(number, kind) if kind.is_floating and not long else None
    if isinstance(value, float):
        if not kind.is_floating:
            return None
        number_ = _floating(value, SqlType.FLOAT) if isinstance(value, Single) else float(value)
        return _floating(number_, kind)
    if isinstance(value, str) and kind is SqlType.STRING:
        return value
    if isinstance(value, str) and kind is SqlType.DATE:
        return to_date(value)
    return None


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

PLACES = {
    SqlType.BOOL: 0,
    SqlType.INT16: 1,
    SqlType.INT32: 2,
    SqlType.INT64: 3,
    SqlType.FLOAT: 4,
    SqlType.DOUBLE: 5,
    SqlType.STRING: 6,
    SqlType.DATE: 7,
    SqlType.TIMESTAMP: 8,
}
"""The numbers by which the API server's errors name types."""


def _checker(column: ColumnDef, *, strict: bool) -> Checker:
    """A function from a JSON value to a stored one, by the API server's rules.

    It raises Misfit for what does not fit, and Fatal for what ends the real server's process.
    """
    kind, name = column.type, column.name

    def fail(value: Any) -> NoReturn:
        raise Misfit(
            f"trans failed on {name}({PLACES.get(kind, kind.value)}): {_printed(value)}; it takes "
            f"{_WANTED[kind]}{' and no null' if column.not_null else ''}"
        )

    def check(value: Any) -> Any:
        if value is None:
            if column.not_null:
                fail(value)
            return None
        python = type(value)
        if kind is SqlType.STRING:
            if python is str:
                return value
        elif kind in RANGES:
            low, high = RANGES[SqlType.INT32 if kind is SqlType.INT16 else kind]
            if python is int and low <= value <= high:
                if kind is SqlType.INT16 and not -(2**15) <= value < 2**15:
                    raise Fatal(f"column {name}: {value} is out of SMALLINT's range", -1)
                return value
        elif kind is SqlType.FLOAT:
            if python is int or python is float:
                return _floating(value, kind)
        elif kind is SqlType.DOUBLE:
            if python is float:
                return value
            if python is int and _is_exact(value):
                return float(value)
        elif kind is SqlType.BOOL:
            if python is bool:
                return value
        elif kind is SqlType.DATE and python is str:
            parts = parts_of_date(value)
            if parts is not None:
                return _request_date(parts, name, strict=strict)
        fail(value)

    return check


def _is_exact(value: int) -> bool:
    """Whether an integer is a DOUBLE without loss; beyond 64 bits the parser makes it one."""
    return not -(2**63) <= value < 2**64 or int(float(value)) == value


def _request_date(parts: tuple[int, int, int], name: str, *, strict: bool) -> AnyDate:
    try:
        if is_encodable(*parts):
            return dt.date(*parts)
    except ValueError:
        if not strict:
            return OddDate(*parts)
    if strict:
        raise Misfit(f"column {name}: {'-'.join(map(str, parts))} is not a date")
    return OddDate(FIRST_YEAR, 1, 0)


_WANTED = {
    SqlType.BOOL: "true or false",
    SqlType.INT16: "a JSON integer of 16 bits",
    SqlType.INT32: "a JSON integer of 32 bits",
    SqlType.INT64: "a JSON integer of 64 bits",
    SqlType.FLOAT: "a JSON number",
    SqlType.DOUBLE: "a JSON number that 64 bits hold exactly",
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


def _printed(value: Any) -> str:
    """A JSON value as the API server prints it in its errors."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{_floating(value, SqlType.FLOAT):f}"
    if isinstance(value, int):
        return str(value) if -(2**63) <= value < 2**63 else "unknown"
    return value[:60] if isinstance(value, str) else "unknown"


_AS_THEY_COME: dict[SqlType, type] = {
    SqlType.BOOL: bool,
    SqlType.INT16: int,
    SqlType.INT32: int,
    SqlType.INT64: int,
    SqlType.TIMESTAMP: int,
    SqlType.DOUBLE: float,
    SqlType.STRING: str,
}
"""The Python types of JSON values that a column of the type stores without change."""


class RowReader:
    """Reads JSON rows, arrays or objects, into stored rows of one schema.

    Args:
        schema: The columns.
        strict: Refuse dates that the calendar does not have.
    """

    def __init__(self, schema: Schema, *, strict: bool = False) -> None:
        self.schema = schema
        self.names = schema.names
        self.checkers = [_checker(column, strict=strict) for column in schema.columns]
        self._texts = [c.name for c in schema.columns if c.type is SqlType.STRING]

    def read(self, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The stored rows.

        Raises:
            ProtocolError: A row of another length, a key that is missing, a value of another type.
            Fatal: A value that ends the real server's process.
        """
        if len(rows) > 1:
            plain = self._plain(rows)
            if plain is not None:
                return plain
        return [self._row(row, place) for place, row in enumerate(rows)]

    def _plain(self, rows: Sequence[Any]) -> list[tuple[Any, ...]] | None:
        """Rows whose values are stored as they come, checked column by column; None for others."""
        width = len(self.names)
        if not all(type(row) is list and len(row) == width for row in rows):
            return None
        for column, values in zip(self.schema.columns, zip(*rows, strict=True), strict=True):
            wanted = _AS_THEY_COME.get(column.type)
            kinds = set(map(type, values))
            if kinds != {wanted}:
                return None
            if wanted is int:
                low, high = RANGES[column.type]
                if min(values) < low or max(values) > high:
                    return None
        return list(map(tuple, rows))

    def _row(self, row: Any, place: int) -> tuple[Any, ...]:
        values: list[Any]
        if isinstance(row, dict):
            what = "map"
            failed = f"Translate to request row failed in map row {place}, INVALID_ARGUMENT: "
            for name in self._texts:
                if name not in row:
                    raise ProtocolError(f"{failed}can't find col {name}")
            values = []
            for name in self.names:
                if name not in row:
                    raise ProtocolError(f"{failed}can't find {name}")
                values.append(row[name])
        elif isinstance(row, list):
            what = "array"
            if len(row) != len(self.names):
                raise ProtocolError(f"Invalid input data size in row {place}")
            values = row
        else:
            raise ProtocolError(f"Must be array or map, row {place}")
        try:
            return tuple([check(value) for check, value in zip(self.checkers, values, strict=True)])
        except Misfit as error:
            raise ProtocolError(
                f"Translate to request row failed in {what} row {place}, INVALID_ARGUMENT: {error}"
            ) from None


def put_row(values: Sequence[Any], schema: Schema, *, strict: bool = False) -> tuple[Any, ...]:
    """The stored row of a PUT, by the API server's rules.

    Raises:
        ProtocolError: A value that the server refuses.
        Fatal: A value that ends its process: a wrongly typed one, or NULL where there can be none.
    """
    if len(values) != len(schema.columns):
        raise ProtocolError("column size != schema size")
    for value, column in zip(values, schema.columns, strict=True):
        if column.type is SqlType.STRING and value is not None and not isinstance(value, str):
            raise ProtocolError(f"value is not string for col {column.name}")
    row = []
    for value, column in zip(values, schema.columns, strict=True):
        try:
            stored = _checker(column, strict=True)(value)
        except Misfit:
            message = f"convertion failed on col {column.name}[{PLACES.get(column.type)}]"
            if isinstance(value, str):
                raise ProtocolError(f"{message} with value {value[:60]}") from None
            raise Fatal(f"{message}: {_printed(value)} is no {column.type.value}", -1) from None
        if isinstance(stored, dt.date) and not FIRST_YEAR <= stored.year <= LAST_YEAR:
            raise ProtocolError(f"convertion failed on col {column.name}[7] with value {value}")
        row.append(stored)
    times = {index.ts for index in schema.indexes if index.ts is not None}
    for stored, column in zip(row, schema.columns, strict=True):
        if column.name in times and (stored is None or stored < 0):
            shown = "NULL" if stored is None else stored
            raise Fatal(f"column {column.name} is an index's time and takes no {shown}", -1)
    return tuple(row)


def show_date(value: AnyDate) -> str:
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

    def finite(self, rows: Sequence[Sequence[Any]]) -> bool:
        """Whether rows hold neither NaN nor an infinity."""
        for i in self.floats:
            values = [row[i] for row in rows]
            if None in values:
                values = [x for x in values if x is not None]
            if not all(map(math.isfinite, values)):
                return False
        return True


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

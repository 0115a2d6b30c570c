"""Conversions between values of SQL types, one value at a time: the meaning both modes share."""

from __future__ import annotations

import ctypes
import datetime as dt
import math
import re
from collections.abc import Callable
from typing import Any

from openmldb_sql.types import SqlType

UTC8_MS = 8 * 3600 * 1000
"""OpenMLDB computes every date part in UTC+8 (hybridse/src/udf/udf.cc, TZ = 8)."""

DAY_MS = 86_400_000
EPOCH_ORDINAL = 719163
MAX_MS = 253_402_271_999_999
"""The last millisecond of the year 9999 in UTC+8."""

_c_float = ctypes.c_float


def to_float32(value: float) -> float:
    """The nearest 32 bit float."""
    return _c_float(value).value


def wrap16(value: int) -> int:
    """The value modulo 2**16, signed."""
    return ((value + 0x8000) & 0xFFFF) - 0x8000


def wrap32(value: int) -> int:
    """The value modulo 2**32, signed."""
    return ((value + 0x80000000) & 0xFFFFFFFF) - 0x80000000


def wrap64(value: int) -> int:
    """The value modulo 2**64, signed."""
    return ((value + 0x8000000000000000) & 0xFFFFFFFFFFFFFFFF) - 0x8000000000000000


WRAP: dict[SqlType, Callable[[int], int]] = {
    SqlType.INT16: wrap16,
    SqlType.INT32: wrap32,
    SqlType.INT64: wrap64,
    SqlType.TIMESTAMP: wrap64,
}


def timestamp_date(ms: int) -> dt.date | None:
    """The date in UTC+8; None beyond year 9999 or before year 1."""
    ordinal = (ms + UTC8_MS) // DAY_MS + EPOCH_ORDINAL
    return dt.date.fromordinal(ordinal) if 1 <= ordinal <= 3_652_059 else None


def timestamp_datetime(ms: int) -> dt.datetime | None:
    """The wall-clock time in UTC+8, to the second."""
    date = timestamp_date(ms)
    if date is None:
        return None
    second = ((ms + UTC8_MS) % DAY_MS) // 1000
    return dt.datetime(
        date.year, date.month, date.day, second // 3600, second // 60 % 60, second % 60
    )


def date_timestamp(date: dt.date) -> int:
    """Milliseconds of the date's midnight in UTC+8."""
    return (date.toordinal() - EPOCH_ORDINAL) * DAY_MS - UTC8_MS


def format_timestamp(ms: int) -> str | None:
    """``YYYY-MM-DD HH:MM:SS`` in UTC+8."""
    when = timestamp_datetime(ms)
    if when is None:
        return None
    return f"{_iso(when)} {when.hour:02d}:{when.minute:02d}:{when.second:02d}"


def _iso(d: dt.date) -> str:
    return f"{d.year:04d}-{d.month:02d}-{d.day:02d}"


def format_double(value: float) -> str:
    """As a C++ stream prints it: six significant digits."""
    if math.isnan(value):
        return "nan" if math.copysign(1, value) > 0 else "-nan"
    return f"{value:g}"


def format_fixed(value: float) -> str:
    """As ``std::to_string`` prints it: six decimals."""
    return f"{value:f}"


def to_string(value: Any, type_: SqlType) -> str | None:
    """The value as text, as ``string(x)`` and ``concat`` give it."""
    if type_ is SqlType.STRING:
        return str(value)
    if type_ is SqlType.BOOL:
        return "true" if value else "false"
    if type_ in (SqlType.FLOAT, SqlType.DOUBLE):
        return format_double(value)
    if type_ is SqlType.TIMESTAMP:
        return format_timestamp(value)
    if type_ is SqlType.DATE:
        return _iso(value)
    return str(value)


def key_string(value: Any, type_: SqlType) -> str:
    """The value as a key or value in the text of ``*_cate`` and ``topn_frequency``."""
    if type_ in (SqlType.FLOAT, SqlType.DOUBLE):
        return format_fixed(value)
    return to_string(value, type_) or ""


_DATE_TEXT = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})|(\d{4})(\d{2})(\d{2})")
_TIME_TEXT = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})[ T](\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,9}))?"
    r"(Z|[+-]\d{2}:?\d{2})?"
)


def parse_date(text: str) -> dt.date | None:
    """A date as ``YYYY-MM-DD``, ``YYYYMMDD`` or the date of a time; None for other text."""
    m = _DATE_TEXT.fullmatch(text)
    if m is None:
        m = _TIME_TEXT.fullmatch(text)
        if m is None:
            return None
    parts = [int(g) for g in (m.groups()[:3] if m[1] else m.groups()[3:6])]
    try:
        return dt.date(*parts)
    except ValueError:
        return None


def parse_timestamp(text: str) -> int | None:
    """Milliseconds of a date, or a date and time, in UTC+8 unless it names its own offset."""
    m = _TIME_TEXT.fullmatch(text)
    if m is None:
        date = parse_date(text)
        return None if date is None else date_timestamp(date)
    try:
        year, month, day, hour, minute, second = (int(g) for g in m.groups()[:6])
        when = dt.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    ms = (when.toordinal() - EPOCH_ORDINAL) * DAY_MS
    ms += (when.hour * 3600 + when.minute * 60 + when.second) * 1000
    if m[7]:
        ms += int(m[7].ljust(3, "0")[:3])
    zone = m[8]
    if zone is None:
        return ms - UTC8_MS
    if zone == "Z":
        return ms
    digits = zone[1:].replace(":", "")
    shift = (int(digits[:2]) * 60 + int(digits[2:])) * 60_000
    return ms - shift if zone[0] == "+" else ms + shift


_INT_TEXT = re.compile(r"\s*[-+]?\d{1,20}\s*")
_BOOL_TEXT = {
    "true": True, "t": True, "yes": True, "y": True, "1": True,
    "false": False, "f": False, "no": False, "n": False, "0": False,
}  # fmt: skip

_INT_RANGE = {SqlType.INT16: 15, SqlType.INT32: 31, SqlType.INT64: 63}


def _parse_int(text: str, type_: SqlType) -> int | None:
    if not _INT_TEXT.fullmatch(text):
        return None
    value = int(text)
    bound = 1 << _INT_RANGE[type_]
    return value if -bound <= value < bound else None


def _parse_float(text: str) -> float | None:
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None


def _float_to_int(value: float, wrap: Callable[[int], int]) -> int:
    if math.isnan(value) or math.isinf(value):
        return 0
    return wrap(int(value))


Converter = Callable[[Any], Any]


def converter(source: SqlType, target: SqlType) -> Converter | None:
    """How a non-NULL value is cast, or None where OpenMLDB has no such cast.

    The result may be None: text that does not parse, a time out of range.
    """
    if source is SqlType.NULL or target is SqlType.NULL:
        return lambda v: None
    if source is target:
        return lambda v: v
    if target is SqlType.STRING:
        return None if source is SqlType.LIST else (lambda v: to_string(v, source))
    if source is SqlType.STRING:
        return _from_string(target)
    number = source.is_numeric or source in (SqlType.BOOL, SqlType.TIMESTAMP)
    if target.is_integer and number:
        wrap = WRAP[target]
        if source.is_floating:
            return lambda v: _float_to_int(v, wrap)
        return lambda v: wrap(int(v))
    if target is SqlType.DOUBLE and number:
        return float
    if target is SqlType.FLOAT and number:
        return lambda v: to_float32(float(v))
    if target is SqlType.BOOL and number:
        return bool
    if target is SqlType.TIMESTAMP:
        if source is SqlType.DATE:
            return date_timestamp
        if source.is_floating:
            return lambda v: _or_null(_float_to_int(v, wrap64))
        if number:
            return lambda v: _or_null(int(v))
    if target is SqlType.DATE and source is SqlType.TIMESTAMP:
        return timestamp_date
    return None


def _or_null(ms: int) -> int | None:
    return ms if ms >= 0 else None


def _from_string(target: SqlType) -> Converter | None:
    if target.is_integer:
        return lambda v: _parse_int(v, target)
    if target is SqlType.DOUBLE:
        return _parse_float
    if target is SqlType.FLOAT:
        return lambda v: None if (f := _parse_float(v)) is None else to_float32(f)
    if target is SqlType.BOOL:
        return lambda v: _BOOL_TEXT.get(v.strip().lower())
    if target is SqlType.DATE:
        return parse_date
    if target is SqlType.TIMESTAMP:
        return parse_timestamp
    return None


NUMBER_ORDER = {
    SqlType.BOOL: 0,
    SqlType.INT16: 1,
    SqlType.INT32: 2,
    SqlType.INT64: 3,
    SqlType.FLOAT: 4,
    SqlType.DOUBLE: 5,
}


def wider(a: SqlType, b: SqlType) -> SqlType | None:
    """The arithmetic type of two numbers (BOOL counts as INT16), or None."""
    if a not in NUMBER_ORDER or b not in NUMBER_ORDER:
        return None
    out = a if NUMBER_ORDER[a] >= NUMBER_ORDER[b] else b
    return SqlType.INT16 if out is SqlType.BOOL else out


def common(a: SqlType, b: SqlType) -> SqlType | None:
    """The type that CASE branches, IFNULL arguments and UNION columns of these types share."""
    if a is b or b is SqlType.NULL:
        return a
    if a is SqlType.NULL:
        return b
    numeric = wider(a, b)
    if numeric is not None:
        return numeric
    if SqlType.STRING in (a, b) and SqlType.LIST not in (a, b):
        return SqlType.STRING
    if {a, b} <= {SqlType.TIMESTAMP, SqlType.INT64, SqlType.INT32, SqlType.INT16}:
        return SqlType.TIMESTAMP
    if {a, b} == {SqlType.TIMESTAMP, SqlType.DATE}:
        return SqlType.TIMESTAMP
    return None

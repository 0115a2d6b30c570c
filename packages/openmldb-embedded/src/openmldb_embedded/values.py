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

COMPOSITE = (SqlType.LIST, SqlType.ARRAY, SqlType.MAP, SqlType.FEATURE)
"""Types that only stand between functions: they are cast to nothing."""

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


def seconds_of(ms: int) -> int:
    """Whole seconds of UTC+8's wall clock since the epoch, cut towards zero as the engine does."""
    shifted = wrap64(ms + UTC8_MS)
    return shifted // 1000 if shifted >= 0 else -(-shifted // 1000)


def civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day counted from the epoch, in any year."""
    era, rest = divmod(days + 719_468, 146_097)  # eras of 400 years, from 1 March
    year_of_era = (rest - rest // 1460 + rest // 36_524 - rest // 146_096) // 365
    day_of_year = rest - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_of_year = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_of_year + 2) // 5 + 1
    month = month_of_year + 3 if month_of_year < 10 else month_of_year - 9
    return year_of_era + era * 400 + (month <= 2), month, day


def timestamp_date(ms: int) -> dt.date | None:
    """The date in UTC+8; None beyond year 9999 or before year 1."""
    ordinal = seconds_of(ms) // 86_400 + EPOCH_ORDINAL
    return dt.date.fromordinal(ordinal) if 1 <= ordinal <= 3_652_059 else None


def date_timestamp(date: dt.date) -> int:
    """Milliseconds of the date's midnight in UTC+8."""
    return (date.toordinal() - EPOCH_ORDINAL) * DAY_MS - UTC8_MS


def format_timestamp(ms: int) -> str:
    """``YYYY-MM-DD HH:MM:SS`` in UTC+8."""
    days, second = divmod(seconds_of(ms), 86_400)
    year, month, day = civil(days)
    return (
        f"{year}-{month:02d}-{day:02d} "
        f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    )


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


_TIME_TEXT = re.compile(
    r"\s*(\d{1,4})-\s*(\d{1,2})-\s*(\d{1,2})\s*(\d{1,2}):\s*(\d{1,2}):\s*(\d{1,2})"
)
_DATE_PARTS = re.compile(r"[-,. /]+")
_MONTHS = {
    name[:cut]: number
    for number, name in enumerate(
        [
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ],
        1,
    )
    for cut in (3, None)
}
_FIRST_DATE = dt.date(1900, 1, 1)
"""Earlier dates no row can hold: text that spells one is NULL."""


def _wall_clock(text: str) -> tuple[int, ...] | None:
    """Year to second of 19 characters as C's strptime reads ``%Y-%m-%d %H:%M:%S``."""
    m = _TIME_TEXT.match(text)
    if m is None:
        return None
    year, month, day, hour, minute, second = parts = tuple(int(g) for g in m.groups())
    fits = 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 61
    return parts if fits and year >= 1900 else None


def _date_parts(text: str) -> dt.date | None:
    """The date of 10 characters ``YYYY-MM-DD`` (other separators too) or 8 ``YYYYMMDD``."""
    if len(text) == 8:
        parts = [text[:4], text[4:6], text[6:]]
    else:
        parts = [p for p in _DATE_PARTS.split(text) if p][:3]
    if len(parts) < 3:
        return None
    month = _MONTHS.get(parts[1].lower(), 0) if len(text) == 10 else 0
    if not month and parts[1].isdecimal() and parts[1].isascii():
        month = int(parts[1])
    if not (_DIGITS.fullmatch(parts[0]) and _DIGITS.fullmatch(parts[2])):
        return None
    try:
        return dt.date(int(parts[0]), month, int(parts[2]))
    except ValueError:
        return None


_DIGITS = re.compile(r"\+?[0-9]{1,5}")


def parse_date(text: str) -> dt.date | None:
    """The date that ``date(text)`` reads: a time, ``YYYY-MM-DD`` or ``YYYYMMDD``, from 1900 on."""
    size = len(text.encode("utf-8", "surrogateescape"))
    if size == 19:
        clock = _wall_clock(text)
        if clock is None:
            return None
        try:
            return dt.date(*clock[:3])
        except ValueError:  # 31 February: the engine makes a date that no calendar has
            return None
    found = _date_parts(text) if size in (8, 10) else None
    return found if found is not None and found >= _FIRST_DATE else None


def parse_timestamp(text: str) -> int | None:
    """Milliseconds that ``timestamp(text)`` reads: the forms of ``parse_date``, in UTC+8."""
    size = len(text.encode("utf-8", "surrogateescape"))
    if size == 19:
        clock = _wall_clock(text)
        if clock is None:
            return None
        year, month, day, hour, minute, second = clock
        days = dt.date(year, month, 1).toordinal() - EPOCH_ORDINAL + day - 1
        return (days * 86_400 + hour * 3600 + minute * 60 + second) * 1000 - UTC8_MS
    found = _date_parts(text) if size in (8, 10) else None
    return date_timestamp(found) if found is not None and found >= _FIRST_DATE else None


_BLANKS = " \t\n\v\f\r"
_INT_TEXT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|[0-9]+)")
_FLOAT_TEXT = re.compile(
    r"[ \t\n\v\f\r]*([-+]?)(?:"
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<hex>0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][-+]?[0-9]+)?)"
    r"|(?P<inf>inf(?:inity)?)|(?P<nan>nan(?:\([0-9a-z_]*\))?))",
    re.IGNORECASE,
)
_BOOL_TEXT = {
    "true": True, "t": True, "yes": True, "y": True, "1": True,
    "false": False, "f": False, "no": False, "n": False, "0": False,
}  # fmt: skip

_INT_RANGE = {SqlType.INT16: 15, SqlType.INT32: 31, SqlType.INT64: 63}


def _parse_int(text: str, type_: SqlType) -> int | None:
    """As C's strtoll, decimal or hexadecimal, with blanks around."""
    text = text.strip(_BLANKS)
    if not _INT_TEXT.fullmatch(text):
        return None
    value = int(text, 16) if text.lstrip("+-")[:2] in ("0x", "0X") else int(text)
    bound = 1 << _INT_RANGE[type_]
    return value if -bound <= value < bound else None


def parse_float(text: str) -> float | None:
    """As C's strtod: blanks may stand before the number, nothing after it."""
    m = _FLOAT_TEXT.fullmatch(text)
    if m is None:
        return None
    if m["number"]:
        value = float(m["number"])
    elif m["hex"]:
        try:
            value = float.fromhex(m["hex"])
        except OverflowError:
            value = math.inf
    else:
        value = math.inf if m["inf"] else math.nan
    return math.copysign(value, -1.0) if m[1] == "-" else value


def float_to_int(value: float, type_: SqlType) -> int:
    """The whole part as x86 converts it: what does not fit is the least integer.

    SMALLINT is made of 32 bits, of which 16 stay.
    """
    bound = 2.0**63 if type_ in (SqlType.INT64, SqlType.TIMESTAMP) else 2.0**31
    whole = int(value) if -bound - 1 < value < bound else -int(bound)
    return wrap16(whole) if type_ is SqlType.INT16 else max(whole, -int(bound))


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
        return None if source in COMPOSITE else (lambda v: to_string(v, source))
    if source is SqlType.STRING:
        return _from_string(target)
    number = source.is_numeric or source in (SqlType.BOOL, SqlType.TIMESTAMP)
    if target.is_integer and number:
        wrap = WRAP[target]
        if source.is_floating:
            return lambda v: float_to_int(v, target)
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
            return lambda v: _or_null(float_to_int(v, SqlType.INT64))
        if number:
            return lambda v: _or_null(int(v))
    if target is SqlType.DATE and source is SqlType.TIMESTAMP:
        return timestamp_date
    if source is SqlType.DATE and (target is SqlType.BOOL or target.is_numeric):
        return lambda v: None  # OpenMLDB takes the cast, and gives NULL
    return None


def _or_null(ms: int) -> int | None:
    return ms if ms >= 0 else None


def _from_string(target: SqlType) -> Converter | None:
    if target.is_integer:
        return lambda v: _parse_int(v, target)
    if target is SqlType.DOUBLE:
        return parse_float
    if target is SqlType.FLOAT:
        return lambda v: None if (f := parse_float(v)) is None else to_float32(f)
    if target is SqlType.BOOL:
        return lambda v: _BOOL_TEXT.get(v.lower())
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
    """The type that CASE branches and IFNULL arguments of these types share, or None.

    Numbers widen (BIGINT or DOUBLE beside FLOAT gives DOUBLE), integers become times beside a
    TIMESTAMP, and all else becomes text (hybridse ``ExprNode::CompatibleType``).
    """
    if a is b or b is SqlType.NULL:
        return a
    if a is SqlType.NULL:
        return b
    if a in COMPOSITE or b in COMPOSITE:
        return None
    if a in NUMBER_ORDER and b in NUMBER_ORDER:
        if SqlType.FLOAT in (a, b) and SqlType.INT64 in (a, b):
            return SqlType.DOUBLE
        return a if NUMBER_ORDER[a] >= NUMBER_ORDER[b] else b
    other = b if a is SqlType.TIMESTAMP else a if b is SqlType.TIMESTAMP else None
    if other is not None and (other.is_integer or other is SqlType.BOOL):
        return SqlType.TIMESTAMP
    return SqlType.STRING

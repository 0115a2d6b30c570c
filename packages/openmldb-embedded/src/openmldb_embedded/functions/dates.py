"""The functions of times and dates; all parts are in UTC+8."""

from __future__ import annotations

import calendar
import datetime as dt
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.columns import Array, Column, column, null_column
from openmldb_embedded.expr import Impl
from openmldb_embedded.functions.registry import Resolve, Types, register

T = SqlType


def _days(c: Column) -> Array:
    """Days since the epoch in UTC+8; times are cut to seconds first, as by ``v.seconds_of``."""
    if c.type is T.DATE:
        return c.values.astype(np.int64)
    shifted = c.values.astype(np.int64) + v.UTC8_MS
    days = np.floor_divide(shifted, v.DAY_MS)
    before = shifted < 0
    if before.any():
        seconds = np.where(before, -(-shifted // 1000), shifted // 1000)
        days = np.floor_divide(seconds, 86_400)
    return np.asarray(days)


DatePart = Callable[[int], int]
"""From a day counted from the epoch to a part of its date."""


def _date_part(part: DatePart, vector: Callable[[Array], Array], *, from_1970: bool) -> Resolve:
    """A part of a date; ``from_1970``: NULL for times before the epoch."""

    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 or types[0] not in (T.INT64, T.TIMESTAMP, T.DATE, T.NULL):
            return None
        of_date = types[0] is T.DATE

        def row(a: Any) -> int | None:
            if of_date:
                return part(a.toordinal() - v.EPOCH_ORDINAL)
            return None if from_1970 and a < 0 else part(v.seconds_of(a) // 86_400)

        def run(args: list[Column], n: int) -> Column:
            if args[0].type is T.NULL:
                return null_column(T.INT32, n)
            mask = args[0].valid
            if from_1970 and not of_date:
                inside = args[0].values >= 0
                mask = inside if mask is None else mask & inside
            return column(T.INT32, vector(_days(args[0])), mask)

        return Impl(T.INT32, row, run)

    return resolve


def _c_mod(a: int, b: int) -> int:
    return a % b if a >= 0 else -(-a % b)


def _c_div(a: int, b: int) -> int:
    return a // b if a >= 0 else -(-a // b)


def _clock_part(shift: int, span: int, unit: int) -> Resolve:
    """A part of the clock as C computes it: negative before the epoch."""

    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 or types[0] not in (T.INT64, T.TIMESTAMP, T.NULL):
            return None

        def run(args: list[Column], n: int) -> Column:
            if args[0].type is T.NULL:
                return null_column(T.INT32, n)
            within = np.fmod(args[0].values.astype(np.int64) + shift, span)
            out = np.where(within < 0, -(-within // unit), within // unit)
            return Column(T.INT32, out.astype(np.int32), args[0].valid)

        return Impl(T.INT32, lambda a: _c_div(_c_mod(v.wrap64(a + shift), span), unit), run)

    return resolve


def _months(days: Array) -> Array:
    return days.astype("datetime64[D]").astype("datetime64[M]")


def _iso_week(days: Array) -> Array:
    thursday = days - (days + 3) % 7 + 3
    year = thursday.astype("datetime64[D]").astype("datetime64[Y]")
    return np.asarray((thursday - year.astype("datetime64[D]").astype(np.int64)) // 7 + 1)


def _week(days: int) -> int:
    """The ISO week; 0 in years that OpenMLDB's calendar lacks."""
    year = v.civil(days)[0]
    return int(_iso_week(np.array([days]))[0]) if 1400 <= year <= 9999 else 0


def _weeks(days: Array) -> Array:
    inside = (days >= _FIRST_DAY) & (days <= _LAST_DAY)
    return np.where(inside, _iso_week(np.where(inside, days, 0)), 0)


_FIRST_DAY = dt.date(1400, 1, 1).toordinal() - v.EPOCH_ORDINAL
_LAST_DAY = dt.date(9999, 12, 31).toordinal() - v.EPOCH_ORDINAL


def _day_of_year(days: int) -> int:
    before = v.civil(days)[0] - 1
    start = before * 365 + before // 4 - before // 100 + before // 400 + 1 - v.EPOCH_ORDINAL
    return days - start + 1


_FROM = "(TIMESTAMP | BIGINT | DATE)"
for _names, _part, _vector, _from_1970, _doc in (
    (
        "year",
        lambda d: v.civil(d)[0],
        lambda x: _months(x).astype("datetime64[Y]").astype(int) + 1970,
        False,
        "the year, in UTC+8",
    ),
    (
        "month",
        lambda d: v.civil(d)[1],
        lambda x: _months(x).astype(int) % 12 + 1,
        False,
        "the month, 1 to 12, in UTC+8",
    ),
    (
        "day dayofmonth",
        lambda d: v.civil(d)[2],
        lambda x: x - _months(x).astype("datetime64[D]").astype(np.int64) + 1,
        False,
        "the day of the month, in UTC+8",
    ),
    (
        "dayofweek",
        lambda d: (d + 4) % 7 + 1,
        lambda x: (x + 4) % 7 + 1,
        False,
        "1 = Sunday to 7 = Saturday, in UTC+8",
    ),
    (
        "dayofyear",
        _day_of_year,
        lambda x: (
            x - _months(x).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64) + 1
        ),
        True,
        "the day of the year, in UTC+8; NULL before 1970",
    ),
    ("week weekofyear", _week, _weeks, False, "the ISO week of the year, in UTC+8"),
):
    register(_names, _FROM, _doc)(_date_part(_part, _vector, from_1970=_from_1970))

_HOUR = 3_600_000
register("hour", "(TIMESTAMP | BIGINT)", "the hour, in UTC+8")(
    _clock_part(v.UTC8_MS, v.DAY_MS, _HOUR)
)
register("minute", "(TIMESTAMP | BIGINT)", "the minute")(_clock_part(0, _HOUR, 60_000))
register("second", "(TIMESTAMP | BIGINT)", "the second")(_clock_part(0, 60_000, 1000))

_STRFTIME = re.compile(r"%(.)", re.DOTALL)
_STRFTIME_LENGTH = 80
"""Bytes that OpenMLDB gives to the formatted time."""


def _strftime(days: int, second: int, pattern: str) -> str:
    year, month, day = v.civil(days)
    weekday, day_of_year = (days + 3) % 7, _day_of_year(days)
    when = (
        year,
        month,
        day,
        second // 3600,
        second // 60 % 60,
        second % 60,
        weekday,
        day_of_year,
        0,
    )

    def one(m: re.Match[str]) -> str:
        # Python's %Y does not pad years below 1000 on every platform.
        return str(year) if m[1] == "Y" else time.strftime(f"%{m[1]}", when)

    out = _STRFTIME.sub(one, pattern)
    return out if len(out.encode("utf-8", "surrogateescape")) < _STRFTIME_LENGTH else ""


@register("date_format", "(TIMESTAMP | DATE, STRING)", "the time as text by a strftime pattern")
def _date_format(types: Types) -> Impl | None:
    if len(types) != 2 or types[1] is not T.STRING:
        return None
    if types[0] is T.TIMESTAMP:
        return Impl(T.STRING, lambda a, p: _strftime(*divmod(v.seconds_of(a), 86_400), p))
    if types[0] is T.DATE:
        return Impl(T.STRING, lambda a, p: _strftime(a.toordinal() - v.EPOCH_ORDINAL, 0, p))
    return None


@register("unix_timestamp", "(DATE | STRING)", "seconds since the epoch")
def _unix_timestamp(types: Types) -> Impl | None:
    if len(types) != 1 or types[0] not in (T.DATE, T.STRING):
        return None
    to_ms = v.converter(types[0], T.TIMESTAMP)
    assert to_ms is not None

    def row(a: Any) -> int | None:
        ms = to_ms(a)
        return None if ms is None else _c_div(ms, 1000)

    return Impl(T.INT64, row)


_DAY_TEXT = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_COMPACT_DAY_TEXT = re.compile(r"(\d{4})(\d{1,2})(\d{1,2})")
_CLOCK_TEXT = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})\s+(\d{1,2}):(\d{1,2}):(\d{1,2})")
_ISO_TEXT = re.compile(
    r"(-?\d+)-(\d{1,2})-(\d{1,2})[Tt](\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.\d+)?"
    r"(?:[Zz]|([-+])(\d{1,2}):?(\d{2})?)"
)


def _text_day(text: str) -> int | None:
    """The day (from the epoch) that ``datediff`` reads in a text.

    The text is read as UTC, whatever it means elsewhere, and its day is taken in UTC+8.
    """
    size = len(text.encode("utf-8", "surrogateescape"))
    form = {19: _CLOCK_TEXT, 10: _DAY_TEXT, 8: _COMPACT_DAY_TEXT}.get(size, _ISO_TEXT)
    m = form.fullmatch(text.strip())
    if m is None:
        return None
    parts = [int(g) for g in m.groups()[:6]] + [0] * (6 - min(6, len(m.groups())))
    year, month, day, hour, minute, second = parts
    if not (hour < 24 and minute < 60 and second <= 60):
        return None
    try:
        days = dt.date(year, month, day).toordinal() - v.EPOCH_ORDINAL
    except ValueError:
        return None
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second
    if form is _ISO_TEXT and m[7]:
        offset = int(m[8]) * 3600 + int(m[9] or 0) * 60
        seconds -= offset if m[7] == "+" else -offset
    return (seconds + v.UTC8_MS // 1000) // 86_400


@register("datediff", "(DATE | STRING, DATE | STRING)", "days from the second to the first")
def _datediff(types: Types) -> Impl | None:
    if len(types) != 2 or any(t not in (T.DATE, T.STRING) for t in types):
        return None

    def day(type_: SqlType) -> Callable[[Any], int | None]:
        return _text_day if type_ is T.STRING else (lambda d: d.toordinal() - v.EPOCH_ORDINAL)

    first, second = day(types[0]), day(types[1])

    def row(a: Any, b: Any) -> int | None:
        x, y = first(a), second(b)
        return None if x is None or y is None else x - y

    return Impl(T.INT32, row)


@register("last_day", _FROM, "the last day of the month, in UTC+8; NULL before 1970")
def _last_day(types: Types) -> Impl | None:
    if len(types) != 1 or types[0] not in (T.INT64, T.TIMESTAMP, T.DATE):
        return None
    of_date = types[0] is T.DATE

    def row(a: Any) -> dt.date | None:
        date = a if of_date else None if a < 0 else v.timestamp_date(a)
        if date is None:
            return None
        return date.replace(day=calendar.monthrange(date.year, date.month)[1])

    return Impl(T.DATE, row)


@register("add_months", "(DATE, integer)", "the date so many months later")
def _add_months(types: Types) -> Impl | None:
    if len(types) != 2 or types[0] is not T.DATE or not types[1].is_integer:
        return None

    def row(date: dt.date, months: int) -> dt.date | None:
        at = date.year * 12 + date.month - 1 + months
        year, month = at // 12, at % 12 + 1
        if not 1900 <= year <= 9999:
            return None
        day = min(date.day, calendar.monthrange(year, month)[1])
        return dt.date(year, month, day)

    return Impl(T.DATE, row)

"""The functions of times and dates; all parts are in UTC+8."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.columns import Array, Column, column, null_column
from openmldb_embedded.expr import Impl
from openmldb_embedded.functions.registry import Resolve, Types, register

T = SqlType


def _shifted(c: Column) -> tuple[Array, Array]:
    """Days since the epoch and milliseconds of the day, in UTC+8."""
    if c.type is T.DATE:
        days = c.values.astype(np.int64)
        return days, np.zeros_like(days)
    ms = c.values.astype(np.int64)
    within = np.mod(ms, v.DAY_MS) + v.UTC8_MS  # the shift comes last: nothing overflows
    return np.floor_divide(ms, v.DAY_MS) + within // v.DAY_MS, np.mod(within, v.DAY_MS)


def _date_of(type_: SqlType) -> Callable[[Any], dt.date | None]:
    return (lambda a: a) if type_ is T.DATE else v.timestamp_date


def _date_part(
    part: Callable[[dt.date], int], vector: Callable[[Array], Array] | None = None
) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 or types[0] not in (T.INT64, T.TIMESTAMP, T.DATE, T.NULL):
            return None
        date_of = _date_of(types[0])

        def row(a: Any) -> Any:
            date = date_of(a)
            return None if date is None else part(date)

        def run(args: list[Column], n: int) -> Column:
            if args[0].type is T.NULL:
                return null_column(T.INT32, n)
            days, _ = _shifted(args[0])
            inside = (days >= -719_162) & (days <= 2_932_896)
            mask = args[0].valid
            if not inside.all():
                mask = inside if mask is None else mask & inside
                days = np.where(inside, days, 0)
            assert vector is not None
            return column(T.INT32, vector(days), mask)

        return Impl(T.INT32, row, None if vector is None else run)

    return resolve


def _clock_part(part: Callable[[int], int]) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 or types[0] not in (T.INT64, T.TIMESTAMP, T.NULL):
            return None

        def run(args: list[Column], n: int) -> Column:
            if args[0].type is T.NULL:
                return null_column(T.INT32, n)
            out = _of_array(_shifted(args[0])[1])
            return Column(T.INT32, out.astype(np.int32), args[0].valid)

        def _of_array(ms: Array) -> Array:
            return np.asarray(part(ms))  # type: ignore[arg-type]

        return Impl(T.INT32, lambda a: part((a + v.UTC8_MS) % v.DAY_MS), run)

    return resolve


def _months(days: Array) -> Array:
    return days.astype("datetime64[D]").astype("datetime64[M]")


def _iso_week(days: Array) -> Array:
    thursday = days - (days + 3) % 7 + 3
    year = thursday.astype("datetime64[D]").astype("datetime64[Y]")
    return np.asarray((thursday - year.astype("datetime64[D]").astype(np.int64)) // 7 + 1)


_FROM = "(TIMESTAMP | BIGINT | DATE)"
register("year", _FROM, "the year, in UTC+8")(
    _date_part(lambda d: d.year, lambda x: _months(x).astype("datetime64[Y]").astype(int) + 1970)
)
register("month", _FROM, "the month, 1 to 12, in UTC+8")(
    _date_part(lambda d: d.month, lambda x: _months(x).astype(int) % 12 + 1)
)
register("day dayofmonth", _FROM, "the day of the month, in UTC+8")(
    _date_part(
        lambda d: d.day, lambda x: x - _months(x).astype("datetime64[D]").astype(np.int64) + 1
    )
)
register("dayofweek", _FROM, "1 = Sunday to 7 = Saturday, in UTC+8")(
    _date_part(lambda d: d.isoweekday() % 7 + 1, lambda x: (x + 4) % 7 + 1)
)
register("dayofyear", _FROM, "the day of the year, in UTC+8")(
    _date_part(
        lambda d: d.timetuple().tm_yday,
        lambda x: (
            x - _months(x).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64) + 1
        ),
    )
)
register("week weekofyear", _FROM, "the ISO week of the year, in UTC+8")(
    _date_part(lambda d: d.isocalendar().week, _iso_week)
)
register("hour", "(TIMESTAMP | BIGINT)", "the hour, in UTC+8")(
    _clock_part(lambda ms: ms // 3_600_000)
)
register("minute", "(TIMESTAMP | BIGINT)", "the minute")(_clock_part(lambda ms: ms // 60_000 % 60))
register("second", "(TIMESTAMP | BIGINT)", "the second")(_clock_part(lambda ms: ms // 1000 % 60))

_STRFTIME = re.compile(r"%(.)")


def _strftime(when: dt.datetime, pattern: str) -> str:
    def one(m: re.Match[str]) -> str:
        # Python's %Y does not pad years below 1000 on every platform.
        return f"{when.year:04d}" if m[1] == "Y" else when.strftime(f"%{m[1]}")

    return _STRFTIME.sub(one, pattern)


@register("date_format", "(TIMESTAMP | DATE, STRING)", "the time as text by a strftime pattern")
def _date_format(types: Types) -> Impl | None:
    if len(types) != 2 or types[1] is not T.STRING:
        return None
    if types[0] is T.TIMESTAMP:

        def time(a: int, pattern: str) -> str | None:
            when = v.timestamp_datetime(a)
            return None if when is None else _strftime(when, pattern)

        return Impl(T.STRING, time)
    if types[0] is T.DATE:
        midnight = dt.time()
        return Impl(T.STRING, lambda a, p: _strftime(dt.datetime.combine(a, midnight), p))
    return None


@register("unix_timestamp", "(TIMESTAMP | DATE | STRING)", "seconds since the epoch")
def _unix_timestamp(types: Types) -> Impl | None:
    if len(types) != 1 or types[0] not in (T.TIMESTAMP, T.DATE, T.STRING):
        return None
    to_ms = v.converter(types[0], T.TIMESTAMP)
    assert to_ms is not None

    def row(a: Any) -> int | None:
        ms = to_ms(a)
        return None if ms is None else ms // 1000

    return Impl(T.INT64, row)


@register("datediff", "(DATE | TIMESTAMP | STRING, same)", "days from the second to the first")
def _datediff(types: Types) -> Impl | None:
    if len(types) != 2 or any(t not in (T.DATE, T.TIMESTAMP, T.STRING) for t in types):
        return None
    first, second = v.converter(types[0], T.DATE), v.converter(types[1], T.DATE)
    assert first is not None
    assert second is not None

    def row(a: Any, b: Any) -> int | None:
        x, y = first(a), second(b)
        return None if x is None or y is None else (x - y).days

    return Impl(T.INT32, row)


@register("last_day", "(TIMESTAMP | BIGINT | DATE)", "the last day of the month, in UTC+8")
def _last_day(types: Types) -> Impl | None:
    if len(types) != 1 or types[0] not in (T.INT64, T.TIMESTAMP, T.DATE):
        return None
    date_of = _date_of(types[0])

    def row(a: Any) -> dt.date | None:
        date = date_of(a)
        if date is None:
            return None
        return date.replace(day=calendar.monthrange(date.year, date.month)[1])

    return Impl(T.DATE, row)


@register("add_months", "(TIMESTAMP | DATE, INT)", "the date so many months later")
def _add_months(types: Types) -> Impl | None:
    if len(types) != 2 or types[0] not in (T.TIMESTAMP, T.DATE) or not types[1].is_integer:
        return None
    date_of = _date_of(types[0])

    def row(a: Any, months: int) -> dt.date | None:
        date = date_of(a)
        if date is None:
            return None
        at = date.year * 12 + date.month - 1 + months
        year, month = at // 12, at % 12 + 1
        if not 1 <= year <= 9999:
            return None
        day = min(date.day, calendar.monthrange(year, month)[1])
        return dt.date(year, month, day)

    return Impl(T.DATE, row)

"""Exact conversions of a column to a table's type; what could change a value is refused.

A conversion that needs to know what the writer meant (the unit of a number that stands for a
time, the zone of a text without one) asks for a *meaning*; nothing is guessed.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from openmldb_files.normalise import floor_divide, plain_values
from openmldb_files.types import ARROW_OF, sql_type_of

UNITS: Final = ("s", "ms", "us", "ns")
"""Meanings of a whole number that stands for a time: so many of these since 1970 in UTC."""

WHOLE: Final = "whole"
"""Meaning of a floating number or decimal that stands for a whole number, such as an id."""

NEAREST: Final = "nearest"
"""Meaning of a number that may be rounded to the nearest one that the column's type holds."""

UTF8: Final = "utf8"
"""Meaning of bytes that are text in UTF-8."""

NULL_IF_MISSING: Final = "null-if-missing"
"""Meaning of a column that a file lacks: every row of that file has NULL there."""

TIME = pa.timestamp("us")
"""Times are kept in microseconds; finer ones are cut towards the past."""

TICKS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_BITS: Final = {"int16": 16, "int32": 32, "int64": 64}
_DAY: Final = r"^\d{4}-\d{2}-\d{2}$"
_MOMENT: Final = (
    r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|z|[+-]\d{2}(:?\d{2})?)?$"
)
_ZONED: Final = r"(Z|z|[+-]\d{2}(:?\d{2})?)$"
_INTEGER: Final = r"^[+-]?\d+$"
_NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_OFFSET = re.compile(r"[+-]\d{2}:\d{2}")
_SPECIAL: Final = {
    "nan": "nan",
    "inf": "inf",
    "infinity": "inf",
    "+inf": "inf",
    "-inf": "-inf",
    "-infinity": "-inf",
}


class Refused(ValueError):
    """A column that cannot be converted; `hint` says which meaning would allow it."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


def check_meaning(text: str) -> str:
    """A meaning, or the reason why it is none.

    Raises:
        ValueError: it is not a unit, a word of this module or a time zone.
    """
    if text in (*UNITS, WHOLE, NEAREST, UTF8, NULL_IF_MISSING) or _is_zone(text):
        return text
    raise ValueError(
        f"{text!r} is not a meaning: write one of {', '.join(UNITS)} (numbers that are times), a "
        f"time zone such as UTC, +08:00 or Asia/Shanghai (times without one), {WHOLE}, {NEAREST}, "
        f"{UTF8} or {NULL_IF_MISSING}"
    )


def stored_type(sql: str) -> pa.DataType:
    """The Arrow type that `exact` gives: `ARROW_OF`, but times in microseconds."""
    return TIME if sql == "timestamp" else ARROW_OF[sql]


def exact(column: pa.Array, sql: str, meaning: str | None = None) -> pa.Array:
    """The column as `stored_type(sql)`, each value the same as before.

    Args:
        column: values as a file holds them; text where they come from CSV.
        sql: the table's type.
        meaning: what the writer meant, where that cannot be seen.

    Raises:
        Refused: a value would change, or what it means is not known.
    """
    if sql == "string" and isinstance(column.type, pa.UuidType):
        return _uuid_text(column)
    column = plain_values(column)
    kind = column.type
    if pa.types.is_null(kind) or column.null_count == len(column):
        return pa.nulls(len(column), stored_type(sql))
    try:
        if kind == stored_type(sql) and not (sql == "timestamp" and _is_zone(meaning)):
            made = column
        else:
            made = _CONVERTERS[sql](column, sql, meaning)
        if sql == "string":
            made.validate(full=True)
        return made
    except MemoryError:
        raise
    except pa.ArrowException as error:
        raise Refused(f"{_named(kind)} cannot be read as {sql}: {error}") from error


# ------------------------------------------------------------------------ text


def _to_string(column: pa.Array, sql: str, meaning: str | None) -> pa.Array:
    kind = column.type
    if _is_text(kind):
        return column.cast(pa.string())
    if pa.types.is_integer(kind):
        return column.cast(pa.string())
    if pa.types.is_decimal(kind) and kind.scale == 0:
        return column.cast(pa.string())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        if meaning != WHOLE:
            raise Refused(
                f"it holds {_named(kind)}, which has no one spelling as text "
                f"(the first: {_first(column)!r}); ids became so where one was missing",
                f"say {WHOLE} if they stand for whole numbers",
            )
        return _whole(column).cast(pa.string())
    if _is_bytes(kind):
        if meaning != UTF8:
            raise Refused("it holds bytes, not text", f"say {UTF8} if they are text in UTF-8")
        text = column.cast(pa.large_binary()).cast(pa.large_string(), safe=True)
        return text.cast(pa.string())
    raise Refused(f"it holds {_named(kind)}, which is not text")


def _uuid_text(column: pa.Array) -> pa.Array:
    """UUIDs in their one spelling: 16 bytes as 8-4-4-4-12 digits in lower case."""
    return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())


# --------------------------------------------------------------------- numbers


def _to_integer(column: pa.Array, sql: str, meaning: str | None) -> pa.Array:
    kind = column.type
    if pa.types.is_integer(kind):
        return _fitting(column, sql)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _fitting(_whole(column), sql)
    if _is_text(kind):
        _all_match(column, _INTEGER, "a whole number")
        text = pc.replace_substring_regex(column.cast(pa.string()), r"^\+", "")
        try:
            return _fitting(text.cast(pa.int64()), sql)
        except pa.ArrowInvalid:
            raise Refused(f"a number is too large for {sql}") from None
    raise Refused(f"it holds {_named(kind)}, which is not a whole number")


def _fitting(column: pa.Array, sql: str) -> pa.Array:
    try:
        return column.cast(ARROW_OF[sql])
    except pa.ArrowInvalid:
        half = 1 << (_BITS[sql] - 1)
        span = pc.min_max(column)
        raise Refused(
            f"its values, {span['min']} to {span['max']}, do not fit {sql} ({-half} to {half - 1})"
        ) from None


def _whole(column: pa.Array) -> pa.Array:
    """Whole numbers that stand in a floating or decimal column.

    Raises:
        Refused: a fraction, NaN or an infinity, or so large that digits may be lost already.
    """
    if pa.types.is_decimal(column.type):
        try:
            return column.cast(pa.decimal128(38, 0)).cast(pa.int64())
        except pa.ArrowInvalid:
            raise Refused("it holds decimals that are no whole numbers of 64 bits") from None
    doubles = column.cast(pa.float64())
    good = pc.and_(pc.is_finite(doubles), pc.equal(doubles, pc.floor(doubles)))
    _all_true(column, good, "not a whole number")
    limit = 2.0**24 if pa.types.is_float32(column.type) else 2.0**53
    if pa.types.is_float16(column.type):
        limit = 2.0**11
    _all_true(column, pc.less_equal(pc.abs(doubles), limit), "so large that digits are lost in it")
    return doubles.cast(pa.int64())


def _to_floating(column: pa.Array, sql: str, meaning: str | None) -> pa.Array:
    kind, target = column.type, ARROW_OF[sql]
    if pa.types.is_floating(kind):
        made = column.cast(target, safe=False)
        back = made.cast(pa.float64())
        doubles = column.cast(pa.float64())
        same = pc.or_(pc.equal(back, doubles), pc.and_(pc.is_nan(back), pc.is_nan(doubles)))
        if meaning != NEAREST:
            _all_true(
                column,
                same,
                f"a {_named(kind)} that {sql} does not hold exactly",
                f"say {NEAREST} to round it to the nearest",
            )
        return made
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        doubles = column.cast(pa.float64(), safe=False)
        made = doubles.cast(target, safe=False)
        if meaning != NEAREST:
            if pa.types.is_decimal(kind) and kind.scale > 0:
                raise Refused(
                    f"it holds {kind}, whose values {sql} does not hold exactly",
                    f"say {NEAREST} to round them to the nearest",
                )
            limit = 2.0 ** (24 if sql == "float" else 53)
            _all_true(
                column,
                pc.less_equal(pc.abs(doubles), limit),
                f"too large to be exact as {sql}",
                f"say {NEAREST} to round it to the nearest",
            )
        return made
    if _is_text(kind):
        lower = pc.utf8_lower(column.cast(pa.string()))
        for text, plain in _SPECIAL.items():
            lower = pc.if_else(pc.equal(lower, text), plain, lower)
        good = pc.or_(
            pc.match_substring_regex(lower, _NUMBER),
            pc.is_in(lower, pa.array(["nan", "inf", "-inf"])),
        )
        _all_true(column, good, "not a number")
        doubles = pc.replace_substring_regex(lower, r"^\+", "").cast(pa.float64())
        return doubles.cast(target, safe=False)
    raise Refused(f"it holds {_named(kind)}, which is not a number")


def _to_bool(column: pa.Array, sql: str, meaning: str | None) -> pa.Array:
    kind = column.type
    if pa.types.is_boolean(kind):
        return column
    if pa.types.is_integer(kind):
        _all_true(column, pc.is_in(column, pa.array([0, 1]).cast(kind)), "neither 0 nor 1")
        return column.cast(pa.bool_())
    if _is_text(kind):
        lower = pc.utf8_lower(column.cast(pa.string()))
        known = pc.is_in(lower, pa.array(["true", "false"]))
        _all_true(column, known, "neither true nor false")
        return pc.equal(lower, "true")
    raise Refused(f"it holds {_named(kind)}, which is not true or false")


# ----------------------------------------------------------------------- times


def _to_timestamp(column: pa.Array, sql: str, meaning: str | None) -> pa.Array:
    kind = column.type
    if pa.types.is_timestamp(kind):
        if kind.tz is None and _is_zone(meaning):
            return _assume(microseconds(column), str(meaning))
        return microseconds(column)
    if pa.types.is_date(kind):
        if not _is_zone(meaning):
            raise Refused(
                "it holds days, which begin at another moment in each time zone",
                "say the zone in which they begin, such as UTC or +08:00",
            )
        return _assume(column.cast(pa.date32()).cast(TIME), str(meaning))
    if pa.types.is_integer(kind):
        if meaning not in UNITS:
            raise Refused(
                f"it holds whole numbers, not times ({_readings(column)})",
                f"say what they count since 1970 in UTC: {', '.join(UNITS)}",
            )
        return microseconds(column.cast(pa.int64()).cast(pa.timestamp(str(meaning))))
    if _is_text(kind):
        return _text_times(column.cast(pa.string()), meaning)
    raise Refused(f"it holds {_named(kind)}, which is not a time")


def microseconds(column: pa.Array) -> pa.Array:
    """Timestamps of any unit and zone as timestamp[us] without a zone, cut towards the past.

    Raises:
        Refused: a time so far away that no microseconds hold it.
    """
    unit = column.type.unit
    ticks = column.cast(pa.int64())
    if unit == "ns":
        ticks = floor_divide(ticks, 1000)
    elif unit in ("s", "ms"):
        factor = 1_000_000 // TICKS[unit]
        far = pc.less_equal(
            pc.abs(ticks.cast(pa.float64(), safe=False)), 2.0**63 / factor * (1 - 2.0**-50)
        )
        _all_true(column, far, f"too far away to be a time in {unit}")
        ticks = pc.multiply(ticks, factor)
    return ticks.cast(TIME)


def _text_times(column: pa.Array, meaning: str | None) -> pa.Array:
    if meaning in UNITS:
        _all_match(column, _INTEGER, "a whole number")
        return _to_timestamp(column.cast(pa.int64()), "timestamp", meaning)
    _all_match(column, _MOMENT, "a time as 2026-01-31 12:30:00+08:00")
    zoned = pc.match_substring_regex(column, _ZONED)
    bare = pc.and_(pc.invert(zoned), pc.is_valid(column))
    if pc.any(bare).as_py() and not _is_zone(meaning):
        raise Refused(
            f"it holds times without a zone (the first: {_first(column.filter(bare))!r})",
            "say the zone that they are in, such as UTC, +08:00 or Asia/Shanghai",
        )
    zone = _zone(str(meaning)) if _is_zone(meaning) else dt.timezone.utc
    encoded = column.dictionary_encode()
    moments = [_moment(text, zone) for text in encoded.dictionary.to_pylist()]
    return pa.array(moments, pa.int64()).cast(TIME).take(encoded.indices)


_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_PARTS = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?"
    r"(?:(Z|z)|([+-])(\d{2}):?(\d{2})?)?"
)


def _moment(text: str, zone: dt.tzinfo) -> int:
    try:
        return _micros_of(text, zone)
    except (ValueError, OverflowError) as error:
        raise Refused(f"{text!r} is not a time: {error}") from None


def _micros_of(text: str, zone: dt.tzinfo) -> int:
    match = _PARTS.fullmatch(text)
    assert match is not None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    micros = int((match[7] or "").ljust(9, "0")[:6])
    if match[9]:
        offset = dt.timedelta(hours=int(match[10]), minutes=int(match[11] or 0))
        zone = dt.timezone(-offset if match[9] == "-" else offset)
    elif match[8]:
        zone = dt.timezone.utc
    moment = dt.datetime(year, month, day, hour, minute, second, micros)
    aware = _local(moment, zone)
    return (aware - _EPOCH) // dt.timedelta(microseconds=1)


def _local(moment: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    """A local time in its zone.

    Raises:
        ValueError: clocks showed it twice, or never.
    """
    early, late = moment.replace(tzinfo=zone, fold=0), moment.replace(tzinfo=zone, fold=1)
    if early.utcoffset() != late.utcoffset():
        raise ValueError(
            f"{moment} is not one moment in {zone}: clocks were set then; write it with its offset"
        )
    return early


def _assume(column: pa.Array, meaning: str) -> pa.Array:
    """Local times of a zone as moments in UTC."""
    if _OFFSET.fullmatch(meaning) or meaning in ("UTC", "Z"):
        offset = _zone(meaning).utcoffset(None) or dt.timedelta()
        return pc.subtract(column, pa.scalar(offset, pa.duration("us")))
    zone = _zone(meaning)
    try:
        moments = [None if m is None else _local(m, zone) for m in column.to_pylist()]
    except ValueError as error:
        raise Refused(str(error)) from None
    return pa.array(moments, pa.timestamp("us", "UTC")).cast(pa.int64()).cast(TIME)


def _to_date(column: pa.Array, sql: str, meaning: str | None) -> pa.Array:
    kind = column.type
    if pa.types.is_date(kind):
        if pa.types.is_date64(kind):
            ticks = column.cast(pa.int64())
            days = floor_divide(ticks, 86_400_000)
            _all_true(column, pc.equal(pc.multiply(days, 86_400_000), ticks), "not a whole day")
            return days.cast(pa.int32()).cast(pa.date32())
        return column.cast(pa.date32())
    if pa.types.is_timestamp(kind):
        local = microseconds(column)
        if kind.tz is not None:
            if not _is_zone(meaning):
                raise Refused(
                    "it holds moments, which are another day in each time zone",
                    "say the zone whose days are meant, such as UTC or +08:00",
                )
            moments = [
                None
                if m is None
                else m.replace(tzinfo=dt.timezone.utc).astimezone(_zone(str(meaning)))
                for m in local.to_pylist()
            ]
            local = pa.array([None if m is None else m.replace(tzinfo=None) for m in moments], TIME)
        days = pc.floor_temporal(local, unit="day")
        _all_true(column, pc.equal(days, local), "not at midnight, so not a day")
        return days.cast(pa.date32())
    if _is_text(kind):
        _all_match(column, _DAY, "a day as 2026-01-31")
        encoded = column.cast(pa.string()).dictionary_encode()
        days = [_calendar_day(text) for text in encoded.dictionary.to_pylist()]
        return pa.array(days, pa.date32()).take(encoded.indices)
    raise Refused(f"it holds {_named(kind)}, which is not a day")


def _calendar_day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise Refused(f"{text!r} is not a day of the calendar") from None


_CONVERTERS: Final[dict[str, Callable[[pa.Array, str, str | None], pa.Array]]] = {
    "string": _to_string,
    "int16": _to_integer,
    "int32": _to_integer,
    "int64": _to_integer,
    "float": _to_floating,
    "double": _to_floating,
    "bool": _to_bool,
    "date": _to_date,
    "timestamp": _to_timestamp,
}


# --------------------------------------------------------------------- helpers


def _is_text(kind: pa.DataType) -> bool:
    return sql_type_of(kind) == "string"


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_zone(meaning: str | None) -> bool:
    if meaning is None:
        return False
    try:
        _zone(meaning)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


def _zone(text: str) -> dt.tzinfo:
    if text in ("UTC", "Z"):
        return dt.timezone.utc
    if _OFFSET.fullmatch(text):
        hours, minutes = int(text[1:3]), int(text[4:])
        offset = dt.timedelta(hours=hours, minutes=minutes)
        return dt.timezone(-offset if text[0] == "-" else offset)
    return zoneinfo.ZoneInfo(text)


def _named(kind: pa.DataType) -> str:
    return sql_type_of(kind) or str(kind)


def _first(column: pa.Array) -> object:
    valid = column.drop_null()
    return valid[0].as_py() if len(valid) else None


def _readings(column: pa.Array) -> str:
    """What the first number would be in each unit, where that is a year people write."""
    first = int(str(_first(column)))
    found = []
    for unit in UNITS:
        seconds = first / TICKS[unit]
        if abs(seconds) < 2e10:
            moment = _EPOCH + dt.timedelta(seconds=seconds)
            found.append(f"{unit}: {moment:%Y-%m-%d %H:%M}")
    return f"the first, {first}, would be {', '.join(found)}" if found else f"the first: {first}"


def _all_match(column: pa.Array, pattern: str, what: str) -> None:
    _all_true(column, pc.match_substring_regex(column.cast(pa.string()), pattern), f"not {what}")


def _all_true(column: pa.Array, good: pa.Array, what: str, hint: str = "") -> None:
    """Refuse a column of which some value is not good; the first is shown. NULL is always good."""
    bad = pc.and_(pc.invert(pc.fill_null(good, True)), pc.is_valid(column))
    count = pc.sum(bad).as_py() or 0
    if count:
        first = column.filter(bad)[0]
        try:
            shown = repr(first.as_py())
        except (OverflowError, ValueError):  # a time that no datetime holds
            shown = str(first.cast(pa.int64()).as_py())
        others = f" (and {count - 1} more)" if count > 1 else ""
        raise Refused(f"{shown} is {what}{others}", hint)

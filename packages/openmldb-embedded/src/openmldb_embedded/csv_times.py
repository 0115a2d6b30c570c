"""Times and dates of CSV cells, as Spark 3.2 reads them in the zone that OpenMLDB pins, UTC+8.

Spark's own readers are ``DateTimeUtils.stringToTimestamp`` and ``stringToDate`` after a strict
``yyyy-MM-dd['T'HH:mm:ss[.SSS][XXX]]``. Zones are java.time's: offsets, ``UTC`` and ``GMT`` with or
without one, the tz database's names, and the three letters of ``ZoneId.SHORT_IDS``.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import zoneinfo

DAY_MS = 86_400_000
MOST_MS = (2**63 - 1) // 1000
"""The last millisecond that Spark's microseconds hold."""

_CYCLE = 146_097
"""Days in 400 years."""
_BLANKS = "".join(map(chr, range(0x21))) + "\x7f"
_TIME = re.compile(
    r"([+-])?([0-9]{4,6})(?:-([0-9]{1,2})(?:-([0-9]{1,2})(?:[ T]([0-9]{1,2})(?::([0-9]{1,2})"
    r"(?::([0-9]{1,2})(?:\.([0-9]*))?([^0-9].*)?)?)?)?)?)?",
    re.DOTALL,
)
_STRICT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}t[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.(?:[0-9]{1,3}|(?=[z+-])))?(z|[+-][0-9]{2}:[0-9]{2})?",
    re.IGNORECASE,
)
_DATE = re.compile(r"([+-])?([0-9]{4,7})(?:-([0-9]{1,2})(?:-([0-9]{1,2})(?:[ T].*)?)?)?", re.DOTALL)
_FORMERLY = re.compile(r"\s*\d{1,9}-\s*\d{1,9}-\s*\d{1,9}")
_OFFSET = re.compile(r"([+-])(?:(\d)|(\d\d)(?::(\d\d)(?::(\d\d))?|(\d\d)(\d\d)?)?)", re.ASCII)
"""``+h``, ``+hh``, ``+hh:mm``, ``+hhmm``, ``+hh:mm:ss``, ``+hhmmss``, as ZoneOffset.of has them."""
_LETTERS = {
    "ACT": "Australia/Darwin",
    "AET": "Australia/Sydney",
    "AGT": "America/Argentina/Buenos_Aires",
    "ART": "Africa/Cairo",
    "AST": "America/Anchorage",
    "BET": "America/Sao_Paulo",
    "BST": "Asia/Dhaka",
    "CAT": "Africa/Harare",
    "CNT": "America/St_Johns",
    "CST": "America/Chicago",
    "CTT": "Asia/Shanghai",
    "EAT": "Africa/Addis_Ababa",
    "ECT": "Europe/Paris",
    "EST": "-05:00",
    "HST": "-10:00",
    "IET": "America/Indiana/Indianapolis",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "MIT": "Pacific/Apia",
    "MST": "-07:00",
    "NET": "Asia/Yerevan",
    "NST": "Pacific/Auckland",
    "PLT": "Asia/Karachi",
    "PNT": "America/Phoenix",
    "PRT": "America/Puerto_Rico",
    "PST": "America/Los_Angeles",
    "SST": "Pacific/Guadalcanal",
    "VST": "Asia/Ho_Chi_Minh",
}


class NoDateError(ValueError):
    """A text at which Spark ends the job, or a date that no row can hold."""


def to_long(text: str) -> int | None:
    """A BIGINT as Java's ``Long.parseLong`` reads it: a sign, and digits of any script."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits.isdecimal() or any(char > "\uffff" for char in digits):
        return None
    try:
        number = int(text)
    except ValueError:  # thousands of digits
        return None
    return number if -(2**63) <= number < 2**63 else None


def to_milliseconds(text: str) -> int | None:
    """Milliseconds since the epoch of a time's text; None where Spark reads none."""
    if _STRICT.fullmatch(text):
        text = text.upper()
    found = _TIME.fullmatch(text.replace("GMT", "").strip(_BLANKS))
    if found is None:
        return None
    sign, year, month, day, hour, minute, second, fraction, zone = found.groups()
    years = -int(year) if sign == "-" else int(year)
    days = days_of(years, int(month or 1), int(day or 1))
    hours, minutes, seconds = int(hour or 0), int(minute or 0), int(second or 0)
    if days is None or hours > 23 or minutes > 59 or seconds > 59:
        return None
    local = days * DAY_MS + ((hours * 60 + minutes) * 60 + seconds) * 1000
    offset = _offset_ms(zone, local) if zone else 8 * 3_600_000
    if offset is None:
        return None
    moment = local - offset + int((fraction or "")[:3].ljust(3, "0"))
    return moment if abs(moment) <= MOST_MS else None


def to_days(text: str) -> int | None:
    """Days since the epoch of a date's text; None where Spark reads none.

    Raises:
        NoDateError: Spark ends the job (a date that no calendar has, or one that its former
            versions read otherwise), or the year is not one of 1 to 9999.
    """
    found = _DATE.fullmatch(text.replace("GMT", "").strip(_BLANKS))
    if found is not None:
        sign, year, month, day = found.groups()
        years = -int(year) if sign == "-" else int(year)
        days = days_of(years, int(month or 1), int(day or 1))
        if days is not None:
            if not 1 <= years <= 9999:
                raise NoDateError(f"{text} is not a date of the years 1 to 9999")
            return days
    if _FORMERLY.match(text):
        raise NoDateError(f"{text} is not a date of the calendar: write YYYY-MM-DD")
    return None


def days_of(year: int, month: int, day: int) -> int | None:
    """Days since the epoch of a day in the Gregorian calendar, of any year; None for no day."""
    cycle, within = divmod(year - 2000, 400)
    try:
        return dt.date(2000 + within, month, day).toordinal() - 719_163 + cycle * _CYCLE
    except ValueError:
        return None


def _offset_ms(zone: str, local: int) -> int | None:
    """What a zone is ahead of UTC at a local time, in milliseconds; None for no zone."""
    name = re.sub(r"([+-])(\d):", r"\g<1>0\2:", zone.strip(_BLANKS), count=1, flags=re.ASCII)
    name = re.sub(r"([+-]\d\d):(\d)$", r"\1:0\2", name, count=1, flags=re.ASCII)
    name = _LETTERS.get(name, name)
    if name in ("Z", "UTC", "UT"):
        return 0
    plain = re.sub(r"\A(?:UTC|UT)(?=[+-])", "", name)
    if plain[:1] in ("+", "-"):
        return _fixed(plain)
    region = _region(name)
    if region is None:
        return None
    # A day in a year that Python has: rules repeat after 400 years, and did not change before them.
    days, rest = divmod(local, DAY_MS)
    if not -_CYCLE * 4 <= days < _CYCLE * 19:
        days = days % _CYCLE + (_CYCLE * 18 if days > 0 else -_CYCLE * 4)
    naive = dt.datetime(1970, 1, 1) + dt.timedelta(days=days, milliseconds=rest)
    offset = naive.replace(tzinfo=region).utcoffset()
    assert offset is not None
    return offset // dt.timedelta(milliseconds=1)


def _fixed(text: str) -> int | None:
    found = _OFFSET.fullmatch(text)
    if found is None:
        return None
    sign, one, two, *rest = found.groups()
    hours = int(one or two)
    minutes, seconds = int(rest[0] or rest[2] or 0), int(rest[1] or rest[3] or 0)
    whole = (hours * 60 + minutes) * 60 + seconds
    if minutes > 59 or seconds > 59 or whole > 18 * 3600:
        return None
    return (-whole if sign == "-" else whole) * 1000


@functools.lru_cache(maxsize=256)
def _region(name: str) -> zoneinfo.ZoneInfo | None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9~/._+-]+", name):
        return None
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return None

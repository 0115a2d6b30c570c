"""Days of time zones, against Python's own calendar."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import ConfigurationError
from nightshift.zones import EPOCH, Zone

NAMES = ("UTC", "+08:00", "-03:30", "+14:00", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu")
FIRST, LAST = (int(dt.datetime(year, 1, 1).timestamp()) * 1000 for year in (1975, 2035))


def expected(name, millis):
    zone = {"UTC": dt.timezone.utc, "+08:00": dt.timezone(dt.timedelta(hours=8)),
            "-03:30": dt.timezone(-dt.timedelta(hours=3, minutes=30)),
            "+14:00": dt.timezone(dt.timedelta(hours=14))}.get(name) or ZoneInfo(name)  # fmt: skip
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(milliseconds=millis)
    return moment.astimezone(zone).date()


@pytest.mark.parametrize("name", NAMES)
@given(millis=st.lists(st.integers(FIRST, LAST), min_size=1, max_size=5))
def test_a_moment_lies_on_the_day_that_the_calendar_says(name, millis):
    zone = Zone.of(name)
    # A span of years is many days: neighbours keep the search short.
    near = [millis[0] + at % 10**9 for at in millis]
    days = zone.days_of(np.array(near, np.int64))
    assert [EPOCH + dt.timedelta(days=int(d)) for d in days] == [expected(name, m) for m in near]
    for day, at in zip(days, near, strict=True):
        date = EPOCH + dt.timedelta(days=int(day))
        assert zone.start_ms(date) <= at < zone.end_ms(date)


def test_a_day_on_which_clocks_change_has_23_or_25_hours():
    zone = Zone.of("Europe/Berlin")
    hours = [
        (zone.end_ms(day) - zone.start_ms(day)) / 3_600_000
        for day in (dt.date(2026, 3, 29), dt.date(2026, 6, 1), dt.date(2026, 10, 25))
    ]
    assert hours == [23, 24, 25]
    # 23:30 and 0:30 of the long day, in UTC.
    times = pa.array([dt.datetime(2026, 10, 25, 22, 30), None, dt.datetime(2026, 10, 24, 22, 30)])
    assert zone.days_of_times(times).cast(pa.date32()).to_pylist() == [
        dt.date(2026, 10, 25),
        None,
        dt.date(2026, 10, 25),
    ]


def test_a_part_of_a_millisecond_before_midnight_is_of_the_day_before():
    times = pa.array([-1, 0], pa.timestamp("ns"))
    assert Zone("UTC").days_of_times(times).to_pylist() == [-1, 0]


@pytest.mark.parametrize(
    "name", ["", "Mars/Base", "8", "+8", "+25:00", "+08:61", "../etc/passwd", "/etc"]
)
def test_what_is_no_zone_is_refused_with_what_to_write(name):
    with pytest.raises(ConfigurationError, match="not a time zone; write UTC"):
        Zone.of(name)

"""Days of time zones, against Python's own calendar."""

import datetime as dt
import time
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
    days = zone.days_of(np.array(millis, np.int64))
    assert [EPOCH + dt.timedelta(days=int(d)) for d in days] == [expected(name, m) for m in millis]
    for day, at in zip(days, millis, strict=True):
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


@pytest.mark.parametrize("name", ["UTC", "+14:00", "-08:00", "Europe/Berlin", "Pacific/Apia"])
def test_a_moment_beyond_the_calendar_is_of_its_first_or_last_day(name):
    began = time.monotonic()
    edges = {"0001-01-01": [-(2**63), -(2**62), -62_135_700_000_000],
             "9999-12-31": [2**63 - 1, 2**62, 253_402_400_000_000]}  # fmt: skip
    for day, moments in edges.items():
        days = Zone.of(name).days_of(np.array([*moments, 0], np.int64))
        found = [EPOCH + dt.timedelta(days=int(one)) for one in days[:-1]]
        assert abs(found[0] - dt.date.fromisoformat(day)).days <= 1
        assert len(set(found)) == 1
        assert days[-1] == Zone.of(name).days_of(np.array([0], np.int64))[0]
    # A row of the year 9999 does not make it look at each day until then.
    assert time.monotonic() - began < 5
    assert len(Zone.of(name).days_of(np.array([], np.int64))) == 0

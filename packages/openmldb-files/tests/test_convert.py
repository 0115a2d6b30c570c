"""Conversions that keep every value, and refusals of those that would not."""

import datetime as dt
import decimal
import uuid

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmldb_files.convert import (
    NEAREST,
    TIME,
    UTF8,
    WHOLE,
    Refused,
    check_meaning,
    exact,
    microseconds,
    stored_type,
)
from openmldb_files.types import SQL_TYPES

UTC = dt.timezone.utc
MILLION = 1_000_000


def made(values, kind, sql, meaning=None):
    column = exact(pa.array(values, kind), sql, meaning)
    assert column.type == stored_type(sql)
    return column.to_pylist()


def refusal(values, kind, sql, meaning=None):
    with pytest.raises(Refused) as raised:
        exact(pa.array(values, kind), sql, meaning)
    return raised.value


@pytest.mark.parametrize("sql", SQL_TYPES)
def test_nulls_alone_are_nulls_of_every_type(sql):
    assert made([None, None], pa.null(), sql) == [None, None]
    assert made([None], pa.binary(), sql) == [None]
    assert made([], pa.decimal128(5, 1), sql) == []


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_integers_come_back_from_text_as_they_were(values):
    text = [None if v is None else str(v) for v in values]
    assert made(values, pa.int64(), "string") == text
    assert made(text, pa.string(), "int64") == values


@given(st.integers(-(2**40), 2**40))
def test_an_integer_is_taken_where_it_fits_and_refused_elsewhere(value):
    for sql, bits in (("int16", 16), ("int32", 32), ("int64", 64)):
        if -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            assert made([value, None], pa.int64(), sql) == [value, None]
        else:
            assert "do not fit" in refusal([value], pa.int64(), sql).reason


def test_whole_doubles_are_integers_and_fractions_are_not():
    assert made([1.0, -2.0, None], pa.float64(), "int32") == [1, -2, None]
    refused = refusal([1.0, 1.5, 2.5], pa.float64(), "int32").reason
    assert refused == "1.5 is not a whole number (and 1 more)"
    for bad in (float("nan"), float("inf")):
        assert "not a whole number" in refusal([bad], pa.float64(), "int64").reason


@pytest.mark.parametrize(("kind", "limit"), [(pa.float64(), 2**53), (pa.float32(), 2**24)])
def test_a_float_so_large_that_digits_are_lost_is_no_id(kind, limit):
    assert made([float(limit)], kind, "int64") == [limit]
    assert "digits are lost" in refusal([float(limit * 2)], kind, "int64").reason


def test_a_double_is_text_only_where_it_stands_for_a_whole_number():
    assert WHOLE in refusal([7.0], pa.float64(), "string").hint
    assert made([7.0, None], pa.float64(), "string", WHOLE) == ["7", None]
    assert "not a whole number" in refusal([7.5], pa.float64(), "string", WHOLE).reason
    price = decimal.Decimal("7.10")
    assert WHOLE in refusal([price], pa.decimal128(5, 2), "string").hint
    assert made([decimal.Decimal(7)], pa.decimal128(5, 0), "string") == ["7"]


def test_uuids_are_text_in_their_one_spelling():
    given = uuid.UUID("0A0B0C0D-0000-4000-8000-00000000000F")
    column = pa.array([given.bytes, None], pa.uuid())
    assert exact(column, "string").to_pylist() == ["0a0b0c0d-0000-4000-8000-00000000000f", None]
    with pytest.raises(Refused):
        exact(column, "int64")


def test_bytes_are_text_only_where_that_is_said_and_true():
    assert UTF8 in refusal([b"a"], pa.binary(), "string").hint
    assert made(["é".encode()], pa.binary(), "string", UTF8) == ["é"]
    with pytest.raises(Refused):
        exact(pa.array([b"\xff"]), "string", UTF8)


@given(st.lists(st.none() | st.floats(width=64)))
def test_a_double_is_a_float_only_where_no_digit_goes_unless_it_may_be_rounded(values):
    rounded = pa.array(values, pa.float64()).cast(pa.float32(), safe=False)
    back = rounded.cast(pa.float64()).to_pylist()
    keeps = all(v is None or v == b or v != v for v, b in zip(values, back, strict=True))
    if keeps:
        assert str(made(values, pa.float64(), "float")) == str(rounded.to_pylist())
    else:
        assert NEAREST in refusal(values, pa.float64(), "float").hint
        assert str(made(values, pa.float64(), "float", NEAREST)) == str(rounded.to_pylist())


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.5", 1.5),
        ("+2", 2.0),
        (".5e1", 5.0),
        ("-3.", -3.0),
        ("Inf", float("inf")),
        ("-Infinity", float("-inf")),
    ],
)
def test_numbers_in_text(text, number):
    assert made([text], pa.string(), "double") == [number]


@pytest.mark.parametrize("text", ["", "1,5", "0x10", "1e", "one", " 1"])
def test_text_that_is_no_number_is_shown(text):
    assert refusal(["1", text], pa.string(), "double").reason == f"{text!r} is not a number"


def test_booleans():
    assert made([0, 1, None], pa.int8(), "bool") == [False, True, None]
    assert made(["TRUE", None, "false"], pa.string(), "bool") == [True, None, False]
    assert "neither 0 nor 1" in refusal([2], pa.int8(), "bool").reason
    assert "'yes'" in refusal(["yes"], pa.string(), "bool").reason


MOMENTS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))


@given(MOMENTS, st.sampled_from(["s", "ms", "us"]))
def test_numbers_are_times_by_their_unit_alone(moment, unit):
    ticks = (moment - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
    per = {"s": MILLION, "ms": 1000, "us": 1}[unit]
    (found,) = made([ticks // per], pa.int64(), "timestamp", unit)
    assert found == dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=ticks // per * per)
    assert "us" in refusal([ticks], pa.int64(), "timestamp").hint


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_a_time_in_text_is_the_moment_that_its_offset_says(moment, minutes):
    zone = dt.timezone(dt.timedelta(minutes=minutes))
    aware = moment.replace(tzinfo=zone)
    wanted = aware.astimezone(UTC).replace(tzinfo=None)
    assert made([aware.isoformat()], pa.string(), "timestamp") == [wanted]
    sign, size = "-" if minutes < 0 else "+", abs(minutes)
    named = f"{sign}{size // 60:02d}:{size % 60:02d}"
    assert made([moment.isoformat()], pa.string(), "timestamp", named) == [wanted]
    assert "zone" in refusal([moment.isoformat()], pa.string(), "timestamp").hint


def test_times_finer_than_microseconds_are_cut_towards_the_past():
    column = pa.array([1, -1], pa.timestamp("ns"))
    assert microseconds(column).cast(pa.int64()).to_pylist() == [0, -1]
    text = "1969-12-31T23:59:59.9999999Z"
    assert exact(pa.array([text]), "timestamp").cast(pa.int64()).to_pylist() == [-1]


def test_seconds_that_no_microseconds_hold_are_refused():
    assert "too far away" in refusal([2**60], pa.timestamp("s"), "timestamp").reason


def test_a_local_time_that_clocks_showed_twice_or_never_is_refused():
    zone = "Europe/Berlin"
    summer, winter = "2026-07-01 12:00:00", "2026-01-01 12:00:00"
    found = made([summer, winter], pa.string(), "timestamp", zone)
    assert found == [dt.datetime(2026, 7, 1, 10), dt.datetime(2026, 1, 1, 11)]
    for text in ("2026-03-29 02:30:00", "2026-10-25 02:30:00"):
        assert "clocks were set" in refusal([text], pa.string(), "timestamp", zone).reason
        bare = [dt.datetime.fromisoformat(text)]
        assert "clocks were set" in refusal(bare, TIME, "timestamp", zone).reason


def test_a_day_is_a_time_only_in_a_zone():
    day = [dt.date(2026, 1, 2)]
    assert "zone" in refusal(day, pa.date32(), "timestamp").hint
    assert made(day, pa.date32(), "timestamp", "+08:00") == [dt.datetime(2026, 1, 1, 16)]


def test_a_moment_is_a_day_only_at_midnight_of_a_zone():
    midnight = [dt.datetime(2026, 1, 1, 16, tzinfo=UTC)]
    kind = pa.timestamp("ms", "UTC")
    assert "zone" in refusal(midnight, kind, "date").hint
    assert made(midnight, kind, "date", "Asia/Shanghai") == [dt.date(2026, 1, 2)]
    assert "not at midnight" in refusal(midnight, kind, "date", "UTC").reason


def test_days_in_text_are_days_of_the_calendar():
    assert made(["2024-02-29", None], pa.string(), "date") == [dt.date(2024, 2, 29), None]
    assert "calendar" in refusal(["2026-02-29"], pa.string(), "date").reason
    assert "not a day as" in refusal(["29.02.2024"], pa.string(), "date").reason
    assert "not a whole day" in refusal([1], pa.date64(), "date").reason


@pytest.mark.parametrize("text", ["s", "ns", "UTC", "+08:00", "-05:30", "Asia/Shanghai", WHOLE])
def test_meanings(text):
    assert check_meaning(text) == text


@pytest.mark.parametrize("text", ["", "m", "Mars/Olympus", "8", "../../etc/passwd"])
def test_what_is_no_meaning_is_refused_with_the_list(text):
    with pytest.raises(ValueError, match=f"{NEAREST}, {UTF8}"):
        check_meaning(text)

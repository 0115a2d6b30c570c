"""Times and dates of CSV cells: what OpenMLDB's batch engine 0.9.0 reads on Spark 3.2."""

from __future__ import annotations

import pytest
from openmldb_embedded.csv_times import NoDateError, to_days, to_long, to_milliseconds

NOON = 1_590_738_989_000
"""2020-05-29 15:56:29 in UTC+8."""
DAY = 18_411
"""2020-05-29."""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2020-05-29 15:56:29", NOON),
        ("2020-05-29T15:56:29", NOON),
        ("2020-05-29t15:56:29.12", NOON + 120),
        ("2020-05-29t15:56:29.", None),
        ("2020-05-29t15:56:29.Z", NOON + 28_800_000),
        ("0001-01-01 15:56:29.1 Asia/Shanghai", -62_135_568_553_900),
        ("+12020-05-29 15:56:29 Asia/Shanghai", 317_160_258_989_000),
        ("2020-05-29t15:56:29.1234", None),
        ("2020-05-29T15:56:29.123456789", NOON + 123),
        ("2020-05-29 15:56:29.", NOON),
        ("2020-05-29 15:56:29,123", None),
        ("2020-05-29T15:56:29Z", NOON + 28_800_000),
        ("2020-05-29t15:56:29z", NOON + 28_800_000),
        ("2020-05-29 15:56:29z", None),
        ("2020-05-29T15:56:29.001+08:00", NOON + 1),
        ("2020-05-29T15:56:29+0800", NOON),
        ("2020-05-29T15:56:29+8:00", NOON),
        ("2020-05-29T15:56:29+8", NOON),
        ("2020-05-29 15:56:29 -05:30", NOON + 28_800_000 + 19_800_000),
        ("2020-05-29T15:56:29+08:00:30", NOON - 30_000),
        ("2020-05-29T15:56:29+18:01", None),
        ("2020-05-29T15:56:29UTC", NOON + 28_800_000),
        ("2020-05-29T15:56:29 UTC+8", NOON),
        ("2020-05-29T15:56:29GMT", NOON),
        ("2020-05-29 15:56:29 Asia/Shanghai", NOON),
        ("2020-05-29T15:56:29America/New_York", NOON + 12 * 3_600_000),
        ("2020-05-29T15:56:29CST", NOON + 13 * 3_600_000),
        ("2020-05-29T15:56:29[Asia/Shanghai]", None),
        ("2020-05-29T15:56:29Nowhere/Atall", None),
        ("2020-05-29T15:56Z", None),
        ("2020-05-29T15:56", NOON - 29_000),
        ("2020-05-29 15", NOON - 29_000 - 56 * 60_000),
        ("2020-5-9T1:2:3Z", 1_588_986_123_000),
        ("2020-05-29", 1_590_681_600_000),
        ("2020-05", 1_588_262_400_000),
        ("+2020-05-29", 1_590_681_600_000),
        ("-2020-05-29", -125_899_430_400_000),
        ("0000-01-01", -62_167_248_000_000),
        ("12020-05-29T15:56:29Z", 317_160_287_789_000),
        ("300000-01-01", None),
        ("020-05-29", None),
        ("2020/05/29", None),
        ("20200529T15:56:29Z", None),
        ("2020-02-30", None),
        ("2020-05-29 24:00:00", None),
        ("2020-05-29 15:56:60", None),
        (" 2020-05-29 \t", 1_590_681_600_000),
        ("15:56:29", None),
        ("", None),
    ],
)
def test_times(text: str, moment: int | None) -> None:
    assert to_milliseconds(text) == moment


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2020-05-29", DAY),
        ("2020-5-29", DAY),
        ("+2020-05-29", DAY),
        (" 2020-05-29 ", DAY),
        ("2020-05-29 25:00 what follows does not count", DAY),
        ("2020-05-29T15:56:29Z", DAY),
        ("2020-05-29GMT", DAY),
        ("2020-05", DAY - 28),
        ("2020", DAY - 28 - 121),
        ("0001-01-01", -719_162),
        ("9999-12-31", 2_932_896),
        ("20200529", None),
        ("2020/05/29", None),
        ("29.05.2020", None),
        ("2020-13", None),
        ("", None),
    ],
)
def test_dates(text: str, day: int | None) -> None:
    assert to_days(text) == day


@pytest.mark.parametrize(
    "text", ["2020-02-30", "2020-13-01", "20-05-29", "2020-05-29Z", "2020-005-29", "10000-01-01"]
)
def test_dates_that_end_the_job(text: str) -> None:
    with pytest.raises(NoDateError, match=text):
        to_days(text)


def test_a_gap_and_an_overlap_of_a_zone() -> None:
    gap = to_milliseconds("2021-03-14 02:30:00 America/New_York")
    assert gap == to_milliseconds("2021-03-14 03:30:00-04:00")
    twice = to_milliseconds("2021-11-07 01:30:00 America/New_York")
    assert twice == to_milliseconds("2021-11-07 01:30:00-04:00")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+5", 5),
        ("-0", 0),
        ("0" * 30 + "7", 7),
        ("\u0663", 3),
        ("9223372036854775808", None),
        ("9" * 5000, None),
        (" 5", None),
        ("5.0", None),
        ("+-5", None),
        ("", None),
    ],
)
def test_integers(text: str, number: int | None) -> None:
    assert to_long(text) == number

"""One Arrow type for each SQL type, whatever the writer held."""

import datetime as dt
import decimal

import pyarrow as pa
import pytest
from openmldb_files import ARROW_OF, normal


@pytest.mark.parametrize(
    "kind",
    [
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int16(), pa.large_string()),
    ],
    ids=str,
)
def test_text_is_text(kind):
    column = normal(pa.array(["a", None, "é你😀", "", "a"]).cast(kind))
    assert column.type == ARROW_OF["string"]
    assert column.to_pylist() == ["a", None, "é你😀", "", "a"]


MOMENT = dt.datetime(2026, 1, 1, 12, 30, 15, 123_456)
BEFORE = dt.datetime(1969, 12, 31, 23, 59, 59, 999_999)


@pytest.mark.parametrize("unit", ["us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_times_are_cut_towards_the_past_in_every_unit_and_zone(unit, zone, dictionary):
    array = pa.array([MOMENT, None, BEFORE], pa.timestamp(unit)).cast(pa.int64())
    array = array.cast(pa.timestamp(unit, zone))
    column = normal(array.dictionary_encode() if dictionary else array)
    assert column.type == pa.timestamp("ms")
    assert column.cast(pa.int64()).to_pylist() == [1_767_270_615_123, None, -1]


def test_seconds_that_no_milliseconds_hold_are_refused():
    with pytest.raises(ValueError, match="too far away"):
        normal(pa.array([2**62], pa.timestamp("s")))


def test_dates_of_both_widths_are_days():
    for kind in (pa.date32(), pa.date64()):
        assert normal(pa.array([dt.date(2026, 1, 1), None], kind)).to_pylist() == [
            dt.date(2026, 1, 1),
            None,
        ]


def test_unsigned_numbers_are_widened():
    assert normal(pa.array([2**32 - 1], pa.uint32())).to_pylist() == [2**32 - 1]
    assert normal(pa.array([255], pa.uint8())).type == pa.int16()


def test_what_sql_lacks_comes_back_as_it_is():
    column = pa.array([decimal.Decimal("1.50")])
    assert normal(column).equals(column)

"""One Arrow type for each SQL type, whatever the writer held."""

import datetime as dt
import decimal

import pyarrow as pa
import pytest
from openmldb_files import ARROW_OF, normal, sql_type_of


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        (pa.string(), "string"),
        (pa.large_string(), "string"),
        (pa.string_view(), "string"),
        (pa.dictionary(pa.int8(), pa.string()), "string"),
        (pa.dictionary(pa.uint32(), pa.large_string()), "string"),
        (pa.dictionary(pa.int32(), pa.int64()), "int64"),
        (pa.run_end_encoded(pa.int32(), pa.string()), "string"),
        (pa.bool_(), "bool"),
        (pa.int16(), "int16"),
        (pa.uint8(), "int16"),
        (pa.uint16(), "int32"),
        (pa.uint32(), "int64"),
        (pa.float32(), "float"),
        (pa.float64(), "double"),
        (pa.date32(), "date"),
        (pa.date64(), "date"),
        *((pa.timestamp(unit), "timestamp") for unit in ("s", "ms", "us", "ns")),
        (pa.timestamp("us", "Asia/Tokyo"), "timestamp"),
        (pa.int8(), None),
        (pa.uint64(), None),
        (pa.float16(), None),
        (pa.decimal128(10, 2), None),
        (pa.binary(), None),
        (pa.time64("us"), None),
        (pa.list_(pa.int32()), None),
        (pa.null(), None),
    ],
    ids=str,
)
def test_sql_types(kind, sql):
    assert sql_type_of(kind) == sql


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

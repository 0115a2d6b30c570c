"""What columns of other writers' types become, and which of that is a guess that is told."""

import datetime as dt

import pyarrow as pa
import pytest
from openmldb_files.convert import Refused

from nightshift.scaffold.meanings import Meaning, converted, of_time, of_type, words

NOON = dt.datetime(2026, 3, 1, 12)
SECONDS = int(NOON.replace(tzinfo=dt.timezone.utc).timestamp())


@pytest.mark.parametrize(
    ("kind", "sql", "word"),
    [
        (pa.large_string(), "string", None),
        (pa.dictionary(pa.int8(), pa.large_string()), "string", None),
        (pa.timestamp("ns", "Europe/Paris"), "timestamp", None),
        (pa.uint32(), "int64", None),
        (pa.int8(), "int16", None),
        (pa.uint64(), "int64", None),
        (pa.float16(), "double", None),
        (pa.uuid(), "string", None),
        (pa.decimal128(10, 2), "double", "nearest"),
        (pa.decimal256(40, 3), "double", "nearest"),
    ],
    ids=str,
)
def test_types_that_a_table_has_or_that_are_converted(kind, sql, word):
    found = of_type(kind)
    assert (found.sql, found.word) == (sql, word)
    assert bool(found.why) == (word is not None)


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.list_(pa.int32()), pa.struct([("a", pa.int8())]), pa.null(), pa.time32("s")]
)  # fmt: skip
def test_types_that_no_table_has(kind):
    assert of_type(kind) is None


TIMES = [
    (pa.array([SECONDS, SECONDS + 1]), "s"),
    (pa.array([SECONDS * 1000]), "ms"),
    (pa.array([SECONDS * 10**6], pa.uint64()), "us"),
    (pa.array([SECONDS * 10**9]), "ns"),
    (pa.array(["2026-03-01 12:00:00", "2026-03-02T09:00:00.5"]), "UTC"),
    (pa.array(["2026-03-01T12:00:00Z"], pa.large_string()), None),
    (pa.array([dt.date(2026, 3, 1)]), "UTC"),
]


@pytest.mark.parametrize(("values", "word"), TIMES, ids=str)
def test_columns_that_hold_times_and_are_none(values, word):
    meaning = of_time(pa.chunked_array([values]), "UTC")
    assert (meaning.sql, meaning.word) == ("timestamp", word)
    assert meaning.why
    made = converted(pa.chunked_array([values]), meaning)[0].as_py()
    assert made in (NOON, dt.datetime(2026, 3, 1))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([], pa.int64()),
        pa.array([SECONDS, None]),
        pa.array([7, 20260301]),
        pa.array([SECONDS, SECONDS * 1000]),
        pa.array(["2026-03-01 12:00:00", "soon"]),
        pa.array([1.5]),
    ],
    ids=str,
)
def test_columns_that_hold_no_times_for_sure(values):
    assert of_time(pa.chunked_array([values]), "UTC") is None


def test_a_text_without_a_zone_is_of_the_zone_that_is_given():
    values = pa.chunked_array([["2026-03-01 12:00:00"]])
    made = converted(values, of_time(values, "+08:00"))
    assert made.to_pylist() == [NOON - dt.timedelta(hours=8)]


def test_values_that_do_not_fit_are_refused():
    assert (
        converted(pa.chunked_array([pa.array([], pa.int8())]), Meaning("int16")).type == pa.int16()
    )
    with pytest.raises(Refused):
        converted(pa.chunked_array([pa.array([2**63], pa.uint64())]), Meaning("int64"))


def test_what_data_load_is_told():
    told = words(
        {"a": {"x": Meaning("int16"), "y": Meaning("double", "nearest", "rounded")}, "b": {}}
    )
    assert told == {"a.y": "nearest"}

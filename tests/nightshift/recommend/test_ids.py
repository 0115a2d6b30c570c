"""Ids sort and are found by value and kind; other columns become what JSON takes."""

import datetime as dt

import pyarrow as pa
import pytest

from nightshift.errors import DataError
from nightshift.recommend.ids import Ids, as_ids, plain


@pytest.mark.parametrize(
    ("values", "value", "place"),
    [
        ([1, 5, 9], 5, 1),
        ([1, 5, 9], 6, None),
        ([1, 5, 9], 10, None),
        ([1, 5, 9], "5", None),
        ([0, 1], True, None),
        (["a", "b"], "b", 1),
        (["a", "b"], 1, None),
        (["a", "b"], "", None),
        ([1, 5], None, None),
    ],
)
def test_an_id_is_found_by_value_and_kind(values, value, place):
    assert Ids(pa.array(values)).find(value) == place


def test_ids_are_whole_numbers_or_text():
    assert as_ids(pa.array([1, 2], pa.int16()), "users.id").type == pa.int64()
    coded = pa.array(["x", "y"]).dictionary_encode()
    assert as_ids(coded, "users.id").to_pylist() == ["x", "y"]
    with pytest.raises(DataError, match=r"users\.id is of type double"):
        as_ids(pa.array([1.5]), "users.id")


def test_times_are_milliseconds_and_dates_text():
    at = dt.datetime(1970, 1, 1, 0, 0, 1, 500_000)
    assert plain(pa.array([at, None], pa.timestamp("us"))).to_pylist() == [1500, None]
    assert plain(pa.array([dt.date(2026, 3, 1)])).to_pylist() == ["2026-03-01"]
    assert plain(pa.array([1.5])).to_pylist() == [1.5]

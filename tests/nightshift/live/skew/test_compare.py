"""Values as their columns hold them: equal ones are equal, others are found."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.live.skew.compare import (
    as_served,
    differing,
    equal,
    kept_column,
    kept_rows,
    same,
)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("float", 0.1, float(np.float32(0.1))),
        ("float", math.nan, None),
        ("double", math.inf, None),
        ("float", 1e300, None),
        ("bool", True, 1),
        ("date", "2026-01-02", "2026-1-2"),
        ("int64", 5, 5),
        ("string", "", ""),
    ],
)
def test_the_same_value_from_json_and_from_a_partition(kind, one, other):
    assert same(one, other, kind)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("double", 0.1, 0.10001),
        ("string", "", None),
        ("int64", 0, None),
        ("date", "2026-01-02", "2026-01-03"),
        ("string", "1", "01"),
        ("double", 0.0, 1e-300),
    ],
)
def test_other_values_differ(kind, one, other):
    assert not same(one, other, kind)


def test_fractions_may_be_added_up_in_another_order():
    assert equal(sum([0.1] * 10), 1.0)
    assert not equal(1.0, 1.00001)


@given(st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_comes_back_as_the_server_gives_it(value):
    (kept,) = kept_column([value], "float")
    given = as_served(kept, "float")
    assert given is None if value is None else np.float32(given) == np.float32(value)
    assert kept_column([given], "float") == [kept]


@given(st.none() | st.dates())
def test_a_date_comes_back_as_the_server_gives_it(value):
    text = None if value is None else f"{value.year}-{value.month}-{value.day}"
    (kept,) = kept_column([text], "date")
    assert as_served(kept, "date") == text


def test_rows_keep_their_shape():
    assert kept_rows([], ["int64"]) == []
    assert kept_rows([[], []], []) == [(), ()]
    assert kept_rows([[1, True], [2, None]], ["int64", "bool"]) == [(1, 1), (2, None)]


def test_differing_places_are_named_and_absent_rows_are_not_compared():
    one = [(1, "a"), (2, "b"), (3, "c")]
    other = [(1, "a"), (9, "x"), None]
    assert list(differing(one, other, range(3))) == [(1, 0), (1, 1)]
    assert list(differing(one, other, [0, 2])) == []

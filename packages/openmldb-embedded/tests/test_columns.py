"""Columns and batches keep values and NULLs through Arrow, slicing, joining end to end."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openmldb_embedded.columns import Batch, column_from_arrow, fill
from openmldb_sql.errors import TypeCheckError
from openmldb_sql.types import SqlType

VALUES = {
    SqlType.BOOL: st.booleans(),
    SqlType.INT16: st.integers(-(2**15), 2**15 - 1),
    SqlType.INT32: st.integers(-(2**31), 2**31 - 1),
    SqlType.INT64: st.integers(-(2**63), 2**63 - 1),
    SqlType.FLOAT: st.floats(width=32, allow_nan=False),
    SqlType.DOUBLE: st.floats(allow_nan=False),
    SqlType.STRING: st.text(st.characters(codec="utf-8"), max_size=5),
    SqlType.DATE: st.dates(),
    SqlType.TIMESTAMP: st.integers(-(2**40), 2**50),
}
FIELDS = [(t.value, t) for t in VALUES]
ROWS = st.lists(st.tuples(*(st.one_of(st.none(), s) for s in VALUES.values())), max_size=20)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(first=ROWS, second=ROWS)
def test_values_survive(first, second):
    a, b = Batch.from_rows(FIELDS, first), Batch.from_rows(FIELDS, second)
    assert a.to_rows() == first
    assert Batch.from_arrow(a.to_arrow()).to_rows() == first
    assert Batch.from_arrow(a.to_arrow(), FIELDS).schema == FIELDS
    both = Batch.concat([a, b, a])
    assert both.to_rows() == first + second + first
    assert both.slice(1, 4).to_rows() == (first + second + first)[1:4]
    for column, (_, type_) in zip(a.columns, FIELDS, strict=True):
        zero = {"string": "zero", "date": dt.date(2000, 1, 1), "bool": True}.get(type_.value, 1)
        filled = fill(column, zero).to_list()
        assert filled == [zero if x is None else x for x in column.to_list()]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_any_unit_become_milliseconds(unit):
    moment = dt.datetime(2016, 3, 15, 20, 43, 4)
    array = pa.array([moment, None], pa.timestamp(unit))
    assert column_from_arrow(array).to_list() == [1458074584000, None]
    before = pa.array([-1], pa.int64()).cast(pa.timestamp("us"))
    assert column_from_arrow(before).to_list() == [-1]  # the millisecond it lies in


def test_values_that_do_not_fit_are_refused():
    for type_, value in (
        (SqlType.INT16, 40_000),
        (SqlType.INT32, "x"),
        (SqlType.DATE, "soon"),
        (SqlType.STRING, 5),
        (SqlType.INT64, 2**63),
    ):
        with pytest.raises(TypeCheckError):
            Batch.from_rows([("c", type_)], [(value,)])
    with pytest.raises(TypeCheckError):
        Batch.from_arrow(pa.table({"c": pa.array([[1]])}))
    with pytest.raises(TypeCheckError):
        column_from_arrow(pa.array([2**40]), SqlType.INT32)

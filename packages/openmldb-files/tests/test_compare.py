"""Columns of a file against those of a table, as LOAD DATA compares them."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openmldb_files import columns_of, differences

WANTED = {"user": "string", "at": "timestamp", "price": "double"}
AT = pa.timestamp("ms")


@pytest.fixture
def file(tmp_path):
    def write(**kinds):
        path = tmp_path / "part-0.parquet"
        pq.write_table(pa.schema(kinds.items()).empty_table(), path)
        return columns_of(path)

    return write


def test_a_table_with_further_columns_of_the_file_does_not_differ(file):
    columns = file(user=pa.string(), more=pa.int8(), at=AT, price=pa.float64())
    assert differences(columns, WANTED) == []


def test_a_missing_column_is_named_with_the_one_that_may_be_meant(file):
    (one,) = differences(file(User=pa.string(), at=AT, price=pa.float64()), WANTED)
    assert (one.column, one.is_missing) == ("user", True)
    assert "it has 'User'" in one.reason
    (one,) = differences(file(user=pa.string(), at=AT, prise=pa.float64()), WANTED)
    assert (one.column, one.is_missing) == ("price", True)
    assert "it has 'prise'" in one.reason
    (one,) = differences(file(user=pa.string(), at=AT), WANTED)
    assert "it has" not in one.reason


def test_another_type_is_named_by_both_types(file):
    (one,) = differences(file(user=pa.int64(), at=AT, price=pa.float64()), WANTED, "visit")
    assert (one.column, one.is_missing) == ("user", False)
    assert one.reason == "it is int64 in the file and string in visit"


def test_all_differences_are_given_at_once(file):
    found = differences(file(user=pa.int64(), price=pa.binary()), WANTED)
    assert [one.column for one in found] == ["user", "at", "price"]


def test_another_order_is_a_difference_since_columns_are_taken_by_place(file):
    (one,) = differences(file(at=AT, user=pa.string(), price=pa.float64()), WANTED, "visit")
    assert one.column == "at"
    assert "number 1 in the file, where visit has user" in one.reason

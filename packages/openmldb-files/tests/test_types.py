"""One SQL type for each Arrow type that OpenMLDB's batch engine reads."""

import pyarrow as pa
import pytest
from openmldb_files.types import ARROW_OF, SQL_TYPES, describe, sql_type_of, storage_type


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
    assert describe(kind) == (sql or str(kind))


@pytest.mark.parametrize("sql", SQL_TYPES)
def test_the_arrow_type_of_each_sql_type_is_read_as_it(sql):
    assert sql_type_of(ARROW_OF[sql]) == sql


def test_wrappings_are_taken_off_however_deep_they_are():
    inner = pa.dictionary(pa.int8(), pa.int64())
    assert storage_type(pa.run_end_encoded(pa.int32(), inner)) == pa.int64()
    assert storage_type(pa.uuid()) == pa.binary(16)
    assert describe(pa.uuid()) == str(pa.binary(16))

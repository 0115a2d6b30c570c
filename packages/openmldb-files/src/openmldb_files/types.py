"""Arrow's types and SQL's: what a column is to OpenMLDB, whatever writer made it.

SQL types are named as OpenMLDB's API server names them in lower case: bool, int16, int32, int64,
float, double, string, date, timestamp.
"""

from __future__ import annotations

import functools
from typing import Final

import pyarrow as pa

SQL_TYPES: Final = (
    "bool",
    "int16",
    "int32",
    "int64",
    "float",
    "double",
    "string",
    "date",
    "timestamp",
)
"""Every type that a column of a table may have."""

ARROW_OF: Final[dict[str, pa.DataType]] = {
    "bool": pa.bool_(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("ms"),
}
"""The one Arrow type that stands for each SQL type once a column is read."""

_SAME: Final[tuple[tuple[pa.DataType, str], ...]] = (
    (pa.bool_(), "bool"),
    (pa.int16(), "int16"),
    (pa.int32(), "int32"),
    (pa.int64(), "int64"),
    (pa.float32(), "float"),
    (pa.float64(), "double"),
    (pa.string(), "string"),
    (pa.large_string(), "string"),
    (pa.string_view(), "string"),
    (pa.date32(), "date"),
    (pa.date64(), "date"),
    # Spark 3.2 reads the unsigned integers of parquet as the next wider signed one.
    (pa.uint8(), "int16"),
    (pa.uint16(), "int32"),
    (pa.uint32(), "int64"),
    # Only Arrow's own schema beside the parquet one speaks of a duration: it is a plain INT64.
    (pa.duration("s"), "int64"),
    (pa.duration("ms"), "int64"),
    (pa.duration("us"), "int64"),
    (pa.duration("ns"), "int64"),
)


def storage_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values themselves: a dictionary's, a run's, an extension's storage."""
    while True:
        if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        else:
            return kind


@functools.lru_cache(1024)
def sql_type_of(kind: pa.DataType) -> str | None:
    """The SQL type that LOAD DATA sees in a column of this Arrow type, or None.

    None for what OpenMLDB has no type for: int8, uint64, float16, decimals, binary, times of the
    day, nested types, and a column of nothing but NULLs without a type.
    """
    kind = storage_type(kind)
    if pa.types.is_timestamp(kind):
        return "timestamp"
    return next((name for arrow, name in _SAME if arrow == kind), None)


def describe(kind: pa.DataType) -> str:
    """The SQL type's name, or Arrow's own where SQL has none."""
    return sql_type_of(kind) or str(storage_type(kind))

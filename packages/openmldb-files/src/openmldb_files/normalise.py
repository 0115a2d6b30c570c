"""Columns of one SQL type, brought to the one Arrow type that stands for it."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from openmldb_files.types import ARROW_OF, sql_type_of

ENCODED = pa.dictionary(pa.int32(), pa.string())
"""Text by a dictionary, as parquet holds it."""

_PER_MS = {"us": 1_000, "ns": 1_000_000}
_MS_LIMIT = 2**63 // 1000


def plain_values(column: pa.Array) -> pa.Array:
    """The values without dictionary, runs or extension."""
    while True:
        kind = column.type
        if pa.types.is_dictionary(kind):
            column = column.dictionary_decode()
        elif pa.types.is_run_end_encoded(kind):
            column = pc.run_end_decode(column)
        elif isinstance(kind, pa.BaseExtensionType):
            column = column.storage
        else:
            return column


def normal(column: pa.Array) -> pa.Array:
    """The column in the Arrow type of its SQL type (`ARROW_OF`); others come back plain.

    Times lose their zone (the instant stays) and are cut to milliseconds towards the past: a
    row belongs to the millisecond that it happened in.

    Raises:
        ValueError: seconds that no milliseconds can hold.
    """
    target = sql_type_of(column.type)
    if target is None:
        return plain_values(column)
    wanted = ARROW_OF[target]
    if column.type == wanted:
        return column
    if pa.types.is_dictionary(column.type):
        # Convert the few distinct values, then spread them.
        return normal(column.dictionary).take(column.indices)
    column = plain_values(column)
    if pa.types.is_timestamp(column.type):
        return milliseconds(column)
    if pa.types.is_duration(column.type):
        return column.cast(pa.int64())
    return column.cast(wanted)


def milliseconds(column: pa.Array) -> pa.Array:
    """Timestamps of any unit and zone as timestamp[ms] without a zone."""
    unit = column.type.unit
    ticks = column.cast(pa.int64())
    if unit == "s":
        if len(ticks) and ticks.null_count < len(ticks):
            span = pc.min_max(ticks)
            if span["min"].as_py() < -_MS_LIMIT or span["max"].as_py() > _MS_LIMIT:
                raise ValueError("a time in seconds is too far away to be held in milliseconds")
        ticks = pc.multiply(ticks, 1000)
    elif unit in _PER_MS:
        ticks = floor_divide(ticks, _PER_MS[unit])
    return ticks.cast(pa.timestamp("ms"))


def floor_divide(numbers: pa.Array, by: int) -> pa.Array:
    """Whole numbers divided towards minus infinity (Arrow's own division cuts towards zero)."""
    quotient = pc.divide(numbers, by)
    short = pc.less(numbers, pc.multiply(quotient, by))
    return pc.subtract(quotient, short.cast(pa.int64()))


def columns_normal(batch: pa.RecordBatch, encoded: Collection[str] = ()) -> pa.RecordBatch:
    """A batch whose columns are all `normal`; in `encoded` a dictionary of texts stays one."""
    columns = [
        column if name in encoded and column.type == ENCODED else normal(column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    if all(new is old for new, old in zip(columns, batch.columns, strict=True)):
        return batch
    fields = [
        pa.field(name, column.type)
        for name, column in zip(batch.schema.names, columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))

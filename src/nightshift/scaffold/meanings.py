"""What a column of any writer's becomes in a proposed table, and what `data load` is told of it.

`data load` guesses nothing: it wants to be told what whole numbers count that stand for times, and
that decimals may be rounded. A proposal may guess, since it says so and each guess can be changed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_FROM, _TO = dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1)
"""Between them a number is taken for a time."""


@dataclass(frozen=True)
class Meaning:
    """What a column becomes.

    Attributes:
        sql: its type in the table.
        word: what `data load` is told by --as; None where it needs nothing.
        why: the guess in words; empty where there was nothing to guess.
    """

    sql: str
    word: str | None = None
    why: str = ""


def of_type(kind: pa.DataType) -> Meaning | None:
    """What a column of an Arrow type becomes; None for a type that no table can hold."""
    import pyarrow as pa
    from openmldb_files import sql_type_of
    from openmldb_files.types import storage_type

    sql = sql_type_of(kind)
    if sql is not None:
        return Meaning(sql)
    if isinstance(kind, pa.UuidType):
        return Meaning("string")
    kind = storage_type(kind)
    if pa.types.is_decimal(kind):
        return Meaning("double", "nearest", f"{kind}, rounded to the nearest double")
    if pa.types.is_float16(kind):
        return Meaning("double")
    if kind == pa.int8():
        return Meaning("int16")
    if kind == pa.uint64():
        return Meaning("int64")
    return None


def of_time(values: pa.ChunkedArray, zone: str) -> Meaning | None:
    """What a column that is no timestamp says, if it holds a time in every row; else None.

    Args:
        values: the column.
        zone: of texts and days that name none.
    """
    import pyarrow as pa
    from openmldb_files.convert import UNITS

    kind = values.type
    if not len(values) or values.null_count:
        return None
    if pa.types.is_integer(kind):
        found = [unit for unit in UNITS if _between(values, unit)]
        if len(found) == 1:
            return Meaning("timestamp", found[0], f"whole numbers, taken for {found[0]} since 1970")
        return None
    if pa.types.is_date(kind):
        return Meaning("timestamp", zone, f"days, taken for their midnights in {zone}")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        if _converts(values, None):
            return Meaning("timestamp", None, "text with a zone, read as times")
        if _converts(values, zone):
            return Meaning("timestamp", zone, f"text without a zone, taken for times in {zone}")
    return None


def converted(values: pa.ChunkedArray, meaning: Meaning) -> pa.ChunkedArray:
    """The column as `data load` will write it.

    Raises:
        Refused: a value does not fit.
    """
    import pyarrow as pa
    from openmldb_files.convert import exact

    chunks = values.chunks or [pa.nulls(0, values.type)]
    return pa.chunked_array([exact(chunk, meaning.sql, meaning.word) for chunk in chunks])


def words(tables: Mapping[str, Mapping[str, Meaning]]) -> dict[str, str]:
    """By `table.column` what `data load` is told, of all columns that need it."""
    return {
        f"{table}.{column}": meaning.word
        for table, columns in tables.items()
        for column, meaning in columns.items()
        if meaning.word is not None
    }


def _between(values: pa.ChunkedArray, unit: str) -> bool:
    """Whether all of a column's numbers are times of this century in a unit."""
    import pyarrow.compute as pc
    from openmldb_files.convert import TICKS

    bounds = pc.min_max(values).as_py()
    seconds = [bounds[end] / TICKS[unit] for end in ("min", "max")]
    utc = dt.timezone.utc
    low, high = (moment.replace(tzinfo=utc).timestamp() for moment in (_FROM, _TO))
    return all(low <= one < high for one in seconds)


def _converts(values: pa.ChunkedArray, zone: str | None) -> bool:
    from openmldb_files.convert import Refused

    first = values.slice(0, 1)
    try:
        converted(first, Meaning("timestamp", zone))
        converted(values, Meaning("timestamp", zone))
    except Refused:
        return False
    return True

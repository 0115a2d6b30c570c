"""Rows of a partition and of the online store, as digests that can be compared.

A digest stands for a row's values as OpenMLDB keeps them: text, whole numbers, floats of their
own width, days, milliseconds. Values that are not finite count as NULL, since the API server may
write them so.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from nightshift.data import reading
from nightshift.errors import ContractError
from nightshift.openmldb.client import AbstractClient
from nightshift.openmldb.text import quote_name

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 100_000
"""Rows of one answer; a longer time range is read in parts."""

_MOST_COUNTS = 50

Row = tuple[Any, ...]
"""Values in the table's order: str, int (times in milliseconds), float, bool, `date`, None."""

_FLOAT32 = struct.Struct("<f")
_EPOCH = dt.datetime(1970, 1, 1)
_MS = dt.timedelta(milliseconds=1)


def digest(row: Row) -> bytes:
    """16 bytes that equal rows share."""
    plain = tuple(_comparable(value) if type(value) is float else value for value in row)
    return xxhash.xxh3_128_digest(repr(plain).encode("utf-8", "surrogatepass"))


def _comparable(value: float) -> float | None:
    return value + 0.0 if math.isfinite(value) else None


def partition_rows(paths: Sequence[Path], columns: Mapping[str, str]) -> Iterator[Row]:
    """Rows of parquet files, as OpenMLDB keeps them.

    Args:
        paths: the files.
        columns: SQL type by column, in the table's order.

    Raises:
        DataError: a file is not parquet or lacks a column.
    """
    for batch in reading.batches(paths, columns=list(columns)):
        yield from batch_rows(batch, columns)


def batch_rows(batch: pa.RecordBatch, columns: Mapping[str, str]) -> Iterator[Row]:
    """Rows of a batch that has the columns, as OpenMLDB keeps them."""
    lists = []
    for column, sql in zip(batch.columns, columns.values(), strict=True):
        fit, values = _fitter(sql), column.to_pylist()
        lists.append(values if fit is _same else [fit(value) for value in values])
    yield from zip(*lists, strict=True)


def stored_rows(
    client: AbstractClient,
    database: str,
    table: str,
    columns: Mapping[str, str],
    time: str,
    from_ms: int,
    until_ms: int,
) -> list[Row]:
    """Rows of a time range in the online store.

    Raises:
        ContractError: the answer does not have the table's columns.
    """
    count = stored_count(client, database, table, time, from_ms, until_ms)
    if count > MOST_ROWS and until_ms - from_ms > 1:
        middle = (from_ms + until_ms) // 2
        return [
            row
            for first, last in ((from_ms, middle), (middle, until_ms))
            for row in stored_rows(client, database, table, columns, time, first, last)
        ]
    names = ", ".join(quote_name(name) for name in columns)
    result = client.execute(
        database,
        f"SELECT {names} FROM {quote_name(table)} WHERE {in_range(time, from_ms, until_ms)}",
        mode="onsync",
    )
    rows = result.rows if result is not None else []
    if rows and len(rows[0]) != len(columns):
        raise ContractError(
            f"{database}.{table} answers {len(rows[0])} columns where {len(columns)} are declared"
        )
    fit = [_fitter(sql) for sql in columns.values()]
    return [tuple(f(v) for f, v in zip(fit, row, strict=True)) for row in rows]


def stored_count(
    client: AbstractClient, database: str, table: str, time: str, from_ms: int, until_ms: int
) -> int:
    """Rows of a time range in the online store, counted there."""
    result = client.execute(
        database,
        f"SELECT count(*) FROM {quote_name(table)} WHERE {in_range(time, from_ms, until_ms)}",
        mode="onsync",
    )
    return int(result.rows[0][0]) if result is not None and result.rows else 0


def stored_counts(
    client: AbstractClient,
    database: str,
    table: str,
    time: str,
    spans: Sequence[tuple[int, int]],
) -> list[int]:
    """Rows of each time range in the online store, counted by one statement for each 50 ranges.

    OpenMLDB groups by columns only, not by the day of one; so each range is a column of its own.
    """
    found: list[int] = []
    for at in range(0, len(spans), _MOST_COUNTS):
        some = spans[at : at + _MOST_COUNTS]
        counted = ", ".join(
            f"count_where({quote_name(time)}, {in_range(time, *span)}) AS c{n}"
            for n, span in enumerate(some)
        )
        whole = in_range(time, min(first for first, _ in some), max(last for _, last in some))
        result = client.execute(
            database, f"SELECT {counted} FROM {quote_name(table)} WHERE {whole}", mode="onsync"
        )
        # No row at all is answered by no row of counts.
        rows = result.rows if result is not None else []
        found += [int(value) for value in rows[0]] if rows else [0] * len(some)
    return found


def in_range(time: str, from_ms: int, until_ms: int) -> str:
    """The condition of a half-open range of milliseconds, as a SELECT takes it."""
    name = quote_name(time)
    return f"{name} >= timestamp({from_ms}) AND {name} < timestamp({until_ms})"


def fitted(values: Sequence[Any], columns: Mapping[str, str]) -> Row:
    """A row as OpenMLDB keeps it, of values as the API server's JSON takes them."""
    return tuple(_fitter(sql)(v) for sql, v in zip(columns.values(), values, strict=True))


def _fitter(sql: str) -> Callable[[Any], Any]:
    return {"float": _float, "double": _double, "date": _date, "timestamp": _time}.get(sql, _same)


def _same(value: Any) -> Any:
    return value


def _float(value: Any) -> float | None:
    value = _double(value)
    if value is None:
        return None
    try:
        (narrow,) = _FLOAT32.unpack(_FLOAT32.pack(value))
    except OverflowError:
        return math.inf
    return float(narrow)


def _double(value: Any) -> float | None:
    # Some versions write what is not finite as text.
    return None if value is None else float(value)


def _date(value: Any) -> dt.date | None:
    if isinstance(value, str):
        return dt.date(*(int(part) for part in value.split("-")))
    found: dt.date | None = value
    return found


def _time(value: Any) -> int | None:
    if isinstance(value, dt.datetime):
        return (value.replace(tzinfo=None) - _EPOCH) // _MS
    found: int | None = value
    return found

"""Windows that count events of the request's own instant, which come after it when it is served.

A frame that ends at `0s PRECEDING` or at the current row takes rows of the request's own time along,
unless it says EXCLUDE CURRENT_TIME. Offline they are there; online the event that the request led
to (a click on what was shown) is not yet. So the newest partitions are asked whether a table has
such rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nightshift.features.reach import Reach, Source, Window
from nightshift.pipeline import Pipeline

MOST_REQUESTS = 200_000
"""Requests that are looked at."""


@dataclass(frozen=True)
class Shared:
    """A window over a table that has rows of requests' own instants.

    Attributes:
        window: its name in messages.
        table: the table.
        day: the partitions that were looked at.
        requests: how many requests of that day have such a row, of `of`.
    """

    window: str
    table: str
    day: str
    requests: int
    of: int


def shared(pipeline: Pipeline, reach: Reach) -> Iterator[Shared]:
    """The windows that end at the request's own instant over tables whose events share it.

    Raises:
        DataError: a partition cannot be read.
    """
    from nightshift.data import reading

    tables = pipeline.features.tables
    days = sorted((pipeline.data / tables.request_table).glob("ds=????-??-??"))
    day = next((path.name for path in reversed(days) if reading.parquet_files(path)), None)
    if day is None:
        return
    told: set[tuple[str, str]] = set()
    for window in reach.windows:
        if window.end != 0 or not window.current_time:
            continue
        for source in window.unions:
            read = reach.read(source.read)
            if read.table == tables.request_table or (window.name, read.table) in told:
                continue
            if any(column.read != 0 for _, column in read.keys):
                continue
            told.add((window.name, read.table))
            found = _count(pipeline, reach, window, source, day)
            if found[0]:
                yield Shared(window.name, read.table, day.removeprefix("ds="), *found)


def _count(
    pipeline: Pipeline, reach: Reach, window: Window, source: Source, day: str
) -> tuple[int, int]:
    """(requests that share their instant with a row of their key, requests)."""
    read = reach.read(source.read)
    own = [column.name for _, column in read.keys] + [window.time]
    other = [name for name, _ in read.keys] + [source.time]
    requests = _keys(pipeline, pipeline.features.tables.request_table, day, own)
    rows = set(_keys(pipeline, read.table, day, other))
    return sum(key in rows for key in requests), len(requests)


def _keys(pipeline: Pipeline, table: str, day: str, columns: list[str]) -> list[tuple[Any, ...]]:
    from nightshift.data import reading
    from nightshift.serving.pair import plain_values

    paths = reading.parquet_files(pipeline.data / table / day)
    if not paths:
        return []
    found = reading.table(paths, columns=list(dict.fromkeys(columns))).slice(0, MOST_REQUESTS)
    return list(zip(*(plain_values(found[name]) for name in columns), strict=True))

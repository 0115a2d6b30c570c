"""Rows of another day than their partition's, as the statistics in a file's footer say."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from nightshift.zones import Zone

if TYPE_CHECKING:
    from nightshift.data.declared import Declared

_UTC = Zone("UTC")


def fault(path: Path, table: Declared, day: dt.date) -> tuple[str, str] | None:
    """What is wrong with the days of a file's rows, and what to do; None where nothing is seen.

    Args:
        path: a parquet file of the partition.
        table: the event table.
        day: the partition's day.
    """
    found = _bounds(path, str(table.time))
    if found is None:
        return None
    try:
        first, last = (table.zone.day_of(moment) for moment in found)
    except OverflowError:  # at the calendar's ends; the data gate counts such rows
        return None
    if (first, last) == (day, day):
        return None
    days = str(first) if first == last else f"{first} to {last}"
    zone = "UTC+8, OpenMLDB's zone" if table.zone == Zone() else table.zone.name
    why = f"it lies in the folder of {day}, and its rows are of {days} (days of {zone})"
    if table.zone.name != _UTC.name and {_UTC.day_of(moment) for moment in found} == {day}:
        return (
            why,
            "by UTC they are of this day: write time_zone: UTC in pipeline.yaml, or move them",
        )
    return why, "move them: `./nightshift data load` lays rows by their day"


def _bounds(path: Path, column: str) -> tuple[dt.datetime, dt.datetime] | None:
    """The least and the greatest moment of a column; None where the footer does not say."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            footer, names = file.metadata, file.schema_arrow.names
    except (pa.ArrowException, OSError):
        return None
    if column not in names:
        return None
    at = names.index(column)
    moments: list[dt.datetime] = []
    for number in range(footer.num_row_groups):
        part = footer.row_group(number).column(at)
        if part.path_in_schema != column:  # a nested column stands before it
            return None
        known = part.statistics
        if known is not None and known.has_min_max:
            moments += [known.min, known.max]
    if not all(isinstance(moment, dt.datetime) for moment in moments) or not moments:
        return None
    plain = [moment.replace(tzinfo=None) for moment in moments]  # stored moments are UTC's
    return min(plain), max(plain)

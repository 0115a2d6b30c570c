"""The JD tutorial's own parquet files, laid out as date partitions.

The tutorial's archive holds one folder a table, `flattenRequest_clean` for the requests.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace as changed
from pathlib import Path

from openmldb_files import sql_type_of

from laptop.data import partitions
from laptop.data.schemas import EVENT_TIME, SCHEMAS
from nightshift import layout
from nightshift.data import load as loading
from nightshift.data import reading
from nightshift.data.declared import Declared
from nightshift.errors import DataError

ALIASES = {"flattenRequest": ("flattenRequest_clean",)}
"""Folders of the tutorial's archive that are not named as their table."""


def declared() -> dict[str, Declared]:
    """The tutorial's tables."""
    return {
        name: Declared(
            name,
            {item.name: str(sql_type_of(item.type)) for item in schema},
            frozenset(),
            EVENT_TIME.get(name),
        )
        for name, schema in SCHEMAS.items()
    }


def load(
    data: Path,
    folder: Path,
    *,
    replace: bool = False,
    said: Callable[[str], None] = lambda text: None,
    tables: Mapping[str, Declared] | None = None,
    options: loading.Options | None = None,
) -> loading.Loaded:
    """`nightshift.data.load.load` of these tables, by the names that the archive has.

    Args:
        data: folder of the source tables.
        folder: one folder (or one file) a table.
        replace: remove another source's tables first.
        said: told what is being laid out.
        tables: other tables than the tutorial's.
        options: what the files mean.

    Raises:
        DataError: a file cannot be read, or not without changing what it says.
        ConfigurationError: `data` holds another source.
    """
    options = options or loading.Options()
    options = changed(options, aliases={**ALIASES, **options.aliases}, replace=replace)
    return loading.load(data, folder, tables or declared(), options, said=said)


def last_full_day(data: Path) -> dt.date:
    """The last day on which both requests and user actions were recorded.

    The tutorial's requests go on for five days after its actions end; those days have no order.

    Raises:
        DataError: there is no such day.
    """
    for day in reversed(partitions.days_present(data)):
        if all(
            reading.rows(reading.parquet_files(layout.partition(data, table, day)))
            for table in ("flattenRequest", "bo_action")
        ):
            return day
    raise DataError(f"no day below {data} has both requests and actions")

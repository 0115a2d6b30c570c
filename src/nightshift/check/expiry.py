"""Do the online tables let go of rows in time, and no sooner?"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from nightshift.check.indexes import Fault, spelled
from nightshift.features import ttl
from nightshift.layout import DAY_MS

if TYPE_CHECKING:
    from nightshift.data.declared import Declared
    from nightshift.features.reach import Reach
    from nightshift.pipeline import Pipeline


def advice(
    pipeline: Pipeline,
    declared: Mapping[str, Declared],
    reach: Reach,
    lookback_days: Mapping[str, int],
) -> Iterator[Fault]:
    """What is to be said of times to live that lose nothing the query needs.

    Rows of long ago expire as they are loaded, since age counts from now: of a table whose newest
    partition is that old it is only said that they do.

    Args:
        pipeline: its partitions.
        declared: its tables.
        reach: what its query reads.
        lookback_days: days that its nights load before their date.
    """
    label = pipeline.features.tables.label_table
    needs = ttl.needs_of(reach, label)
    for table in declared.values():
        if table.time is None:
            continue
        newest = newest_ms(pipeline, table)
        if newest is None:
            continue
        age_ms = int(time.time() * 1000) - newest
        kept_ms = table.expires_ms
        if kept_ms is not None and age_ms > kept_ms:
            yield Fault(
                table.name,
                f"its newest partition is {age_ms // DAY_MS} days old and the table keeps rows for "
                f"{kept_ms // DAY_MS}: they are gone as soon as they are loaded online",
                "load newer partitions; for recorded data write ttl=0m, ttl_type=absolute",
            )
        elif age_ms <= ttl.MARGIN_DAYS * DAY_MS:
            yield from _of_table(table, needs, lookback_days.get(table.name, 0))


def _of_table(table: Declared, needs: list[ttl.Need], lookback_days: int) -> Iterator[Fault]:
    least_ms = (lookback_days + ttl.LEAST_MARGIN_DAYS) * DAY_MS
    for index in table.indexes:
        wanted = ttl.proposed(index, table.name, needs, event=True, lookback_days=lookback_days)
        if not index.expires and wanted.expires:
            yield Fault(
                table.name,
                f"the index by {', '.join(index.keys)} keeps every row for ever, so that the online "
                "store grows by each day",
                f"write {spelled(wanted)}: what the query reaches, and {ttl.MARGIN_DAYS} days",
            )
        elif index.ttl_ms_abs and index.ttl_ms_abs < least_ms and index.ttl_type != "latest":
            yield Fault(
                table.name,
                f"the index by {', '.join(index.keys)} keeps rows for "
                f"{index.ttl_ms_abs / DAY_MS:g} days; nights compare {lookback_days} days before "
                "their date, and a day whose rows expire is left out",
                f"write {spelled(wanted)}",
            )


def newest_ms(pipeline: Pipeline, table: Declared) -> int | None:
    """End of the day of a table's newest partition; None where there is none."""
    days = sorted((pipeline.data / table.name).glob("ds=????-??-??"))
    if not days:
        return None
    try:
        return table.zone.end_ms(dt.date.fromisoformat(days[-1].name[3:]))
    except ValueError:
        return None

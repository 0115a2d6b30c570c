"""How late labels come: what share of the positives is known so many days after the request.

A positive of a young request is seen only if it came early, so the plain share would look better
than it is. The curve is therefore the estimate for right-truncated data in reverse time (Lagakos,
Barraj and De Gruttola, Biometrika 1988; actuaries' chain ladder): day by day it uses only requests
that are old enough for a label to have come by then.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nightshift import layout
from nightshift.data import reading
from nightshift.data.declared import declared_tables
from nightshift.errors import ConfigurationError, DataError
from nightshift.features.tables import SourceTables

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nightshift.night import Night

MATURE = 0.95
"""Of a settled day so many of its positives should be known."""

_LEAST = 30
"""Positives that a curve needs."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Curve:
    """Maturity by delay.

    Attributes:
        days: 0, 1, 2, ... days after the request.
        share: of all positives that come within the longest delay seen, those known by then.
        positives: what the curve was estimated from.
    """

    days: tuple[int, ...]
    share: tuple[float, ...]
    positives: int

    def at(self, days: int) -> float:
        """The share after so many days."""
        return self.share[min(days, len(self.share) - 1)]

    def settle_days(self, mature: float = MATURE) -> int:
        """The least number of days after which the share is at least `mature`."""
        return next(d for d, share in zip(self.days, self.share, strict=True) if share >= mature)

    def missed(self, settle_days: int, train_days: int) -> float:
        """Share of the positives of the learned days that is not known yet.

        Days are taken to have as many positives each.
        """
        ages = range(settle_days, max(train_days, settle_days + 1))
        return float(np.mean([1.0 - self.at(age) for age in ages]))


def curve(delay_days: Ints, age_days: Ints) -> Curve | None:
    """The maturity curve of labels that have come.

    Args:
        delay_days: int64 [n], whole days from each positive's request to its label, rounded up.
        age_days: int64 [n], whole days from that request to the end of the data, at least the
            delay.

    Returns:
        The curve; None of fewer than 30 positives.
    """
    if len(delay_days) < _LEAST:
        return None
    longest = int(delay_days.max())
    share = np.ones(longest + 1)
    for day in range(longest, 0, -1):
        old_enough = age_days >= day
        at_risk = int((old_enough & (delay_days <= day)).sum())
        came = int((old_enough & (delay_days == day)).sum())
        share[day - 1] = share[day] * (1.0 - came / at_risk if at_risk else 1.0)
    return Curve(tuple(range(longest + 1)), tuple(share.tolist()), len(delay_days))


def report(
    delay_days: Ints, age_days: Ints, *, settle_days: int, train_days: int
) -> dict[str, Any]:
    """The report `labels`: the curve, a settle time that it proposes, and what each costs."""
    found = curve(delay_days, age_days)
    value: dict[str, Any] = {
        "check": "labels", "status": "pass", "failures": [], "warnings": [],
        "positives": len(delay_days), "settle_days": settle_days, "maturity": None,
    }  # fmt: skip
    if found is None:
        value["why"] = f"{len(delay_days)} positives with a time; a curve needs {_LEAST}"
        return value
    if found.days[-1] == 0:
        value["why"] = (
            "every label bears its request's own time, so its delay cannot be seen; name the "
            "column of the label's arrival under label.arrival in tables.yaml"
        )
        return value
    proposed = found.settle_days()
    days = sorted({0, settle_days, proposed, *range(min(len(found.days), 31)), found.days[-1]})
    value |= {
        "maturity": [{"days": d, "share": round(found.at(d), 4)} for d in days],
        "proposed_settle_days": proposed,
        "price": {
            str(d): {
                "newest_learned_day": f"ds - {d}",
                "positives_missed_on_it": round(1.0 - found.at(d), 4),
                "positives_missed": round(found.missed(d, train_days), 4),
            }
            for d in sorted({settle_days, proposed})
        },
    }
    late = 1.0 - found.at(settle_days)
    if late > 1.0 - MATURE:
        value["status"] = "warn"
        value["warnings"].append(
            f"{late:.0%} of the positives come later than the {settle_days} days that a label is "
            f"given: they are learned as negatives on the newest day, "
            f"{found.missed(settle_days, train_days):.1%} over the whole window; {proposed} days "
            f"would leave {1.0 - found.at(proposed):.0%}, and the newest learned day would be "
            f"{proposed - settle_days} days older"
        )
    elif proposed < settle_days:
        value["note"] = (
            f"{proposed} days would do: {found.at(proposed):.0%} of the positives are known by "
            f"then, and the newest learned day would be {settle_days - proposed} days younger"
        )
    return value


def of_night(night: Night) -> dict[str, Any] | None:
    """The report of a night's partitions; None where labels are not an event table of their own."""
    files = night.pipeline.features
    tables = files.tables
    table = tables.label_table
    if table is None or table not in tables.events:
        return None
    settle = tables.label_settle_days
    try:
        delays, ages = read_delays(
            night.pipeline.data,
            tables,
            night.plan["partitions"],
            last=night.ds,
            column=label_column(
                files.query(),
                files.spec.label,
                declared_tables(files.tables, files.create_script(), str(files.create_tables))[
                    table
                ].columns,
            ),
        )
    except (DataError, ConfigurationError) as error:
        return {"check": "labels", "status": "warn", "failures": [],
                "warnings": [f"label maturity could not be measured: {error}"],
                "maturity": None}  # fmt: skip
    return report(
        delays,
        ages,
        settle_days=files.spec.label_settle_days if settle is None else settle,
        train_days=night.plan["train_days"],
    )


def label_column(sql: str, label: str, columns: Collection[str]) -> str | None:
    """The label table's column that the query gives as the label.

    Args:
        sql: the feature query.
        label: its output column that is the label.
        columns: the label table's columns.

    Returns:
        The column; None where the label is computed, so that a row is taken for a positive.

    Raises:
        ConfigurationError: the query cannot be read.
    """
    from openmldb_sql import syntax as s
    from openmldb_sql.errors import PlanError
    from openmldb_sql.parse import parse_select

    try:
        tree = parse_select(sql)
    except PlanError as error:
        raise ConfigurationError(f"the feature query cannot be read: {error.reason}") from error
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, s.SelectItem) and isinstance(node.expr, s.ColumnRef):
            name = str(node.expr.path[-1])
            if (node.alias or name) == label and name in columns:
                return name
        if isinstance(node, list | tuple):
            waiting += node
        elif dataclasses.is_dataclass(node):
            waiting += [getattr(node, f.name) for f in dataclasses.fields(node)]
    return label if label in columns else None


def read_delays(
    data: Path,
    tables: SourceTables,
    partitions: Mapping[str, Sequence[str]],
    *,
    last: str,
    column: str | None,
) -> tuple[Ints, Ints]:
    """(delay, age) in days of each positive whose request is there.

    Args:
        data: root of the source tables.
        tables: what each table is.
        partitions: days by table that may be read.
        last: the run's date; labels of later days are not looked at.
        column: the label table's column that is the label; None: each row is a positive.

    Raises:
        DataError: a partition cannot be read, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = tables.label_table
    assert table is not None
    arrival = tables.label_arrival or tables.events[table]
    end_us = tables.zone.end_ms(layout.parse_date(last)) * 1000
    wanted = [tables.request_id, arrival, *([column] if column else [])]
    first: dict[Any, int] = {}
    for batch in reading.batches(_files(data, table, partitions), columns=wanted):
        if column is not None:
            values = batch.column(column)
            truth = values if pa.types.is_boolean(values.type) else pc.greater(values, 0)
            batch = batch.filter(truth)
        times = _micros(batch.column(arrival))
        for key, at in zip(batch.column(tables.request_id).to_pylist(), times, strict=True):
            if key is not None and at is not None and at < end_us:
                first[key] = min(at, first.get(key, at))
    if not first:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    keys = pa.array(list(first))
    delays, ages = [], []
    names = [tables.request_id, tables.request_time]
    for batch in reading.batches(_files(data, tables.request_table, partitions), columns=names):
        batch = batch.filter(pc.is_in(batch.column(tables.request_id), value_set=keys))
        times = _micros(batch.column(tables.request_time))
        for key, at in zip(batch.column(tables.request_id).to_pylist(), times, strict=True):
            if at is not None:
                delays.append(max(0, first[key] - at))
                ages.append(end_us - at)
    day = layout.DAY_MS * 1000
    return (
        -(-np.asarray(delays, dtype=np.int64) // day),
        -(-np.asarray(ages, dtype=np.int64) // day),
    )


def _files(data: Path, table: str, partitions: Mapping[str, Sequence[str]]) -> list[Path]:
    days = [layout.parse_date(day) for day in partitions.get(table, ())]
    return [f for day in days for f in reading.parquet_files(layout.partition(data, table, day))]


def _micros(column: Any) -> list[int | None]:
    """Microseconds since the epoch of a column of times (or of milliseconds, as BIGINT)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(column.type):
        return [None if v is None else int(v) * 1000 for v in column.to_pylist()]
    if not pa.types.is_timestamp(column.type):
        raise DataError(f"a label's or request's time is of the type {column.type}, no timestamp")
    cast = pc.cast(column, pa.timestamp("us", column.type.tz), safe=False)
    found: list[int | None] = pc.cast(cast, pa.int64()).to_pylist()
    return found

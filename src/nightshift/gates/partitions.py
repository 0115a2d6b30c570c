"""Are tonight's partitions whole? Asked by the night's first task, before anything is computed."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from nightshift import layout
from nightshift.data import reading
from nightshift.data.declared import Declared, declared_tables
from nightshift.data.scan import SNAPSHOT, Facts, Scan, present_days, scan, unread
from nightshift.errors import ConfigurationError
from nightshift.features import lineage
from nightshift.features.tables import SourceTables
from nightshift.gates.base import Finding, report
from nightshift.zones import Zone

if TYPE_CHECKING:
    from nightshift.night import Night
    from nightshift.pipeline import Pipeline

LevelOrOff = Literal["fail", "warn", "off"]

DEFAULTS: Final[dict[str, LevelOrOff]] = {
    "unreadable": "fail",
    "extra_columns": "off",
    "other_day": "fail",
    "no_time": "fail",
    "repeated_ids": "fail",
    "no_id": "fail",
    "empty_newest": "fail",
    "empty_days": "warn",
    "no_labels": "fail",
    "no_key": "warn",
    "not_finite": "warn",
    "no_history": "warn",
    "unread": "warn",
    "null_labels": "warn",
    "odd_labels": "fail",
    "same_key": "warn",
    "future_day": "warn",
}
"""What each finding means where gates.yaml does not say (`data: partitions: {...}`)."""

_SHOWN = 5
_MANY_LABELS = 10


def check(
    data: Path,
    declared: Mapping[str, Declared],
    tables: SourceTables,
    *,
    ds: str,
    partitions: Mapping[str, Sequence[str]],
    lookback_days: Mapping[str, int],
    train_days: int,
    settle_days: int,
    levels: Mapping[str, LevelOrOff] | None = None,
    today: dt.date | None = None,
) -> dict[str, Any]:
    """Look at the partitions of a run and judge them.

    Args:
        data: root of the source tables.
        declared: the tables with their columns.
        tables: what each table is.
        ds: the run's date.
        partitions: days by table that the run reads, as its plan has them.
        lookback_days: by event table, how far windows reach back.
        train_days: days of the training window.
        settle_days: days that a label needs.
        levels: by finding, where it is not `DEFAULTS`'.
        today: the day that it is, in the zone of the partitions; None asks the clock.

    Returns:
        The report `partitions`: status, failures, warnings, and the counts by table and day.
    """
    found = scan(data, declared, partitions, until=layout.parse_date(ds))
    findings = judge(
        found,
        declared,
        tables,
        ds=ds,
        lookback_days=lookback_days,
        train_days=train_days,
        settle_days=settle_days,
        levels=levels,
        beside={
            table: [str(data / table / name) for name in unread(data, table)]
            for table in tables.events
        },
        future={
            table: _future(data, table, today or tables.zone.today()) for table in tables.events
        },
    )
    return report(
        "partitions",
        findings,
        tables={
            name: {day: facts.as_json() for day, facts in days.items()}
            for name, days in found.items()
        },
    )


def of_night(night: Night) -> dict[str, Any]:
    """`check` of a night's partitions, by the pipeline's own files."""
    return of_pipeline(
        night.pipeline,
        night.ds,
        night.plan["partitions"],
        train_days=night.plan["train_days"],
        levels=night.gate("data")["partitions"],
    )


def of_pipeline(
    pipeline: Pipeline,
    ds: str,
    partitions: Mapping[str, Sequence[str]],
    *,
    train_days: int,
    levels: Mapping[str, LevelOrOff],
) -> dict[str, Any]:
    """`check` by a pipeline's files; arguments and answer as of `check`."""
    files = pipeline.features
    settle_days = files.tables.label_settle_days
    return check(
        pipeline.data,
        _with_label(pipeline),
        files.tables,
        ds=ds,
        partitions=partitions,
        lookback_days=files.spec.lookback_days,
        train_days=train_days,
        settle_days=files.spec.label_settle_days if settle_days is None else settle_days,
        levels=levels,
    )


def _with_label(pipeline: Pipeline) -> dict[str, Declared]:
    """The tables, with the column that the query gives as the label as it stands."""
    files = pipeline.features
    declared = declared_tables(files.tables, files.create_script(), str(files.create_tables))
    columns = {name: list(table.columns) for name, table in declared.items()}
    with contextlib.suppress(ConfigurationError):  # a query that cannot be read is told elsewhere
        for one in lineage.outputs_of(files.query(), tables=files.tables, columns=columns):
            if one.name == files.spec.label and one.origin is not None:
                table, column = one.origin
                declared[table] = dataclasses.replace(declared[table], label=column)
    return declared


def _future(data: Path, table: str, today: dt.date) -> dict[str, int]:
    """Rows of partitions of days that have not come."""
    return {
        day: reading.rows(reading.parquet_files(data / table / f"ds={day}"))
        for day in present_days(data, table)
        if dt.date.fromisoformat(day) > today
    }


def judge(
    found: Scan,
    declared: Mapping[str, Declared],
    tables: SourceTables,
    *,
    ds: str,
    lookback_days: Mapping[str, int],
    train_days: int,
    settle_days: int,
    levels: Mapping[str, LevelOrOff] | None = None,
    beside: Mapping[str, Sequence[str]] = MappingProxyType({}),
    future: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
) -> list[Finding]:
    """What is wrong with scanned partitions; arguments as of `check`.

    `beside` has the paths of what lies beside the partitions of an event table, `future` the rows
    of its partitions of days that have not come.
    """
    level = {**DEFAULTS, **(levels or {})}
    findings: list[Finding] = []

    def add(check: str, message: str) -> None:
        how = level[check]
        if how != "off":
            findings.append(Finding(check, how, message))

    last = layout.parse_date(ds)
    window = [day.isoformat() for day in layout.days_back(last, train_days)]
    for name, days in found.items():
        table = declared[name]
        for check, message in _of_table(name, table, days):
            add(check, message)
        if table.time is None:
            snapshot = days[SNAPSHOT]
            if not snapshot.rows:
                add("empty_newest", f"{name}: the snapshot holds no row")
            if snapshot.same_key:
                keys = ", ".join(snapshot.keys)
                add(
                    "same_key",
                    f"{name}: {snapshot.same_key} of {snapshot.rows} rows repeat a {keys} that is "
                    "there already, so that a join takes any of them; keep one row of each",
                )
            continue
        for day, rows in future.get(name, {}).items():
            add(
                "future_day",
                f"{name}, {day}: the partition, of {rows} rows, is of a day that has not come; "
                "correct the folder's name, or the clock of what wrote it",
            )
        if beside.get(name):
            text = f"nothing reads {_listed(beside[name])}; a day's files lie in a folder"
            add("unread", f"{name}: {text} ds=YYYY-MM-DD")
        add_empty = _empty(name, days, window, is_request=name == tables.request_table)
        for check, message in add_empty:
            add(check, message)
        reach = lookback_days.get(name, 0)
        if reach:
            absent = [
                day.isoformat()
                for day in layout.days_back(last, train_days + reach)[:reach]
                if day.isoformat() not in days
            ]
            if absent:
                add(
                    "no_history",
                    f"{name}: {len(absent)} of the {reach} days before {window[0]} that windows "
                    f"look back on are not there ({_listed(absent)}): the oldest training rows see "
                    "less history than requests do; load them, or shorten train_days",
                )
    settled = [day for day in window if _is_settled(day, last, settle_days)]
    for name, column in ((name, table.label) for name, table in declared.items() if table.label):
        for day, facts in found.get(name, {}).items():
            place = name if day == SNAPSHOT else f"{name}, {day}"
            if facts.nulls[column] and (day == SNAPSHOT or day in settled):
                counted = tables.label_absent
                what = "are left out" if counted is None else f"count as {counted}"
                text = f"{facts.nulls[column]} of {facts.rows} rows have no {column}, the label"
                add("null_labels", f"{place}: {text}, though settled; their requests {what}")
            if facts.odd_labels:
                odd = _listed([f"{value}: {n}" for value, n in sorted(facts.odd_labels.items())])
                text = (
                    f"{facts.odd_labels.total()} of {facts.rows} rows have a {column}, the label,"
                )
                add("odd_labels", f"{place}: {text} other than 0 and 1 ({odd})")
    label = tables.label_table
    if label is not None and label in tables.events:
        requests = found.get(tables.request_table, {})

        def labels(day: str) -> int:
            facts = found[label].get(day)
            return facts.rows - facts.nulls[declared[label].label or ""] if facts else 0

        bare = [
            day for day in settled if day in requests and requests[day].rows and not labels(day)
        ]
        usual = statistics.median([labels(day) for day in settled] or [0])
        # Where a missing label means something, a table of few rows may well have a day of none.
        if bare and (tables.label_absent is None or usual >= _MANY_LABELS):
            add(
                "no_labels",
                f"{label}: no label on {len(bare)} settled day(s) that have requests "
                f"({_listed(bare)}); load the labels, or raise the days that a label needs",
            )
    return findings


def _of_table(name: str, table: Declared, days: Mapping[str, Facts]) -> Iterable[tuple[str, str]]:
    keys = {column for index in table.indexes for column in index.keys}
    for day, facts in days.items():
        place = name if day == SNAPSHOT else f"{name}, {day}"
        for text in facts.unreadable:
            yield "unreadable", text
        if facts.extra:
            yield "extra_columns", f"{place}: columns that {name} lacks: {', '.join(facts.extra)}"
        if facts.other_days:
            yield "other_day", _other_day(place, table, facts)
        if facts.no_time:
            text = f"{facts.no_time} of {facts.rows} rows have no {table.time}"
            yield "no_time", f"{place}: {text} ({facts.no_time_in}, column {table.time})"
        if facts.repeated:
            text = f"{facts.repeated} of {facts.rows} rows repeat a {table.request_id}"
            yield "repeated_ids", f"{place}: {text} that is there already"
        for column, count in facts.nulls.items():
            if column == table.request_id:
                yield "no_id", f"{place}: {count} of {facts.rows} rows have no {column}"
            elif column in keys and column != table.time:
                yield "no_key", f"{place}: {count} of {facts.rows} rows have no {column}, a key"
        for column, count in facts.not_finite.items():
            yield (
                "not_finite",
                f"{place}: {count} of {facts.rows} values of {column} are NaN or infinite",
            )


def _other_day(place: str, table: Declared, facts: Facts) -> str:
    total = sum(facts.other_days.values())
    days = _listed([f"{day}: {rows}" for day, rows in sorted(facts.other_days.items())])
    text = f"{place}: {total} of {facts.rows} rows are of another day by {table.time} ({days})"
    if not facts.other_days_utc and table.zone.name != "UTC":
        own = "UTC+8, OpenMLDB's zone" if table.zone == Zone() else table.zone.name
        text += (
            f"; by UTC all are of this day, but partitions are days of {own}: write time_zone: UTC "
            "in pipeline.yaml, or move the rows"
        )
    return text


def _empty(
    name: str, days: Mapping[str, Facts], window: Sequence[str], *, is_request: bool
) -> Iterable[tuple[str, str]]:
    inside = [day for day in window if day in days]
    if not inside:
        return
    empty = [day for day in inside if not days[day].rows]
    newest = inside[-1]
    # A table that has rows on few days (a weekly one) may well have none on the newest.
    usual = is_request or len(empty) <= max(1, len(inside) // 5)
    if newest in empty and usual:
        yield "empty_newest", f"{name}, {newest}: the newest partition holds no row"
    rest = [day for day in empty if day != newest]
    if is_request and rest:
        yield "empty_days", f"{name}: no row on {len(rest)} day(s) ({_listed(rest)})"


def _is_settled(day: str, last: dt.date, settle_days: int) -> bool:
    return (last - dt.date.fromisoformat(day)).days >= settle_days


def _listed(items: Sequence[str]) -> str:
    more = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {more} more" if more > 0 else "")

"""What is allowed and hardly meant: told as warnings."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from openmldb_sql import syntax

from nightshift import layout
from nightshift.config.pipeline import PipelineConfig
from nightshift.data import reading
from nightshift.data.scan import present_days

if TYPE_CHECKING:
    from nightshift.features.reach import Reach
    from nightshift.features.specification import FeatureSpec
    from nightshift.features.tables import SourceTables
    from nightshift.pipeline import Pipeline

_NEARLY_A_DAY = dt.timedelta(hours=20)
"""Two nights are not closer to each other, and a release is not promised so long after its night."""

_MOST_EMPTY = 14
"""Days that are gone back over in search of one with requests."""

_VARYING = (syntax.ColumnRef, syntax.Star, syntax.Parameter, syntax.Call)
"""What may differ from row to row; a function may count rows, or ask the time."""

_MONTH = re.compile(r"\b(\d+)M\s+(?i:(?:OPEN\s+)?PRECEDING)")


@dataclass(frozen=True)
class Doubt:
    """The key that it is about, why it is odd, and what may have been meant."""

    key: str
    why: str
    fix: str


def of_config(config: PipelineConfig) -> Iterator[Doubt]:
    """Of `pipeline.yaml`, whose `schedule` is right."""
    if config.keep_releases == 0:
        yield Doubt(
            "keep_releases", "no earlier release stays, so that nothing can be rolled back to",
            "keep 1 or more",
        )  # fmt: skip
    if config.schedule == "off":
        return
    from croniter import croniter

    runs = croniter(config.schedule, dt.datetime(2024, 1, 1))
    run, second = (runs.get_next(dt.datetime) for _ in range(2))
    if second - run < _NEARLY_A_DAY:
        yield Doubt(
            "schedule", f"begins a night at {run:%H:%M} and one at {second:%H:%M} of the same day, and "
            "each is for the partition of the day before", "name one time of the day",
        )  # fmt: skip
    if config.live_by is None:
        return
    hour, minute = map(int, config.live_by.split(":"))
    promised = run.replace(hour=hour, minute=minute)
    promised += dt.timedelta(days=1) if promised <= run else dt.timedelta(0)
    if promised - run > _NEARLY_A_DAY:
        yield Doubt(
            "live_by",
            f"the night begins at {run:%H:%M} and has until {config.live_by} of the next day, "
            f"{(promised - run).total_seconds() / 3600:.3g} hours later",
            f"name an hour soon after {run:%H:%M}, or an earlier schedule",
        )


def settled_twice(tables: SourceTables, spec: FeatureSpec) -> Iterator[Doubt]:
    """Of `feature_spec.yaml`: days that a label needs, said otherwise in `tables.yaml`."""
    mine, theirs = spec.label_settle_days, tables.label_settle_days
    if mine and theirs is not None and mine != theirs:
        yield Doubt(
            "label_settle_days", f"is {mine}, and label.settles of {tables.source} is {theirs}, "
            "which counts", "say it in one of the two files",
        )  # fmt: skip


def constants(tree: syntax.Query, spec: FeatureSpec, columns: Sequence[str]) -> Iterator[Doubt]:
    """Of the query: features that are one value in every row; `columns` are all tables'."""
    for node in syntax.nodes(tree):
        if not isinstance(node, syntax.Select):
            continue
        for item in node.items:
            if item.alias not in spec.names:
                continue
            if isinstance(item.expr, syntax.Literal):
                value = item.expr.value
                is_name = isinstance(value, str) and value in columns
                yield Doubt(
                    str(item.alias), f"is {value!r} in every row, so that nothing is learned by it",
                    f"quotes make text: write `{value}` for the column" if is_name
                    else "select a column, or take it out",
                )  # fmt: skip
            elif not any(isinstance(one, _VARYING) for one in syntax.nodes(item.expr)):
                yield Doubt(
                    str(item.alias),
                    f"{syntax.show(item.expr)} is the same in every row, so that nothing is learned "
                    "by it", "select a column, or take it out",
                )  # fmt: skip


def rows_doubled(tree: syntax.Query) -> Iterator[Doubt]:
    """Of the query: joins that give a row for each row that they find."""
    for node in syntax.nodes(tree):
        if isinstance(node, syntax.Join) and node.kind != "LAST":
            name = node.right.name if isinstance(node.right, syntax.NamedTable) else "a query"
            yield Doubt(
                f"{node.kind} JOIN {name}", "it gives a row for each row that it finds, and a request "
                "must have one", "write LAST JOIN, which takes one",
            )  # fmt: skip


def months(query: str) -> Iterator[Doubt]:
    """Of the query: `1M`, which is a minute."""
    for match in _MONTH.finditer(query):
        yield Doubt(
            f"line {query.count(chr(10), 0, match.start()) + 1}",
            f"{match[1]}M is {match[1]} minute(s), not month(s)",
            f"write {match[1]}m if minutes are meant, or days, such as 30d",
        )


def endless(reach: Reach) -> Iterator[Doubt]:
    """Of the query: windows over all rows that there are."""
    for window in reach.windows:
        if window.start is None and not window.cuts:
            yield Doubt(
                window.name, "it reaches back over all rows that there are: a night reads the days of "
                "the window and of lookback_days, a request whatever the online table still has",
                "begin the frame at a time, such as 30d PRECEDING, or give MAXSIZE",
            )  # fmt: skip


def shared_label(pipeline: Pipeline, reach: Reach) -> Iterator[Doubt]:
    """Of the query: a label that is found by what requests of the newest day share.

    Raises:
        DataError: a partition cannot be read.
    """
    tables = pipeline.features.tables
    for join in reach.joins:
        read = reach.read(join.read)
        keys = [column.name for _, column in read.keys if _is_request(reach, column.read, tables)]
        if read.table != tables.label_table or not keys or len(keys) < len(read.keys):
            continue
        if tables.request_id in keys or not join.whole:
            continue
        day, files = _newest_rows(pipeline)
        if not files:
            continue
        found = reading.table(files, columns=keys).drop_null()
        distinct = found.group_by(keys).aggregate([]).num_rows
        if found.num_rows > distinct:
            yield Doubt(
                f"LAST JOIN {read.table}",
                f"the label is found by {', '.join(keys)}, of which the {found.num_rows} requests of "
                f"{day} have {distinct} value(s): requests that share one share its label",
                f"join by {tables.request_id}, which names a request",
            )


def missing_lists(pipeline: Pipeline) -> Iterator[Doubt]:
    """Of `pipeline.yaml`: files of users and items that `score` names and that are not there."""
    part = pipeline.config.score
    for key in ("users", "items") if part is not None else ():
        path = pipeline.list_file(getattr(part, key))
        if path != "all" and not Path(path).is_file():
            yield Doubt(
                f"score.{key}",
                f"{path} is not there, so that the list cannot be written",
                "write it before the list is due, or give all",
            )


def _is_request(reach: Reach, number: int, tables: SourceTables) -> bool:
    """Whether a read gives the request's own row."""
    return number == 0 or (
        reach.read(number).table == tables.request_table
        and any(name == tables.request_id for name, _ in reach.read(number).keys)
    )


def _newest_rows(pipeline: Pipeline) -> tuple[dt.date | None, list[Path]]:
    """The newest day of requests that holds any, and its files; no day where none does."""
    table = pipeline.features.tables.request_table
    days = sorted(map(dt.date.fromisoformat, present_days(pipeline.data, table)), reverse=True)
    for day in days[:_MOST_EMPTY]:
        files = reading.parquet_files(layout.partition(pipeline.data, table, day))
        if day <= pipeline.zone.today() and reading.rows(files):
            return day, files
    return None, []


def newest(pipeline: Pipeline) -> dt.date | None:
    """The newest partition of requests whose day has come; None where there is none."""
    days = present_days(pipeline.data, pipeline.features.tables.request_table)
    today = pipeline.zone.today()
    return max((day for d in days if (day := dt.date.fromisoformat(d)) <= today), default=None)


def requests_by_day(pipeline: Pipeline) -> dict[dt.date, int]:
    """Requests of each day of the window of the newest date; empty where there is none.

    Raises:
        DataError: a partition cannot be read.
    """
    last = newest(pipeline)
    if last is None:
        return {}
    table = pipeline.features.tables.request_table
    return {
        day: reading.rows(reading.parquet_files(layout.partition(pipeline.data, table, day)))
        for day in layout.days_back(last, pipeline.config.train_days)
    }


def too_few_rows(requests: Mapping[dt.date, int], least: int) -> Iterator[Doubt]:
    """Of `gates.yaml`: fewer requests in the newest window than `data.rows.min` wants."""
    rows = sum(requests.values())
    if requests and rows < least:
        yield Doubt(
            "data.rows.min", f"is {least}, and the newest {len(requests)} days have {rows} requests, "
            "so that the data gate would not pass", "lower it, or learn from more days",
        )  # fmt: skip


def missing_days(pipeline: Pipeline) -> Iterator[Doubt]:
    """Of `pipeline.yaml`: days of the window of the newest date that have no partition."""
    data, window = pipeline.data, pipeline.config.train_days
    tables = pipeline.features.tables
    last = newest(pipeline)
    if last is None:
        return
    wanted = layout.days_back(last, window)
    for table in tables.events:
        there = layout.present(data, table, wanted)
        absent = [str(day) for day in wanted if day not in there]
        if there and absent:
            listed = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
            yield Doubt(
                "train_days",
                f"of the {window} days up to {last}, {table} has no partition of {len(absent)} "
                f"({listed}), so that a night of that date would end at once",
                "load them, learn from fewer days, or run with allow_missing",
            )

"""The rows that logged requests could see, and when each of them reached the online store."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nightshift import layout
from nightshift.data import reading
from nightshift.data.declared import Declared, declared_tables
from nightshift.features import lineage
from nightshift.features.reach import Reach
from nightshift.live.events import arrivals
from nightshift.live.folders import live_folder
from nightshift.live.skew.history import Loaded
from nightshift.openmldb.rows import digest, partition_rows
from nightshift.pipeline import Pipeline

NEVER = 1 << 62
"""The arrival of a row that never reached the online store."""


@dataclass
class Rows:
    """Rows of one event table.

    Attributes:
        rows: in the table's order, as OpenMLDB keeps them, ordered by time.
        times: of each, milliseconds.
        arrived: of each, milliseconds at which the store had it; `NEVER` if it did not yet.
        streamed: whether any row of the table came as an event.
        horizon: milliseconds at which the oldest day begins that a night loaded; `NEVER` where
            none did.
    """

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    streamed: bool = False
    horizon: int = NEVER


@dataclass(frozen=True)
class World:
    """What the ledger needs of a pipeline and a range of days.

    Attributes:
        events: rows by event table, without the table of labels.
        gone: by table, how many streamed rows the partitions do not have.
        snapshots: by snapshot table, the files as they are now.
        loaded: the record of the nights.
        keys: by table, (columns of the row, columns of the request) by which the query reaches it.
    """

    pipeline: Pipeline
    declared: Mapping[str, Declared]
    reach: Reach
    events: Mapping[str, Rows]
    gone: Mapping[str, int]
    snapshots: Mapping[str, list[Path]]
    loaded: Loaded
    keys: Mapping[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]

    @classmethod
    def of(cls, pipeline: Pipeline, first: dt.date, last: dt.date) -> World:
        """Read the partitions that requests of the days from `first` to `last` can see.

        Raises:
            DataError: a partition cannot be read.
            ConfigurationError: what the query reaches cannot be told.
        """
        files = pipeline.features
        tables, script = files.tables, files.create_script()
        declared = declared_tables(tables, script, str(files.create_tables))
        reach = lineage.reach_of(
            files.query(),
            tables=tables,
            columns=lineage.columns_of(script, tables, str(files.create_tables)),
            source=str(files.sql),
        )
        if tables.label_table is not None:
            reach = reach.without(tables.label_table)
        loaded = Loaded.read(pipeline.runs)
        live = live_folder(pipeline.settings, pipeline.name)
        events, gone = {}, {}
        read = reach.tables() | {tables.request_table}
        for name in tables.events:
            if name not in read:
                continue
            # What training reads, and what the store held: a frame of rows may reach any of it.
            held = {day for table, day in loaded.first if table == name and day <= last}
            wanted = sorted({*training_days(pipeline, name, first, last), *held})
            span = pipeline.zone.start_ms(wanted[0]), pipeline.zone.end_ms(wanted[-1])
            came = {mark: deque(moments) for mark, moments in arrivals(live, name, *span).items()}
            events[name] = _rows(pipeline, declared[name], wanted, came, loaded)
            gone[name] = sum(map(len, came.values()))
        return cls(
            pipeline,
            declared,
            reach,
            events,
            gone,
            {name: snapshot_files(pipeline, name, last) for name in tables.snapshots},
            loaded,
            _keys(reach),
        )

    def reached(self, requests: Sequence[Mapping[str, Any]]) -> World:
        """The same without the rows that no request has the keys of."""
        kept: dict[str, Rows] = {}
        for table, rows in self.events.items():
            pairs = self.keys.get(table)
            known = [read for read in self.reach.reads if read.table == table]
            if pairs is None or len(pairs) < len({read.keys for read in known}):
                kept[table] = rows  # by a key that is another table's: all of them may count
                continue
            columns = list(self.declared[table].columns)
            tests = [
                (
                    [columns.index(name) for name in mine],
                    {tuple(one.get(name) for name in theirs) for one in requests},
                )
                for mine, theirs in pairs
            ]
            chosen = [
                n
                for n, row in enumerate(rows.rows)
                if any(tuple(row[at] for at in places) in wanted for places, wanted in tests)
            ]
            kept[table] = Rows(
                [rows.rows[n] for n in chosen], [rows.times[n] for n in chosen],
                [rows.arrived[n] for n in chosen], rows.streamed, rows.horizon,
            )  # fmt: skip
        return replace(self, events=kept)

    def same_instant(self, requests: Sequence[Mapping[str, Any]], time: str) -> dict[str, set[int]]:
        """By table, the requests that rows of their own key and time stand beside."""
        own = self.pipeline.features.tables
        found: dict[str, set[int]] = {}
        for table, rows in self.events.items():
            columns = list(self.declared[table].columns)
            for mine, theirs in self.keys.get(table, ()):
                at: dict[tuple[Any, ...], list[int]] = {}
                for n, one in enumerate(requests):
                    key = (*(one.get(name) for name in theirs), one.get(time))
                    at.setdefault(key, []).append(n)
                places = [columns.index(name) for name in mine]
                for row, moment in zip(rows.rows, rows.times, strict=True):
                    hit = at.get((*(row[place] for place in places), moment))
                    if not hit:
                        continue
                    others = hit
                    if table == own.request_table:
                        name = row[columns.index(own.request_id)]
                        others = [n for n in hit if requests[n].get(own.request_id) != name]
                    found.setdefault(table, set()).update(others)
        return {table: numbers for table, numbers in found.items() if numbers}


def training_days(pipeline: Pipeline, table: str, first: dt.date, last: dt.date) -> list[dt.date]:
    """Days of an event table that a night of the last day reads."""
    window = max((last - first).days + 1, pipeline.config.train_days)
    lookback = pipeline.features.spec.lookback_days.get(table, 0)
    return layout.days_back(last, window + lookback)


def _rows(
    pipeline: Pipeline,
    table: Declared,
    days: Sequence[dt.date],
    came: dict[bytes, deque[int]],
    loaded: Loaded,
) -> Rows:
    at = list(table.columns).index(str(table.time))
    found: list[tuple[int, int, tuple[Any, ...]]] = []
    streamed = bool(came)
    for day in days:
        paths = reading.parquet_files(layout.partition(pipeline.data, table.name, day))
        by_night = loaded.first.get((table.name, day), NEVER)
        for row in partition_rows(paths, table.columns):
            if row[at] is None:
                continue
            arrived = by_night
            if came:
                moments = came.get(digest(row))
                if moments:
                    arrived = min(arrived, moments.popleft())
            found.append((row[at], arrived, row))
    found.sort(key=lambda one: one[0])
    return Rows(
        [row for _, _, row in found], [time for time, _, _ in found],
        [arrived for _, arrived, _ in found], streamed,
        min((pipeline.zone.start_ms(d) for t, d in loaded.first if t == table.name), default=NEVER),
    )  # fmt: skip


def snapshot_files(pipeline: Pipeline, table: str, last: dt.date) -> list[Path]:
    """The files of a snapshot as a night of a date reads them."""
    return reading.parquet_files(layout.snapshot_folder(pipeline.data, table, last))


def _keys(reach: Reach) -> dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    found: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for read in reach.reads:
        if read.keys and all(column.read == 0 for _, column in read.keys):
            pair = tuple(name for name, _ in read.keys), tuple(c.name for _, c in read.keys)
            if pair not in found.setdefault(read.table, []):
                found[read.table].append(pair)
    return found

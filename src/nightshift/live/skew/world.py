"""The rows that logged requests could see, and when each of them reached the online store."""

from __future__ import annotations

import datetime as dt
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightshift import layout
from nightshift.data import reading
from nightshift.data.declared import Declared, declared_tables
from nightshift.features import lineage
from nightshift.features.reach import Reach
from nightshift.live.events import arrivals, arrivals_of, came
from nightshift.live.folders import live_folder
from nightshift.live.skew.history import Loaded
from nightshift.openmldb.rows import batch_rows, digest, partition_rows
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
        origin: of each, its place in the rows that `reached` gave.
    """

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    streamed: bool = False
    horizon: int = NEVER
    origin: list[int] = field(default_factory=list)


Pair = tuple[tuple[str, ...], tuple[str, ...]]
"""Columns of a row, and the columns of the request that they equal."""


@dataclass(frozen=True)
class World:
    """What the ledger needs of a pipeline and a range of days.

    Attributes:
        days: by event table, without the table of labels, the partitions that count.
        streamed: tables of which rows came as events.
        events: rows by event table; none before `reached`.
        snapshots: by snapshot table, the files as they are now.
        loaded: the record of the nights.
        keys: by table, by which columns the query reaches it.
        trained_from: by table that a frame of rows reaches, the milliseconds at which the first day
            begins that training reads.
        partial: tables that it reaches by another table's values, too, so that any row may count.
    """

    pipeline: Pipeline
    declared: Mapping[str, Declared]
    reach: Reach
    days: Mapping[str, list[dt.date]]
    streamed: frozenset[str]
    events: Mapping[str, Rows]
    snapshots: Mapping[str, list[Path]]
    loaded: Loaded
    keys: Mapping[str, list[Pair]]
    partial: frozenset[str] = frozenset()
    trained_from: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, pipeline: Pipeline, sql: str, first: dt.date, last: dt.date) -> World:
        """What requests of the days from `first` to `last` can see by a query.

        Raises:
            ConfigurationError: what the query reaches cannot be told.
        """
        files = pipeline.features
        tables, script = files.tables, files.create_script()
        declared = declared_tables(tables, script, str(files.create_tables))
        reach = lineage.reach_of(
            sql,
            tables=tables,
            columns=lineage.columns_of(script, tables, str(files.create_tables)),
            source=str(files.sql),
        )
        if tables.label_table is not None:
            reach = reach.without(tables.label_table)
        loaded = Loaded.read(pipeline.runs)
        live = live_folder(pipeline.settings, pipeline.name)
        days: dict[str, list[dt.date]] = {}
        streamed: set[str] = set()
        read = reach.tables() | {tables.request_table}
        for name in tables.events:
            if name not in read:
                continue
            # What training reads, and what the store held: a frame of rows may reach any of it.
            held = {day for table, day in loaded.first if table == name and day <= last}
            days[name] = sorted({*training_days(pipeline, name, first, last), *held})
            if came(live, name, *_span(pipeline, days[name])):
                streamed.add(name)
        return cls(
            pipeline,
            declared,
            reach,
            days,
            frozenset(streamed),
            {name: Rows(streamed=name in streamed) for name in days},
            {name: snapshot_files(pipeline, name, last) for name in tables.snapshots},
            loaded,
            *_keys(reach, declared),
            {
                name: pipeline.zone.start_ms(training_days(pipeline, name, first, last)[0])
                for window in reach.windows
                if window.start is None
                for name in {reach.read(source.read).table for source in window.sources}
                if name in days
            },
        )

    def pairs(self, table: str) -> list[Pair]:
        """The keys by which alone a table is reached; none where any row may count."""
        return [] if table in self.partial else self.keys.get(table, [])

    def reached(self, requests: Sequence[Mapping[str, Any]], asked_ms: int | None = None) -> World:
        """The same with the rows that requests have the keys of.

        Args:
            requests: by column.
            asked_ms: when the first of them was asked: days that were loaded later were not
                loaded then.

        Raises:
            DataError: a partition cannot be read.
        """
        events = {
            name: _rows(
                self,
                name,
                [_Test.of(self, name, pair, requests) for pair in self.pairs(name)],
                NEVER if asked_ms is None else asked_ms,
            )
            for name in self.days
        }
        return replace(self, events=events)

    def narrowed(self, requests: Sequence[Mapping[str, Any]]) -> World:
        """The same with those of the rows at hand that some of the requests have the keys of."""
        kept: dict[str, Rows] = {}
        for table, rows in self.events.items():
            tests = [_Test.of(self, table, pair, requests) for pair in self.pairs(table)]
            chosen = [n for n, row in enumerate(rows.rows) if _passes(row, tests)]
            kept[table] = Rows(
                [rows.rows[n] for n in chosen], [rows.times[n] for n in chosen],
                [rows.arrived[n] for n in chosen], rows.streamed, rows.horizon, chosen,
            )  # fmt: skip
        return replace(self, events=kept)

    def gone(self, table: str) -> bool:
        """Whether streamed rows of a table are in no partition."""
        if table not in self.streamed:
            return False
        left = Counter[bytes]()
        span = _span(self.pipeline, self.days[table])
        live = live_folder(self.pipeline.settings, self.pipeline.name)
        for mark, moments in arrivals(live, table, *span).items():
            left[mark] = len(moments)
        declared = self.declared[table]
        for day in self.days[table]:
            paths = reading.parquet_files(layout.partition(self.pipeline.data, table, day))
            for row in partition_rows(paths, declared.columns):
                left[digest(row)] -= 1
        return any(count > 0 for count in left.values())

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


@dataclass(frozen=True)
class _Test:
    """Whether a row is reached by one pair of keys.

    Attributes:
        places: of its columns in the row.
        columns: their names.
        wanted: the values that requests have.
    """

    places: tuple[int, ...]
    columns: tuple[str, ...]
    wanted: frozenset[tuple[Any, ...]]

    @classmethod
    def of(
        cls, world: World, table: str, pair: Pair, requests: Sequence[Mapping[str, Any]]
    ) -> _Test:
        """The test of some requests."""
        mine, theirs = pair
        columns = list(world.declared[table].columns)
        return cls(
            tuple(columns.index(name) for name in mine),
            mine,
            frozenset(tuple(one.get(name) for name in theirs) for one in requests),
        )

    def mask(self, batch: pa.RecordBatch) -> pa.Array | None:
        """Rows that may pass, bool; None where it cannot be told from their columns."""
        kind = batch.schema.field(self.columns[0]).type
        if not (pa.types.is_string(kind) or pa.types.is_integer(kind)):
            return None
        values = {one[0] for one in self.wanted}
        try:
            return pc.is_in(batch.column(self.columns[0]), value_set=pa.array(values, kind))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            return None


def _passes(row: tuple[Any, ...], tests: Sequence[_Test]) -> bool:
    """Whether a row is reached; without a test every row may be."""
    return not tests or any(
        tuple(row[place] for place in test.places) in test.wanted for test in tests
    )


def _reached_rows(
    paths: Sequence[Path], table: Declared, tests: Sequence[_Test]
) -> Iterator[tuple[Any, ...]]:
    for batch in reading.batches(paths, columns=list(table.columns)):
        masks = [test.mask(batch) for test in tests]
        if masks and all(mask is not None for mask in masks):
            mask = masks[0]
            for other in masks[1:]:
                mask = pc.or_(mask, other)
            batch = batch.filter(mask)
        for row in batch_rows(batch, table.columns):
            if _passes(row, tests):
                yield row


def _rows(world: World, name: str, tests: Sequence[_Test], asked_ms: int) -> Rows:
    pipeline, table, loaded = world.pipeline, world.declared[name], world.loaded
    at = list(table.columns).index(str(table.time))
    found: list[tuple[int, int, tuple[Any, ...]]] = []
    for day in world.days[name]:
        paths = reading.parquet_files(layout.partition(pipeline.data, name, day))
        by_night = loaded.first.get((name, day), NEVER)
        found += [
            (row[at], by_night, row)
            for row in _reached_rows(paths, table, tests)
            if row[at] is not None
        ]
    if name in world.streamed:
        live = live_folder(pipeline.settings, pipeline.name)
        marks = [digest(row) for _, _, row in found]
        came = {mark: deque(times) for mark, times in arrivals_of(live, name, set(marks)).items()}
        for n, mark in enumerate(marks):
            moments = came.get(mark)
            if moments:
                time, arrived, row = found[n]
                found[n] = time, min(arrived, moments.popleft()), row
    found.sort(key=lambda one: one[0])
    return Rows(
        [row for _, _, row in found], [time for time, _, _ in found],
        [arrived for _, arrived, _ in found], name in world.streamed,
        min(
            (
                pipeline.zone.start_ms(day)
                for (table_name, day), at_ms in loaded.first.items()
                if table_name == name and at_ms <= asked_ms
            ),
            default=NEVER,
        ),
        list(range(len(found))),
    )  # fmt: skip


def _span(pipeline: Pipeline, days: Sequence[dt.date]) -> tuple[int, int]:
    return pipeline.zone.start_ms(days[0]), pipeline.zone.end_ms(days[-1])


def snapshot_files(pipeline: Pipeline, table: str, last: dt.date) -> list[Path]:
    """The files of a snapshot as a night of a date reads them."""
    return reading.parquet_files(layout.snapshot_folder(pipeline.data, table, last))


def _keys(
    reach: Reach, declared: Mapping[str, Declared]
) -> tuple[dict[str, list[Pair]], frozenset[str]]:
    found: dict[str, list[Pair]] = {}
    partial: set[str] = set()
    for read in reach.reads:
        kinds = {declared[read.table].columns[name] for name, _ in read.keys}
        # Of days and fractions a row and a request write the same value otherwise.
        if kinds & {"date", "float", "double"}:
            partial.add(read.table)
        if not read.keys or any(column.read != 0 for _, column in read.keys):
            partial.add(read.table)
            continue
        pair = tuple(name for name, _ in read.keys), tuple(c.name for _, c in read.keys)
        if pair not in found.setdefault(read.table, []):
            found[read.table].append(pair)
    return found, frozenset(partial)

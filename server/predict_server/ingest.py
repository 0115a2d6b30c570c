"""`POST .../events/<table>`: streamed events, checked row by row and inserted exactly once.

Each pipeline has one thread for it, so that predictions never wait for an insert. With the option
`live.insert_requests` the rows of each scored request go the same way after their answer; those of
days that a night has loaded do not, since for such a day the partition says which rows there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nightshift.config.yamlfile import nearest
from nightshift.data.declared import Declared, declared_tables
from nightshift.errors import NightshiftError
from nightshift.live.events import Events, Inserted, ReusedIds
from nightshift.live.folders import live_folder
from nightshift.live.skew.history import Loaded
from nightshift.openmldb import OpenMLDBClient
from nightshift.openmldb.loads import HISTORY
from nightshift.pipeline import CONFIG, Pipeline
from nightshift.registry.pointer import read_live
from nightshift.release.online import of_live
from nightshift.settings import Settings
from nightshift.zones import EPOCH
from predict_server.errors import BackendError, InvalidRows, Problem, RequestError
from predict_server.families.base import Answer, Call, encode_json
from predict_server.metrics import PipelineMetrics
from predict_server.payload import parse_json, printable
from predict_server.rows import RowReader

LOG = logging.getLogger("predict_server")

ARROW = "application/vnd.apache.arrow.stream"
ID_COLUMN = "event_id"
"""The column of an Arrow batch that names each event."""

MAX_EVENTS = 10_000
"""Events of one batch."""

MAX_BATCHES = 64
"""Batches of one pipeline that may wait in a worker."""

MAX_ID = 200
"""Characters of an event's id."""

REQUEST_ROWS = 20_000
"""Scored requests that may wait to be inserted; more are dropped and counted."""

TOGETHER_S = 0.05
"""How long scored requests are collected: what an insert costs, it costs once for all of them."""


class Ingest:
    """The events of one pipeline.

    Args:
        settings: addresses and limits.
        name: the pipeline.
        metrics: the pipeline's.
    """

    def __init__(self, settings: Settings, name: str, metrics: PipelineMetrics) -> None:
        self._settings = settings
        self._name = name
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"events of {name}")
        self._waiting = 0
        self._read: tuple[tuple[int, ...], Events, dict[str, Declared], str] | None = None
        self._others: list[dict[str, Declared]] = []
        self._files: list[Path] = []
        self._requests: deque[tuple[Sequence[Any], Sequence[Sequence[Any]]]] = deque()
        # One is written by the event loop alone, the other by the thread.
        self._put_rows = self._taken_rows = 0
        self._due: asyncio.TimerHandle | None = None
        self._loaded_pipeline: Pipeline | None = None
        self._nights: tuple[tuple[int, ...], frozenset[int]] | None = None

    async def answer(self, table: str, call: Call) -> Answer:
        """Insert a batch.

        Raises:
            RequestError: a table, row or id does not fit; nothing was inserted.
            BackendError: the store does not answer; the same batch may be sent again.
        """
        if self._waiting >= MAX_BATCHES:
            raise RequestError(
                429, "overloaded", f"{self._waiting} batches wait already; try again in a second"
            )
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(self._threads, self._insert, table, call)
        except ReusedIds as error:
            raise InvalidRows(
                [Problem(row, "id", "was used for another row before") for row in error.rows[:20]]
            ) from error
        except NightshiftError as error:
            raise BackendError.of(error) from error
        finally:
            self._waiting -= 1
        self._metrics.events(table, "inserted").inc(made.inserted)
        self._metrics.events(table, "duplicate").inc(made.duplicates)
        return Answer(encode_json({"inserted": made.inserted, "duplicates": made.duplicates}))

    def request_rows(self, ids: Sequence[Any], rows: Sequence[Sequence[Any]]) -> None:
        """Insert scored requests soon, each once by its id; a full queue drops and counts."""
        room = max(REQUEST_ROWS - (self._put_rows - self._taken_rows), 0)
        if room < len(rows):
            self._metrics.events("", "dropped").inc(len(rows) - room)
            ids, rows = ids[:room], rows[:room]
        self._put_rows += len(rows)
        self._requests.append((ids, rows))
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(TOGETHER_S, self._flush_soon)

    def _flush_soon(self) -> None:
        self._due = None
        with contextlib.suppress(RuntimeError):  # the server stops
            self._threads.submit(self._flush)

    def close(self) -> None:
        """Finish what is under way."""
        if self._due is not None:
            self._due.cancel()
            self._flush_soon()
        self._threads.shutdown(wait=False)

    # In the thread.

    def _flush(self) -> None:
        ids: list[str] = []
        rows: list[Sequence[Any]] = []
        while self._requests:
            some_ids, some_rows = self._requests.popleft()
            self._taken_rows += len(some_rows)
            ids += map(str, some_ids)
            rows += some_rows
            if len(rows) >= 500 or not self._requests:
                self._insert_requests(ids, rows)
                ids, rows = [], []

    def _insert_requests(self, ids: list[str], rows: list[Sequence[Any]]) -> None:
        try:
            events, declared, table = self._pipeline()
            fresh = self._open(declared[table], rows)
            ids, rows = [ids[n] for n in fresh], [rows[n] for n in fresh]
            if not ids:
                return
            try:
                made = events.insert(declared[table], ids, rows)
            except ReusedIds as error:
                # A request that was sent again with other values: its first row stays.
                left = [n for n in range(len(ids)) if n not in error.rows]
                self._metrics.events(table, "changed").inc(len(error.rows))
                made = events.insert(
                    declared[table], [ids[n] for n in left], [rows[n] for n in left]
                )
            self._metrics.events(table, "inserted").inc(made.inserted)
            self._metrics.events(table, "duplicate").inc(made.duplicates)
        except (NightshiftError, OSError) as error:
            self._metrics.events("", "dropped").inc(len(ids))
            LOG.warning("%s: %d scored requests were not inserted: %s", self._name, len(ids), error)

    def _open(self, table: Declared, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Places of the rows whose day no night has loaded yet."""
        import numpy as np

        pipeline = self._loaded_pipeline
        if pipeline is None:
            return list(range(len(rows)))
        stamp = _stamp([pipeline.runs / HISTORY])
        if self._nights is None or self._nights[0] != stamp:
            held = Loaded.read(pipeline.runs).first
            days = {(day - EPOCH).days for name, day in held if name == table.name}
            self._nights = stamp, frozenset(days)
        at = list(table.columns).index(str(table.time))
        moments = np.array([row[at] if row[at] is not None else -1 for row in rows], np.int64)
        days_of = pipeline.zone.days_of(moments).tolist()
        return [n for n, day in enumerate(days_of) if day not in self._nights[1]]

    def _insert(self, table: str, call: Call) -> Inserted:
        events, declared, _ = self._pipeline()
        known = {name: one for name, one in declared.items() if one.time is not None}
        if table not in known:
            raise RequestError(
                404,
                "no_table",
                f"no event table {printable(table, 60)!r}; there are: {', '.join(known)}"
                + nearest(table, known),
            )
        others = [one[table] for one in self._others if table in one]
        ids, rows = _read(call, known[table], others)
        try:
            return events.insert(known[table], ids, rows)
        except OSError as error:
            raise BackendError(
                503, "unavailable", f"the events' folder cannot be written: {error.strerror}"
            ) from error

    def _pipeline(self) -> tuple[Events, dict[str, Declared], str]:
        """The tables of what serves, read again where a file or the live release changed."""
        if self._read is None or _stamp(self._files) != self._read[0]:
            pipeline = Pipeline.load(self._settings, self._name)
            if not pipeline.has_features:
                raise RequestError(
                    404, "no_operation", f"{self._name} has no tables to stream into"
                )
            files = pipeline.features
            self._files = [
                pipeline.folder / CONFIG, files.create_tables, files.tables_file,
                pipeline.store.live_path,
            ]  # fmt: skip
            stamp = _stamp(self._files)
            served = of_live(pipeline)
            declared = _declared(served)
            self._others = [] if served is pipeline else _other_tables(pipeline, declared)
            files = served.features
            events = Events(
                OpenMLDBClient.of(self._settings, timeout_s=self._settings.predict_timeout_s),
                served.database,
                live_folder(self._settings, self._name),
                remember_days=pipeline.config.live.event_id_days,
            )
            self._read = stamp, events, declared, files.tables.request_table
            self._loaded_pipeline, self._nights = pipeline, None
        return self._read[1:]


def _declared(pipeline: Pipeline) -> dict[str, Declared]:
    files = pipeline.features
    return declared_tables(files.tables, files.create_script(), str(files.create_tables))


def _other_tables(pipeline: Pipeline, served: Mapping[str, Declared]) -> list[dict[str, Declared]]:
    """Tables that clients may still, or already, write events for: the next ones, the last ones."""
    found = []
    live = read_live(pipeline.releases)
    for other in (None, live.previous if live is not None else None):
        with contextlib.suppress(NightshiftError):
            one = _declared(pipeline if other is None else pipeline.of_release(other))
            if {n: t.columns for n, t in one.items()} != {n: t.columns for n, t in served.items()}:
                found.append(one)
    return found


def _stamp(paths: Sequence[Path]) -> tuple[int, ...]:
    """What tells changed files from unchanged ones; 0 for one that is gone."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            found.append(path.stat().st_mtime_ns)
    return tuple(found)


def _read(
    call: Call, table: Declared, others: Sequence[Declared] = ()
) -> tuple[list[str], list[list[Any]]]:
    """Ids and checked rows of a batch.

    Args:
        call: the batch.
        table: the table as it is served.
        others: the table as it was and as it will be; a row that has just its columns is taken,
            without those that the served table lacks, NULL in those that it does not have.

    Raises:
        RequestError: it holds none, too many, or some that do not fit.
    """
    ids, given = _arrow(call.body) if call.content_type == ARROW else _json(call)
    if others:
        given = [_as_served(row, table, others) for row in given]
    problems = _id_problems(ids)
    moments = [name for name in (table.time, *(i.ts for i in table.indexes)) if name is not None]
    reader = RowReader(tuple(table.columns.items()), moments)
    rows = reader.check(given, max_rows=MAX_EVENTS)
    names = list(table.columns)
    for number, row in enumerate(rows):
        problems += [
            Problem(number, name, "may not be null")
            for name, value in zip(names, row, strict=True)
            if value is None and (name in table.required or name == table.time)
        ]
    if problems:
        raise InvalidRows(problems[:20])
    return ids, rows


def _as_served(row: Any, table: Declared, others: Sequence[Declared]) -> Any:
    """A row of another version of the table as one of the table; any other row as it is."""
    if not isinstance(row, Mapping) or set(row) == set(table.columns):
        return row
    if any(set(row) == set(other.columns) for other in others):
        return {name: row.get(name) for name in table.columns}
    return row


def _json(call: Call) -> tuple[list[Any], list[Any]]:
    payload = parse_json(call.body)
    example = 'give {"events": [{"id": "...", "row": {...}}]}'
    if not isinstance(payload, Mapping) or set(payload) != {"events"}:
        raise RequestError(422, "invalid_request", f"{example}; see /docs")
    events = payload["events"]
    if not isinstance(events, list) or not events:
        raise RequestError(422, "invalid_request", f"the batch holds no event; {example}")
    if len(events) > MAX_EVENTS:
        raise RequestError(
            413,
            "too_many_rows",
            f"the batch holds {len(events)} events and at most {MAX_EVENTS} are taken at once; "
            "split it",
        )
    for number, event in enumerate(events):
        if not isinstance(event, Mapping) or set(event) != {"id", "row"}:
            raise InvalidRows([Problem(number, "", 'an event is {"id": "...", "row": {...}}')])
    return [event["id"] for event in events], [event["row"] for event in events]


def _arrow(body: bytes) -> tuple[list[Any], list[Any]]:
    from predict_server.arrow import read_stream, values_of

    table = read_stream(body, MAX_EVENTS)
    if ID_COLUMN not in table.column_names:
        raise RequestError(
            422, "invalid_request", f"the batch has no column {ID_COLUMN}, the id of each event"
        )
    if not table.num_rows:
        raise RequestError(422, "invalid_request", "the batch holds no event")
    rows = [dict(zip(table.column_names, row, strict=True)) for row in values_of(table)]
    return [row.pop(ID_COLUMN) for row in rows], rows


def _id_problems(ids: Sequence[Any]) -> list[Problem]:
    return [
        Problem(number, "id", f"an event's id is text of 1 to {MAX_ID} characters")
        for number, one in enumerate(ids)
        if not isinstance(one, str) or not 0 < len(one) <= MAX_ID or not _is_text(one)
    ]


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text

"""Replays of logged requests: which rows the store holds at each of them is the caller's choice."""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nightshift import files, layout
from nightshift.data import reading
from nightshift.data.declared import Declared
from nightshift.errors import DataError
from nightshift.features.ttl import everlasting
from nightshift.live.events import INSERT_ROWS, insert_sql
from nightshift.live.skew.world import World, training_days
from nightshift.openmldb import (
    SYSTEM_DATABASE,
    AbstractClient,
    load_data,
    quote_literal,
    quote_name,
    split_script,
)
from nightshift.openmldb import deployments as online
from nightshift.openmldb.following import finish, submit_once
from nightshift.openmldb.protocol import Mode

CALL_ROWS = 500
"""Requests of one call."""

AHEAD = 3
"""Batches that are put together before the first of them is answered."""

LIMIT_S = 3600.0

Key = tuple[int, tuple[Any, ...]]
"""A pair of keys by its number, and their values."""

if TYPE_CHECKING:
    from typing_extensions import Self

Visible = Callable[[str], Sequence[int]]
"""By table, for each of its rows the key of the first request that may see it (see `run`)."""


@dataclass(frozen=True)
class Asked:
    """Logged requests, in the order in which they are replayed.

    Attributes:
        rows: request rows in the request table's order, as the API server takes them.
        keys: of each, what a row's place in `Visible` is compared with: a row is in the store for
            a request whose key is not below it.
        times: of each, its own time, milliseconds.
    """

    rows: Sequence[Sequence[Any]]
    keys: Sequence[int]
    times: Sequence[int]


def run(
    client: AbstractClient,
    world: World,
    sql: str,
    asked: Asked,
    visible: Visible,
    snapshots: Mapping[str, Sequence[Path]],
    *,
    name: str,
    work: Path,
) -> tuple[list[str], list[list[Any]]]:
    """Feature rows of requests, each as if the store held the rows that it may see.

    Args:
        client: the API server.
        world: the rows.
        sql: the feature query.
        asked: the requests, ordered by their keys.
        visible: when which row may be seen.
        snapshots: files by snapshot table.
        name: of a database to make and drop.
        work: folder that OpenMLDB can read.

    Returns:
        Names of the features, and a row a request.

    Raises:
        OpenMLDBError, ServiceUnavailable, JobFailed: the server.
    """
    settle_s = world.pipeline.settings.openmldb_settle_s
    later: list[tuple[int, str, tuple[Any, ...]]] = []
    with database(client, name, world.pipeline.features.create_script(), sql):
        for table, rows in world.events.items():
            places = np.array(visible(table), dtype=np.int64)
            there = _from_the_first(world, table, places, asked)
            at_once = [rows.rows[n] for n in np.flatnonzero(there).tolist()]
            later += [
                (int(places[n]), table, rows.rows[n])
                for n in np.flatnonzero(~there & (places <= asked.keys[-1])).tolist()
            ]
            path = work / f"{table}.parquet"
            _write(path, world.declared[table], at_once)
            if at_once:
                _load(client, name, table, path, settle_s)
        for table, paths in snapshots.items():
            if paths:
                merged = reading.table(list(paths), columns=list(world.declared[table].columns))
                path = work / f"{table}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(merged, path, data_page_version="1.0")
                _load(client, name, table, path, settle_s)
        later.sort(key=lambda one: one[0])
        return _ask(client, world, name, asked, later)


def _from_the_first(
    world: World, table: str, places: npt.NDArray[np.int64], asked: Asked
) -> npt.NDArray[np.bool_]:
    """Which rows of a table may be in the store before the first request is asked.

    Those that it may see, and those that no request before the one which may see them would find:
    a window takes no rows after its request.
    """
    keys = np.array(asked.keys, dtype=np.int64)
    there = places <= keys[0]
    if _by_windows_alone(world, table):
        newest = np.maximum.accumulate(np.array(asked.times, dtype=np.int64))
        before = np.searchsorted(keys, places, side="left")
        at = np.array(world.events[table].times, dtype=np.int64)
        there |= (before < len(keys)) & (newest[before - 1] < at)
    return np.asarray(there, dtype=np.bool_)


def _by_windows_alone(world: World, table: str) -> bool:
    """Whether the query finds rows of a table by windows in the order of its time, and no other way."""
    reach, own = world.reach, world.pipeline.features.tables
    if any(reach.read(join.read).table == table for join in reach.joins if not join.stands):
        return False
    sources = [
        (window.time, source.time)
        for window in reach.windows
        for source in window.sources
        if reach.read(source.read).table == table
    ]
    return all(pair == (own.request_time, world.declared[table].time) for pair in sources)


def _ask(
    client: AbstractClient,
    world: World,
    name: str,
    asked: Asked,
    later: Sequence[tuple[int, str, tuple[Any, ...]]],
) -> tuple[list[str], list[list[Any]]]:
    info = client.deployment(name, "replay")
    keys = _Keys(world)
    made: list[list[Any]] = []
    reached_by = [keys.of_request(row) for row in asked.rows]
    last = {one: n for n, these in enumerate(reached_by) for one in these}
    with _Sender(client, world, name, made) as sender:
        place = 0
        requests = zip(asked.rows, asked.keys, reached_by, strict=True)
        for n, (row, key, own) in enumerate(requests):
            while place < len(later) and later[place][0] <= key:
                _, table, values = later[place]
                reached = keys.of_row(table, values)
                if reached is None or any(last.get(one, -1) >= n for one in reached):
                    sender.add_row(table, as_json(values), reached)
                place += 1
            sender.add_request(row, own)
        sender.flush()
    return [column for column, _ in info.output_schema], made


class _Keys:
    """By which values rows and requests reach each other."""

    def __init__(self, world: World) -> None:
        request = list(world.declared[world.pipeline.features.tables.request_table].columns)
        self._of_table: dict[str, list[tuple[int, list[int]]] | None] = {}
        self._of_request: list[tuple[int, list[int]]] = []
        number = 0
        for table in world.events:
            columns = list(world.declared[table].columns)
            pairs = world.pairs(table)
            found: list[tuple[int, list[int]]] = []
            for mine, theirs in pairs:
                found.append((number, [columns.index(one) for one in mine]))
                self._of_request.append((number, [request.index(one) for one in theirs]))
                number += 1
            self._of_table[table] = found or None

    def of_row(self, table: str, row: Sequence[Any]) -> set[Key] | None:
        """What a request must share one of to see the row; None: every request may."""
        pairs = self._of_table[table]
        return pairs if pairs is None else {(n, tuple(row[p] for p in at)) for n, at in pairs}

    def of_request(self, row: Sequence[Any]) -> set[Key]:
        """What a row must share one of to be seen."""
        return {(n, tuple(row[p] for p in at)) for n, at in self._of_request}


class _Sender:
    """Rows and requests in an order that gives each request the rows it may see, in few calls.

    A row goes before a batch that has no request of its keys, and otherwise after it; a request that
    has the keys of a row after the batch begins the next one. One thread sends while the next
    batch is put together.
    """

    def __init__(
        self, client: AbstractClient, world: World, name: str, made: list[list[Any]]
    ) -> None:
        self._client, self._world, self._name, self._made = client, world, name, made
        self._before: dict[str, list[Sequence[Any]]] = {}
        self._after: dict[str, list[Sequence[Any]]] = {}
        self._batch: list[Sequence[Any]] = []
        self._asked: set[Key] = set()
        self._waiting: set[Key] = set()
        self._for_all = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="replay")
        self._sent: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def add_row(self, table: str, row: Sequence[Any], keys: set[Key] | None) -> None:
        """A row that the requests from now on may see."""
        if keys is None:
            after = bool(self._batch)
            self._for_all |= after
        else:
            apart = keys.isdisjoint(self._asked) and keys.isdisjoint(self._waiting)
            after = self._for_all or not apart
        if after and keys is not None:
            self._waiting |= keys
        (self._after if after else self._before).setdefault(table, []).append(row)

    def add_request(self, row: Sequence[Any], keys: set[Key]) -> None:
        """The next request."""
        if self._for_all or not keys.isdisjoint(self._waiting):
            self._send()
        self._batch.append(row)
        self._asked |= keys
        if len(self._batch) == CALL_ROWS:
            self._send()

    def flush(self) -> None:
        """Send what is left and wait for all answers."""
        self._send()
        while self._sent:
            self._sent.popleft().result()

    def _send(self) -> None:
        rows, batch = self._before, self._batch
        self._before, self._after, self._batch = self._after, {}, []
        self._asked, self._waiting, self._for_all = set(), set(), False
        self._sent.append(self._thread.submit(self._work, rows, batch))
        while len(self._sent) > AHEAD:
            self._sent.popleft().result()

    def _work(self, rows: Mapping[str, list[Sequence[Any]]], batch: list[Sequence[Any]]) -> None:
        if not batch:
            return  # no request sees them
        for table, listed in rows.items():
            for start in range(0, len(listed), INSERT_ROWS):
                text = insert_sql(self._world.declared[table], listed[start : start + INSERT_ROWS])
                self._client.execute(self._name, text, mode="onsync")
        answers, _ = self._client.call(self._name, "replay", batch, need_schema=False)
        self._made.extend(answers)


def as_json(row: Sequence[Any]) -> list[Any]:
    """A row as OpenMLDB keeps it, as its API server takes it."""
    return [value.isoformat() if isinstance(value, dt.date) else value for value in row]


@contextmanager
def database(client: AbstractClient, name: str, create: str, sql: str) -> Iterator[None]:
    """An empty database with the tables and the deployment `replay`, dropped at the end."""
    online.drop_database(client, name)
    client.execute(SYSTEM_DATABASE, f"CREATE DATABASE {quote_name(name)}", mode="onsync")
    try:
        for statement in split_script(everlasting(create)):
            client.execute(name, statement, mode="onsync")
        online.ensure_deployment(client, name, "replay", sql)
        yield
    finally:
        online.drop_database(client, name)


def _write(path: Path, table: Declared, rows: Sequence[tuple[Any, ...]]) -> None:
    schema = table.arrow_schema()
    columns = []
    for at, item in enumerate(schema):
        values = [row[at] for row in rows]
        if pa.types.is_timestamp(item.type):
            columns.append(pa.array(values, pa.int64()).cast(pa.timestamp("ms")).cast(item.type))
        else:
            columns.append(pa.array(values, item.type))
    path.parent.mkdir(parents=True, exist_ok=True)
    made = pa.Table.from_arrays(columns, schema=schema)
    pq.write_table(made, path, data_page_version="1.0")


def _load(client: AbstractClient, name: str, table: str, path: Path, settle_s: float) -> None:
    _run(client, name, load_data(str(path), table, "append"), "online", settle_s)


def _run(client: AbstractClient, name: str, sql: str, mode: Mode, settle_s: float) -> None:
    """Run a job to its end.

    Raises:
        JobFailed, JobLost: it failed.
        DeadlineExceeded: it did not end in time.
    """
    job = submit_once(client, name, sql, mode)
    finish(client, job, time.time() + LIMIT_S, settle_s=settle_s, poll_s=0.2)


def training(
    client: AbstractClient,
    world: World,
    sql: str,
    days: Sequence[dt.date],
    snapshots: Mapping[str, Sequence[Path]],
    *,
    name: str,
    work: Path,
) -> pa.Table:
    """Features as a night would extract them now, of all requests of some days.

    Raises:
        DataError: there is no partition of requests.
        OpenMLDBError, ServiceUnavailable, JobFailed: the server.
    """
    pipeline = world.pipeline
    settle_s = pipeline.settings.openmldb_settle_s
    tables = pipeline.features.tables
    out = work / "training"
    online.drop_database(client, name)
    client.execute(SYSTEM_DATABASE, f"CREATE DATABASE {quote_name(name)}", mode="onsync")
    try:
        for statement in split_script(pipeline.features.create_script()):
            client.execute(name, statement, mode="onsync")
        for table in tables.names:
            if table in tables.events:
                wanted = training_days(pipeline, table, days[0], days[-1])
                there = layout.present(pipeline.data, table, wanted)
                if not there:
                    if table == tables.request_table:
                        raise DataError(
                            f"no partition of {table} from {days[0]} to {days[-1]} under "
                            f"{pipeline.data}: training sees none of these requests yet"
                        )
                    continue
                path = layout.event_glob(pipeline.data, table, there)
            elif snapshots.get(table):
                path = f"{snapshots[table][0].parent}/*.parquet"
            else:
                continue
            _run(client, name, load_data(path, table, "overwrite"), "offasync", settle_s)
        query = sql.rstrip().rstrip(";")
        _run(
            client,
            name,
            f"{query} INTO OUTFILE {quote_literal(str(out))} "
            "OPTIONS(format='parquet', mode='overwrite')",
            "offasync",
            settle_s,
        )
    finally:
        online.drop_database(client, name)
    return reading.table(reading.parquet_files(out))


def clear(work: Path) -> None:
    """Remove what a replay wrote."""
    for path in sorted(work.rglob("*"), reverse=True) if work.is_dir() else ():
        path.rmdir() if path.is_dir() else path.unlink()
    files.sweep_staging(work.parent)

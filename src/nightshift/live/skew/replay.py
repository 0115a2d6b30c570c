"""Replays of logged requests: which rows the store holds at each of them is the caller's choice."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nightshift import files, layout
from nightshift.data import reading
from nightshift.data.declared import Declared
from nightshift.errors import DataError
from nightshift.live.events import INSERT_ROWS, insert_sql
from nightshift.live.skew.world import World, training_days
from nightshift.openmldb import (
    SYSTEM_DATABASE,
    AbstractClient,
    quote_literal,
    quote_name,
    split_script,
)
from nightshift.openmldb import deployments as online
from nightshift.openmldb.following import finish, submit_once
from nightshift.openmldb.protocol import Mode

CALL_ROWS = 500
"""Requests of one call."""

LIMIT_S = 3600.0

Visible = Callable[[str], Sequence[int]]
"""By table, for each of its rows the key of the first request that may see it (see `run`)."""


@dataclass(frozen=True)
class Asked:
    """Logged requests, in the order in which they are replayed.

    Attributes:
        rows: request rows in the request table's order, as the API server takes them.
        keys: of each, what a row's place in `Visible` is compared with: a row is in the store for
            a request whose key is not below it.
    """

    rows: Sequence[Sequence[Any]]
    keys: Sequence[int]


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
    first = asked.keys[0]
    later: list[tuple[int, str, tuple[Any, ...]]] = []
    with database(client, name, world.pipeline.features.create_script(), sql):
        for table, rows in world.events.items():
            places = visible(table)
            at_once = [row for row, place in zip(rows.rows, places, strict=True) if place <= first]
            later += [
                (place, table, row)
                for row, place in zip(rows.rows, places, strict=True)
                if first < place <= asked.keys[-1]
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


def _ask(
    client: AbstractClient,
    world: World,
    name: str,
    asked: Asked,
    later: Sequence[tuple[int, str, tuple[Any, ...]]],
) -> tuple[list[str], list[list[Any]]]:
    info = client.deployment(name, "replay")
    made: list[list[Any]] = []
    batch: list[Sequence[Any]] = []
    place = 0

    def call() -> None:
        if batch:
            rows, _ = client.call(name, "replay", batch, need_schema=False)
            made.extend(rows)
            batch.clear()

    for row, key in zip(asked.rows, asked.keys, strict=True):
        new: dict[str, list[Sequence[Any]]] = {}
        while place < len(later) and later[place][0] <= key:
            new.setdefault(later[place][1], []).append(as_json(later[place][2]))
            place += 1
        if new:
            call()
            for table, rows in new.items():
                for start in range(0, len(rows), INSERT_ROWS):
                    text = insert_sql(world.declared[table], rows[start : start + INSERT_ROWS])
                    client.execute(name, text, mode="onsync")
        batch.append(row)
        if len(batch) == CALL_ROWS:
            call()
    call()
    return [column for column, _ in info.output_schema], made


def as_json(row: Sequence[Any]) -> list[Any]:
    """A row as OpenMLDB keeps it, as its API server takes it."""
    return [value.isoformat() if isinstance(value, dt.date) else value for value in row]


@contextmanager
def database(client: AbstractClient, name: str, create: str, sql: str) -> Iterator[None]:
    """An empty database with the tables and the deployment `replay`, dropped at the end."""
    online.drop_database(client, name)
    client.execute(SYSTEM_DATABASE, f"CREATE DATABASE {quote_name(name)}", mode="onsync")
    try:
        for statement in split_script(create):
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
    job = f"LOAD DATA INFILE {quote_literal(str(path))} INTO TABLE {quote_name(table)} "
    _run(client, name, job + "OPTIONS(format='parquet', mode='append')", "online", settle_s)


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
            _run(
                client,
                name,
                f"LOAD DATA INFILE {quote_literal(path)} INTO TABLE {quote_name(table)} "
                "OPTIONS(format='parquet', mode='overwrite')",
                "offasync",
                settle_s,
            )
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

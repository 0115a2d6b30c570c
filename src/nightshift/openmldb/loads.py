"""What the online store lacks, day by day, so that no row is loaded twice or forgotten.

An online load appends. So before each night the rows of every partition that the windows can
reach are counted in the store and in the files; only what differs is loaded.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from nightshift import layout
from nightshift.config.yamlfile import nearest
from nightshift.data import reading
from nightshift.data.declared import declared_tables
from nightshift.errors import ConfigurationError, ContractError, DeadlineExceeded, RetryableError
from nightshift.features.tables import SourceTables
from nightshift.openmldb import (
    SYSTEM_DATABASE,
    Job,
    JobState,
    JobWatch,
    OpenMLDBClient,
    job_error,
    quote_literal,
    quote_name,
    reconcile,
    split_script,
    tail,
)
from nightshift.pipeline import Pipeline
from nightshift.zones import Zone

_LOAD = re.compile(r"\s*load\s+data\b", re.IGNORECASE)

HISTORY = "online_history.jsonl"
"""Below a pipeline's runs: a line for each time that the online store was brought up to date."""

CountRows = Callable[[str, str, int, int], int]
"""(table, time column, from ms, until ms) -> rows that the online store holds."""


class OnlineLoad(TypedDict):
    """One load: its files, and how to do it once. `reload`: `delete_sql` must run first."""

    table: str
    path: str
    expect_rows: int | None
    count_sql: str | None
    delete_sql: str | None
    reload: bool
    days: list[str]


def plan_online_loads(
    data: Path,
    *,
    tables: SourceTables,
    ds: str,
    lookback_days: Mapping[str, int],
    count_rows: CountRows,
    reconciled: Collection[tuple[str, str]] = (),
) -> list[OnlineLoad]:
    """Choose the partitions and snapshots to load online.

    Neighbouring days that the store holds nothing of become one load (days without any row may
    lie between them); a day that it holds in
    part is a load of its own, which deletes the part first. Snapshots are always loaded: their
    tables keep the newest row a key.

    Args:
        data: root of the source partitions.
        tables: the tables and their layouts.
        ds: the last day that may be in the store for this night, `YYYY-MM-DD`.
        lookback_days: how far each event table's windows reach back.
        count_rows: counts the store's rows of a time range.
        reconciled: table and day of what was made equal a moment ago: more rows of it are events
            that were streamed meanwhile, and the next night's matter.

    Raises:
        ContractError: the store holds more rows of a day than its partition: rows were
            loaded twice, or the partition lost some.
    """
    last = layout.parse_date(ds)
    loads: list[OnlineLoad] = []
    for table, column in tables.events.items():
        wanted = layout.days_back(last, lookback_days.get(table, 0) + 1)
        lacking: list[tuple[dt.date, int]] = []
        for day in layout.present(data, table, wanted):
            rows = partition_rows(data, table, day)
            found = count_rows(table, column, *_range_ms([day], tables.zone))
            if found > rows and (table, day.isoformat()) in reconciled:
                continue
            if found > rows:
                raise ContractError(
                    f"the online table {table} holds {found} rows of {day}, its partition under "
                    f"{data} only {rows}; if rows were loaded twice, delete that day's rows "
                    f"({_delete_sql(table, column, [day], tables.zone)}) and run again"
                )
            if found == rows and rows:
                continue
            if found:
                loads.append(
                    {**_event_load(data, table, column, [day], rows, tables.zone), "reload": True}
                )
            else:
                lacking.append((day, rows))
        for run in _neighbours(lacking):
            days = [day for day, _ in run]
            loads.append(
                _event_load(data, table, column, days, sum(rows for _, rows in run), tables.zone)
            )
    loads.extend(
        OnlineLoad(
            table=table,
            path=layout.snapshot_glob(data, table, last),
            expect_rows=None,
            count_sql=None,
            delete_sql=None,
            reload=False,
            days=[],
        )
        for table in tables.snapshots
    )
    return loads


def bring_online(
    client: OpenMLDBClient, pipeline: Pipeline, *, ds: str, timeout_s: float = 6 * 3600.0
) -> dict[str, Any]:
    """Make the online tables, and bring them into agreement with their partitions.

    Days that the store holds are reconciled row by row (see `reconcile`); days that it lacks are
    loaded as a whole.

    It may be called again after it was cut off: loads that still run are waited for first, then
    rows are counted anew.

    Args:
        client: the API server.
        pipeline: its tables, partitions and database.
        ds: the last day that may be in the store, `YYYY-MM-DD`.
        timeout_s: limit of all loads together.

    Returns:
        Loads made, with table, path and rows; and the days that were compared.

    Raises:
        JobFailed: a load failed.
        ContractError: the store holds more rows of a day than its partition.
        RetryableError: after its load a table does not hold the partition's rows.
        DeadlineExceeded: the loads took longer than `timeout_s`.
        ServiceUnavailable: the server does not answer.
    """
    database, files = pipeline.database, pipeline.features
    deadline = time.time() + timeout_s
    settle_s = pipeline.settings.openmldb_settle_s
    client.execute(
        SYSTEM_DATABASE, f"CREATE DATABASE IF NOT EXISTS {quote_name(database)}", mode="onsync"
    )
    for statement in split_script(files.create_script()):
        client.execute(database, statement, mode="onsync")
    _await_jobs(client, _running_loads(client, database), deadline, settle_s)
    known_file = pipeline.runs / "online.json"
    known = reconcile.load_known(known_file)
    reconciled = reconcile.reconcile(
        client,
        database,
        data=pipeline.data,
        declared=declared_tables(files.tables, files.create_script(), str(files.create_tables)),
        days=_days_online(pipeline, ds),
        work=pipeline.runs / "online",
        known=known,
        waiting=reconcile.Waiting(settle_s=settle_s),
    )
    reconcile.save_known(known_file, known)
    count = count_online(client, database)
    loads = plan_online_loads(
        pipeline.data,
        tables=files.tables,
        ds=ds,
        lookback_days=files.spec.lookback_days,
        count_rows=count,
        reconciled={
            (day.table, day.day) for day in reconciled if day.how not in ("absent", "skipped")
        },
    )
    jobs = []
    for load in loads:
        if load["delete_sql"] is not None and load["reload"]:
            client.execute(database, load["delete_sql"], mode="onsync")
        jobs.append(
            client.submit(
                database,
                f"LOAD DATA INFILE {quote_literal(load['path'])} INTO TABLE "
                f"{quote_name(load['table'])} OPTIONS(format='parquet', mode='append')",
                mode="online",
            )
        )
    _await_jobs(client, jobs, deadline, settle_s)
    for load in loads:
        if load["count_sql"] is None:
            continue
        result = client.execute(database, load["count_sql"], mode="onsync")
        rows = int(result.rows[0][0]) if result is not None and result.rows else 0
        if rows != load["expect_rows"]:
            raise RetryableError(
                f"after the load {load['table']} holds {rows} rows of {load['path']} instead of "
                f"{load['expect_rows']}"
            )
        for day in load["days"]:
            rows = partition_rows(pipeline.data, load["table"], dt.date.fromisoformat(day))
            reconcile.note_loaded(
                known, pipeline.data, load["table"], dt.date.fromisoformat(day), rows
            )
    reconcile.save_known(known_file, known)
    _note(pipeline, loads, reconciled)
    return {
        "reconciled": [
            day.as_json() for day in reconciled if day.how not in ("absent", "unchanged")
        ],
        "loads": [
            {"table": x["table"], "path": x["path"], "rows": x["expect_rows"]} for x in loads
        ],
        "job_ids": [job.job_id for job in jobs],
    }


def _note(
    pipeline: Pipeline, loads: Sequence[OnlineLoad], reconciled: Sequence[reconcile.DayReport]
) -> None:
    """Keep when what reached the online store: live traffic is judged by it."""
    held = [day for day in reconciled if day.how not in ("absent", "skipped")]
    line = {
        "at_ms": int(time.time() * 1000),
        "loaded": [
            *([load["table"], day] for load in loads for day in load["days"]),
            *([day.table, day.day] for day in held),
        ],
        "changed": [[day.table, day.day] for day in held if day.added or day.removed],
        "snapshots": [
            [load["table"], reconcile.fingerprint(_matching(load["path"])), load["path"]]
            for load in loads
            if not load["days"]
        ],
    }
    pipeline.runs.mkdir(parents=True, exist_ok=True)
    with (pipeline.runs / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _matching(pattern: str) -> list[Path]:
    """The files of a snapshot's pattern."""
    path = Path(pattern)
    return sorted(path.parent.glob(path.name))


def reload_day(
    client: OpenMLDBClient, pipeline: Pipeline, table: str, day: dt.date
) -> reconcile.DayReport:
    """Make the online store hold one day of one table as its partition has it, loaded or not.

    Raises:
        ConfigurationError: the pipeline has no such event table.
        ServiceUnavailable, ContractError, DataError: as `reconcile.reconcile`.
    """
    files = pipeline.features
    if table not in files.tables.events:
        raise ConfigurationError(
            f"{files.tables.source} declares no event table {table}"
            f"{nearest(table, files.tables.events)}"
        )
    return reconcile.reload(
        client,
        pipeline.database,
        data=pipeline.data,
        declared=declared_tables(files.tables, files.create_script(), str(files.create_tables)),
        table=table,
        day=day,
        work=pipeline.runs / "online",
        waiting=reconcile.Waiting(settle_s=pipeline.settings.openmldb_settle_s),
    )


def _days_online(pipeline: Pipeline, ds: str) -> dict[str, list[dt.date]]:
    """Days of each event table that the windows of a night can reach, as far as they are there."""
    last, reach = layout.parse_date(ds), pipeline.features.spec.lookback_days
    return {
        table: layout.present(pipeline.data, table, layout.days_back(last, reach.get(table, 0) + 1))
        for table in pipeline.features.tables.events
    }


def _running_loads(client: OpenMLDBClient, database: str) -> list[Job]:
    return [
        job
        for job in client.jobs()
        if not job.state.is_terminal and job.db in ("", database) and _LOAD.match(job.parameter)
    ]


def _await_jobs(
    client: OpenMLDBClient, jobs: Sequence[Job], deadline: float, settle_s: float
) -> None:
    """Follow jobs that run side by side to their end; each settles while the others run."""
    watches = {job.job_id: JobWatch(deadline, poll_s=1.0, settle_s=settle_s) for job in jobs}
    at_work = {job.job_id: job for job in jobs}
    while at_work:
        pauses = []
        for job_id, job in list(at_work.items()):
            pause = watches[job_id].after(job, time.time())
            if pause is not None:
                pauses.append(pause)
                continue
            del at_work[job_id]
            if job.state is not JobState.FINISHED:
                raise job_error(job, tail(client.job_log(job_id)))
        if not at_work:
            return
        if time.time() >= deadline:
            raise DeadlineExceeded(f"jobs {', '.join(map(str, at_work))} took too long")
        time.sleep(min(pauses))
        for job_id in at_work:
            at_work[job_id] = client.job(job_id)


def count_online(client: OpenMLDBClient, database: str) -> CountRows:
    """Count rows through the API server."""

    def count(table: str, column: str, from_ms: int, until_ms: int) -> int:
        result = client.execute(
            database, _count_sql(table, column, from_ms, until_ms), mode="onsync"
        )
        return int(result.rows[0][0]) if result is not None and result.rows else 0

    return count


def partition_rows(data: Path, table: str, day: dt.date) -> int:
    """Rows of a partition, from its parquet footers.

    Raises:
        DataError: a file of it is not parquet.
    """
    return reading.rows(reading.parquet_files(layout.partition(data, table, day)))


def _event_load(
    data: Path, table: str, column: str, days: Sequence[dt.date], rows: int, zone: Zone
) -> OnlineLoad:
    return OnlineLoad(
        table=table,
        path=layout.event_glob(data, table, list(days)),
        expect_rows=rows,
        count_sql=_count_sql(table, column, *_range_ms(days, zone)),
        delete_sql=_delete_sql(table, column, days, zone),
        reload=False,
        days=[day.isoformat() for day in days],
    )


def _neighbours(lacking: list[tuple[dt.date, int]]) -> list[list[tuple[dt.date, int]]]:
    runs: list[list[tuple[dt.date, int]]] = []
    for item in lacking:
        if runs and item[0] - runs[-1][-1][0] == dt.timedelta(days=1):
            runs[-1].append(item)
        else:
            runs.append([item])
    return [run for run in runs if sum(rows for _, rows in run)]


def _range_ms(days: Sequence[dt.date], zone: Zone) -> tuple[int, int]:
    return zone.start_ms(days[0]), zone.end_ms(days[-1])


def _count_sql(table: str, column: str, from_ms: int, until_ms: int) -> str:
    name = quote_name(column)
    return (
        f"SELECT count(*) FROM {quote_name(table)} "
        f"WHERE {name} >= timestamp({from_ms}) AND {name} < timestamp({until_ms})"
    )


def _delete_sql(table: str, column: str, days: Sequence[dt.date], zone: Zone) -> str:
    from_ms, until_ms = _range_ms(days, zone)
    name = quote_name(column)
    return f"DELETE FROM {quote_name(table)} WHERE {name} >= {from_ms} AND {name} < {until_ms}"

"""What the online store lacks, day by day, so that no row is loaded twice or forgotten.

An online load appends. So before each night the rows of every partition that the windows can
reach are counted in the store and in the files; only what differs is loaded.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypedDict

from nightshift import layout
from nightshift.config.yamlfile import nearest
from nightshift.data import reading
from nightshift.data.declared import Declared, declared_tables
from nightshift.data.scan import present_days
from nightshift.errors import ConfigurationError, ContractError, PartitionMissing, RetryableError
from nightshift.features import lineage
from nightshift.features.tables import SourceTables
from nightshift.files import append_line, read_json
from nightshift.openmldb import (
    SYSTEM_DATABASE,
    AbstractClient,
    Job,
    OpenMLDBClient,
    load_data,
    quote_name,
    reconcile,
    split_script,
)
from nightshift.openmldb.following import failures, follow, submit_once
from nightshift.openmldb.health import delete, settled
from nightshift.openmldb.rows import stored_count, stored_counts
from nightshift.pipeline import Pipeline
from nightshift.zones import Zone

LOG = logging.getLogger(__name__)

STOPPED_S = 86_400.0
"""A job that is STOPPED and younger than this may go on, unless its end was written."""

_MOST_SPANS = 5
"""Spans of days that a message lists, the newest ones."""

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
        ConfigurationError: the tables let go of the date's rows at once, or are there with other
            columns.
        RetryableError: after its load a table does not hold the partition's rows.
        DeadlineExceeded: the loads took longer than `timeout_s`.
        ServiceUnavailable: the server does not answer.
    """
    database, files = pipeline.database, pipeline.features
    _refuse_expired(pipeline, ds)
    deadline = time.time() + timeout_s
    settle_s = pipeline.settings.openmldb_settle_s
    client.execute(
        SYSTEM_DATABASE, f"CREATE DATABASE IF NOT EXISTS {quote_name(database)}", mode="onsync"
    )
    for statement in split_script(files.create_script()):
        client.execute(database, statement, mode="onsync")
    _check_columns(client, pipeline)
    follow(client, _running_loads(client, database), deadline, settle_s=settle_s)
    work = _Work(client, pipeline, ds, deadline)
    known_file = known_days(pipeline)
    known = reconcile.load_known(known_file)
    reconcile.forget_known(
        known, layout.parse_date(ds) - dt.timedelta(days=pipeline.settings.keep_days)
    )
    reconciled: list[reconcile.DayReport] = []
    loads: list[OnlineLoad] = []
    jobs: list[Job] = []
    for last in (False, True):
        try:
            compared = work.compare(known)
        finally:
            # What was begun is not known any more, and must not be waited for.
            reconcile.save_known(known_file, known)
        reconciled += compared
        planned = work.plan(known, compared)
        ran = follow(client, work.submit(planned), deadline, settle_s=settle_s)
        jobs += ran
        loads += planned
        failed = failures(client, ran)
        if not failed:
            work.check(planned, known)
            reconcile.save_known(known_file, known)
            break
        if last:
            raise failed[0]
        # What they have written is completed, or removed, by the second round.
        LOG.warning("a load failed; the tables are compared and loaded once more: %s", failed[0])
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


def known_days(pipeline: Pipeline) -> Path:
    """The file of what was equal when a database was last compared."""
    return pipeline.runs / f"online.{pipeline.database}.json"


def _check_columns(client: OpenMLDBClient, pipeline: Pipeline) -> None:
    """See that tables which were there before have the columns that are declared.

    Raises:
        ConfigurationError: they do not; nothing that serves is known to use them.
    """
    files = pipeline.features
    for table in declared_tables(files.tables, files.create_script()).values():
        there = [name for name, _ in client.columns(pipeline.database, table.name)]
        if there != list(table.columns):
            raise ConfigurationError(
                f"{files.create_tables}: {pipeline.database}.{table.name} is there with other "
                f"columns ({', '.join(there)}), left by an earlier script; drop the table, or "
                "restore the script"
            )


def _refuse_expired(pipeline: Pipeline, ds: str) -> None:
    """Refuse to fill an online store that would let go of all of it at once.

    A backfill of an old date is no such night: a newer release serves by the rows of its own days.

    Raises:
        ConfigurationError: rows of the night's date expire as they are loaded, and nothing newer
            serves.
    """
    files = pipeline.features
    last = layout.parse_date(ds)
    now_ms = int(time.time() * 1000)
    declared = declared_tables(files.tables, files.create_script(), str(files.create_tables))
    gone = [
        table.name
        for table in declared.values()
        if table.time is not None
        and table.expires_ms is not None
        and table.zone.end_ms(last) < now_ms - table.expires_ms
    ]
    if not gone:
        return
    live_path = pipeline.store.live_path
    if not live_path.exists() or str(read_json(live_path)["ds"]) <= ds:
        raise ConfigurationError(
            f"{files.create_tables}: rows of {ds} expire as soon as they are loaded into "
            f"{', '.join(gone)}, since age counts from now, and features would be computed of "
            "nothing; run for a newer date, or write ttl=0m, ttl_type=absolute for recorded data"
        )


@dataclass
class _Work:
    """What the online store lacks for one night: found, loaded, checked."""

    client: OpenMLDBClient
    pipeline: Pipeline
    ds: str
    deadline: float

    @cached_property
    def declared(self) -> dict[str, Declared]:
        """The source tables."""
        files = self.pipeline.features
        return declared_tables(files.tables, files.create_script(), str(files.create_tables))

    @property
    def zone(self) -> Zone:
        """The zone of the partitions' days."""
        return self.pipeline.features.tables.zone

    @property
    def waiting(self) -> reconcile.Waiting:
        """How patient to be."""
        return reconcile.Waiting(settle_s=self.pipeline.settings.openmldb_settle_s)

    def compare(self, known: MutableMapping[str, str]) -> list[reconcile.DayReport]:
        """Compare the days that the store holds with their partitions."""
        return reconcile.reconcile(
            self.client,
            self.pipeline.database,
            data=self.pipeline.data,
            declared=self.declared,
            days=_days_online(self.pipeline, self.ds),
            work=self.pipeline.runs / "online",
            known=known,
            waiting=self.waiting,
        )

    def plan(
        self, known: MutableMapping[str, str], compared: Sequence[reconcile.DayReport]
    ) -> list[OnlineLoad]:
        """The loads; rows are counted by two readings of a healthy table that agree.

        Of a table that keeps the newest rows only, and of a day whose rows expire, no count says
        whether it was loaded: the former is loaded once for each set of files, the latter not.
        """
        events = self.pipeline.features.tables.events
        held: dict[tuple[str, int], int] = {}
        skipped = {(day.table, day.day) for day in compared if day.how == "skipped"}
        for table, days in _days_online(self.pipeline, self.ds).items():
            spans = [_range_ms([day], self.zone) for day in days]
            for span, rows in zip(spans, self.counts(table, events[table], spans), strict=True):
                held[table, span[0]] = rows
            for day, span in zip(days, spans, strict=True):
                if (table, day.isoformat()) not in skipped:
                    continue
                latest = self.declared[table].keeps_latest
                there = not latest or reconcile.is_known(known, self.pipeline.data, table, day)
                held[table, span[0]] = (
                    partition_rows(self.pipeline.data, table, day) if there else 0
                )
        return plan_online_loads(
            self.pipeline.data,
            tables=self.pipeline.features.tables,
            ds=self.ds,
            lookback_days=online_days(self.pipeline),
            count_rows=lambda table, _column, from_ms, _until_ms: held[table, from_ms],
            reconciled={
                (day.table, day.day) for day in compared if day.how not in ("absent", "skipped")
            },
        )

    def counts(self, table: str, column: str, spans: Sequence[tuple[int, int]]) -> list[int]:
        """Rows that the store holds of each time range."""
        database = self.pipeline.database
        return settled_counts(self.client, database, table, column, spans, self.waiting)

    def submit(self, loads: Sequence[OnlineLoad]) -> list[Job]:
        """Start the loads, each once; what is there in part goes first."""
        jobs = []
        for load in loads:
            if load["delete_sql"] is not None and load["reload"]:
                table, days = load["table"], load["days"]
                column = self.pipeline.features.tables.events[table]
                span = _range_ms([dt.date.fromisoformat(day) for day in days], self.zone)
                count = partial(stored_count, self.client, self.pipeline.database, table, column)
                delete(
                    self.client,
                    self.pipeline.database,
                    load["delete_sql"],
                    partial(count, *span),
                )
            statement = load_data(load["path"], load["table"], "append")
            jobs.append(submit_once(self.client, self.pipeline.database, statement, "online"))
        return jobs

    def check(self, loads: Sequence[OnlineLoad], known: MutableMapping[str, str]) -> None:
        """See that every day that was loaded is there, and note it.

        Raises:
            RetryableError: rows lack, or there are too many.
        """
        for table, column in self.pipeline.features.tables.events.items():
            own = [x for x in loads if x["table"] == table and x["expect_rows"] is not None]
            loaded = [[dt.date.fromisoformat(day) for day in load["days"]] for load in own]
            counts = self.counts(table, column, [_range_ms(days, self.zone) for days in loaded])
            for load, days, rows in zip(own, loaded, counts, strict=True):
                if rows != load["expect_rows"] and not self.declared[table].keeps_latest:
                    raise RetryableError(
                        f"after the load {table} holds {rows} rows of {load['path']} instead of "
                        f"{load['expect_rows']}"
                    )
                for day in days:
                    held = partition_rows(self.pipeline.data, table, day)
                    reconcile.note_loaded(known, self.pipeline.data, table, day, held)


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
    append_line(pipeline.runs / HISTORY, json.dumps(line).encode())


_LAST_MS = 253_402_300_800_000
"""The end of the year 9999."""


def night_of(line: bytes) -> dict[str, Any] | None:
    """What a line of `HISTORY` says; None where a reader could stumble over it.

    Returns:
        `at_ms`; `loaded` and `changed`, pairs of table and day; `snapshots`, triples of table,
        fingerprint and path.
    """
    try:
        value = json.loads(line)
        moment = int(value["at_ms"])
        made = {
            "at_ms": moment,
            **{
                name: [[str(table), dt.date.fromisoformat(day).isoformat()] for table, day in pairs]
                for name, pairs in (("loaded", value["loaded"]), ("changed", value["changed"]))
            },
            "snapshots": [[str(t), str(mark), str(path)] for t, mark, path in value["snapshots"]],
        }
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return made if 0 <= moment < _LAST_MS else None


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
        PartitionMissing: there is no partition of that day.
        ServiceUnavailable, ContractError, DataError: as `reconcile.reconcile`.
    """
    files = pipeline.features
    if table in files.tables.snapshots:
        raise ConfigurationError(
            f"{table} is a snapshot, which has no days: every night loads it as a whole"
        )
    if table not in files.tables.events:
        raise ConfigurationError(
            f"{files.tables.source} declares no event table {table}"
            f"{nearest(table, files.tables.events)}; it has {', '.join(files.tables.events)}"
        )
    if not layout.present(pipeline.data, table, [day]):
        raise PartitionMissing(
            f"there is no partition {layout.partition(pipeline.data, table, day)}; "
            + _days_there(pipeline.data, table)
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


def _days_there(data: Path, table: str) -> str:
    """Which partitions of a table there are: spans of neighbouring days."""
    named = map(dt.date.fromisoformat, present_days(data, table))
    days = layout.present(data, table, named)
    if not days:
        return "the table has none; load some with ./nightshift data load"
    spans: list[list[dt.date]] = []
    for day in days:
        if spans and day - spans[-1][1] == dt.timedelta(days=1):
            spans[-1][1] = day
        else:
            spans.append([day, day])
    shown = [f"{first} to {last}" if last > first else str(first) for first, last in spans]
    more = f" and {len(shown) - _MOST_SPANS} more" if len(shown) > _MOST_SPANS else ""
    return f"there are {', '.join(shown[-_MOST_SPANS:])}{more}"


def online_days(pipeline: Pipeline) -> dict[str, int]:
    """Days before a night's date that the online store holds of each event table.

    Frames of time reach `lookback_days`. A frame of rows reaches as far back as there are rows: of
    its tables the store holds all days that training reads, so that it gives the same online.
    """
    files, spec = pipeline.features, pipeline.features.spec
    found = {table: spec.lookback_days.get(table, 0) for table in files.tables.events}
    with contextlib.suppress(ConfigurationError):  # `check` and `plan` say what is wrong with it
        script = files.create_script()
        reach = lineage.reach_of(
            files.query(),
            tables=files.tables,
            columns=lineage.columns_of(script, files.tables, str(files.create_tables)),
            source=str(files.sql),
        )
        for window in reach.windows:
            for source in window.sources if window.start is None else ():
                table = reach.read(source.read).table
                if table in found:
                    found[table] = pipeline.config.train_days - 1 + spec.lookback_days.get(table, 0)
    return found


def _days_online(pipeline: Pipeline, ds: str) -> dict[str, list[dt.date]]:
    """Days of each event table that a night holds online, as far as they are there."""
    last = layout.parse_date(ds)
    return {
        table: layout.present(pipeline.data, table, layout.days_back(last, before + 1))
        for table, before in online_days(pipeline).items()
    }


def _may_run(job: Job) -> bool:
    """Whether a job runs, or was told to stop a while ago and has not said that it did."""
    if job.has_ended:
        return False
    age_s = time.time() - (job.start_time or 0) / 1000
    return not job.state.is_terminal or age_s < STOPPED_S


def _running_loads(client: OpenMLDBClient, database: str) -> list[Job]:
    return [
        job
        for job in client.jobs()
        if job.db in ("", database) and _LOAD.match(job.parameter) and _may_run(job)
    ]


def settled_counts(
    client: AbstractClient,
    database: str,
    table: str,
    column: str,
    spans: Sequence[tuple[int, int]],
    waiting: reconcile.Waiting,
) -> list[int]:
    """Rows of each time range, so that they can be believed: see `health.settled`."""

    def read() -> list[int]:
        return stored_counts(client, database, table, column, spans)

    return settled(client, database, table, read, waiting.patience) if spans else []


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


def _delete_sql(table: str, column: str, days: Sequence[dt.date], zone: Zone) -> str:
    from_ms, until_ms = _range_ms(days, zone)
    name = quote_name(column)
    return f"DELETE FROM {quote_name(table)} WHERE {name} >= {from_ms} AND {name} < {until_ms}"

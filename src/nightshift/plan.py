"""A night's plan: its date, the partitions it reads, the names it uses.

Made once, by the first task of a run, so that every later task works on the same answer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from nightshift import layout
from nightshift.config.yamlfile import nearest
from nightshift.data.reading import parquet_files
from nightshift.errors import ConfigurationError, DataError, PartitionMissing
from nightshift.pipeline import Pipeline
from nightshift.registry.names import sql_hash, workspace_name
from nightshift.zones import Zone


class _Later(TypedDict, total=False):
    """What plans of earlier versions lack; their runs go on over an upgrade."""

    refit: bool


class Plan(_Later):
    """What the tasks of one run share; JSON, so that it travels as an XCom."""

    pipeline: str
    ds: str
    run_id: str
    run_dir: str
    database: str
    workspace: str
    first_day: str
    train_days: int
    sources: dict[str, str]
    partitions: dict[str, list[str]]
    missing: dict[str, list[str]]
    sql_sha256: str


def check_params(known: Iterable[str], given: Iterable[str]) -> None:
    """Refuse values of Params that a DAG does not have; Airflow itself takes no notice of them.

    Raises:
        ConfigurationError: names each, with the nearest known one.
    """
    known = sorted(known)
    wrong = [f"{name!r}{nearest(name, known)}" for name in given if name not in known]
    if wrong:
        raise ConfigurationError(
            f"there is no Param {', '.join(wrong)}; known: {', '.join(known) or 'none'}"
        )


def resolve_date(
    *,
    param: str | None,
    partition_key: str | None,
    logical_date: dt.datetime | None,
    zone: Zone | None = None,
) -> str:
    """The partition a run is for: the form's `ds`, the partition key, or the day before.

    A run that has only a logical date (the UI's default is now) is for the day before it,
    as the schedule's runs are; in `zone`, else in UTC.

    Raises:
        ConfigurationError: none of the three is given, or one is not a date.
    """
    if param:
        return layout.parse_date(param).isoformat()
    if partition_key:
        return layout.parse_date(partition_key, what="the partition key").isoformat()
    if logical_date is not None:
        day = logical_date.date() if zone is None else zone.day_of(logical_date)
        return (day - dt.timedelta(days=1)).isoformat()
    raise ConfigurationError(
        "the run has no date: give `ds` in the trigger form, a partition key, or a logical date"
    )


def make_plan(
    pipeline: Pipeline,
    *,
    ds: str,
    run_id: str,
    train_days: int | None = None,
    allow_missing: bool = False,
) -> Plan:
    """Choose the partitions of a run and check that they are there.

    The files of the pipeline that speak of tables are compared first: what does not fit would
    otherwise fail the run only after its training.

    A table's days are those of the training window and, before it, the lookback of the
    windows over that table. Days of the lookback before a table's first partition are no
    error: history has to begin somewhere.

    Args:
        pipeline: its files and folders.
        ds: the run's date, `YYYY-MM-DD`, the last day it reads.
        run_id: the run's unique id.
        train_days: length of the training window in days; the pipeline's where None.
        allow_missing: leave missing partitions out instead of failing.

    Raises:
        PartitionMissing: names each missing partition and its table.
        DataError: a dated snapshot holds rows of a later day.
        ConfigurationError: `ds` is not a date, `train_days` is below 1, a table of
            `lookback_days` is unknown or given too few days, or the pipeline's files do not fit
            each other.
    """
    last = layout.parse_date(ds)
    window = pipeline.config.train_days if train_days is None else train_days
    if window < 1:
        raise ConfigurationError(f"train_days is {window}; it must be at least 1")
    folder = layout.RunFolder.of(pipeline.runs, last.isoformat(), run_id)
    plan = Plan(
        pipeline=pipeline.name,
        ds=last.isoformat(),
        run_id=run_id,
        run_dir=str(folder.root),
        database=pipeline.database,
        workspace=workspace_name(pipeline.owner, last, layout.run_token(run_id)),
        first_day=(last - dt.timedelta(days=window - 1)).isoformat(),
        train_days=window,
        sources={},
        partitions={},
        missing={},
        sql_sha256="",
    )
    if pipeline.config.refit:
        plan["refit"] = True
    if pipeline.has_features:
        _add_sources(plan, pipeline, last, allow_missing=allow_missing)
    return plan


def _add_sources(plan: Plan, pipeline: Pipeline, last: dt.date, *, allow_missing: bool) -> None:
    tables, lookback_days = pipeline.features.tables, pipeline.features.spec.lookback_days
    check_lookback(pipeline)
    plan["sql_sha256"] = sql_hash(pipeline.features.query())
    window = plan["train_days"]
    first_day = last - dt.timedelta(days=window - 1)
    for table in tables.events:
        wanted = layout.days_back(last, window + lookback_days.get(table, 0))
        there = layout.present(pipeline.data, table, wanted)
        begin = min(there[0], first_day) if there else first_day
        absent = sorted({day for day in wanted if day >= begin} - set(there))
        if absent:
            plan["missing"][table] = _iso(absent)
        if there:
            plan["sources"][table] = layout.event_glob(pipeline.data, table, there)
        plan["partitions"][table] = _iso(there)
    for table in tables.snapshots:
        try:
            folder = layout.snapshot_folder(pipeline.data, table, last)
        except PartitionMissing:
            plan["missing"][table] = [f"a snapshot of {last.isoformat()} or before"]
            continue
        if parquet_files(folder):
            _refuse_future(folder, pipeline, table)
            plan["sources"][table] = f"{folder}/*.parquet"
        else:
            plan["missing"][table] = ["snapshot"]
    _refuse_missing(pipeline.data, plan["missing"], plan["partitions"], allow_missing=allow_missing)


def _refuse_future(folder: Path, pipeline: Pipeline, table: str) -> None:
    """Refuse a dated snapshot that holds rows of a later day, by its files' footers.

    Raises:
        DataError: a file holds such a row.
    """
    from nightshift.data import reading
    from nightshift.data.declared import declared_tables

    if not folder.name.startswith("ds="):
        return  # it has no date to be later than
    files = pipeline.features
    declared = declared_tables(files.tables, files.create_script(), str(files.create_tables))
    zone = pipeline.zone
    end_ms = zone.end_ms(dt.date.fromisoformat(folder.name[3:]))
    for column in {index.ts for index in declared[table].indexes if index.ts}:
        newest = reading.newest_ms(parquet_files(folder), column)
        if newest is not None and newest >= end_ms:
            moment = dt.datetime.fromtimestamp(newest / 1000, zone.tzinfo)
            raise DataError(
                f"{folder}: column {column} goes to {moment.isoformat()}, which is after the "
                "snapshot's own day: its rows were not known then. Write them into the folder of "
                "their day"
            )


def check_lookback(pipeline: Pipeline) -> None:
    """Compare the windows of the query with `lookback_days` and with what the tables keep.

    Raises:
        ConfigurationError: a table is unknown, is given fewer days than a window reaches back, or
            forgets rows sooner.
    """
    from nightshift.data.declared import declared_tables
    from nightshift.features import lineage, ttl

    files = pipeline.features
    tables, lookback_days = files.tables, files.spec.lookback_days
    unknown = sorted(set(lookback_days) - set(tables.events))
    if unknown:
        raise ConfigurationError(
            f"lookback_days of {files.spec_file} names {', '.join(unknown)}; the event "
            f"tables of {tables.source} are {', '.join(tables.events)}"
        )
    reach = lineage.reach_of(
        files.query(),
        tables=tables,
        columns=lineage.columns_of(files.create_script(), tables, str(files.create_tables)),
        source=str(files.sql),
    )
    for table, days in sorted(reach.lookback_days().items()):
        if table in tables.events and lookback_days.get(table, 0) < days:
            raise ConfigurationError(
                f"lookback_days of {files.spec_file} gives {table} "
                f"{lookback_days.get(table, 0)} days, but a window of {files.sql} reaches back "
                f"{days}: the oldest training rows would see less history than requests do; "
                f"raise it to {days}"
            )
    declared = declared_tables(tables, files.create_script(), str(files.create_tables))
    indexes = {name: table.indexes for name, table in declared.items()}
    for need, index in ttl.forgetful(indexes, ttl.needs_of(reach, tables.label_table)):
        why, fix = ttl.forgotten(need, index, event=need.table in tables.events)
        raise ConfigurationError(f"{files.create_tables}: {need.table}: {why}; {fix}")


def _iso(days: Sequence[dt.date]) -> list[str]:
    return [day.isoformat() for day in days]


def _refuse_missing(
    data: Path,
    missing: Mapping[str, Sequence[str]],
    partitions: Mapping[str, Sequence[str]],
    *,
    allow_missing: bool,
) -> None:
    hopeless = {t: d for t, d in missing.items() if t not in partitions or not partitions[t]}
    refused = hopeless if allow_missing else missing
    if not refused:
        return
    named = "; ".join(
        f"{table}: {', '.join(days[:5])}{f' and {len(days) - 5} more' if len(days) > 5 else ''}"
        for table, days in refused.items()
    )
    fix = (
        "a table needs at least one partition"
        if allow_missing
        else "load them (`./nightshift data load`), shorten train_days, or set allow_missing"
    )
    raise PartitionMissing(f"partitions missing under {data}: {named}; {fix}")

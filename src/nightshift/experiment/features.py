"""One export of the features for all of an experiment's dates, kept and found again.

It is computed in a database of its own, by the same statements as a night's, and nothing that
serves is touched.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nightshift import files, layout
from nightshift.data.reading import parquet_files
from nightshift.errors import ConfigurationError, PartitionMissing
from nightshift.openmldb import (
    SYSTEM_DATABASE,
    OpenMLDBClient,
    deployments,
    load_data,
    quote_literal,
    quote_name,
    split_script,
)
from nightshift.openmldb.following import finish, submit_once
from nightshift.pipeline import Pipeline
from nightshift.plan import Plan, make_plan

EXPORT = "export.json"


def past_dates(pipeline: Pipeline, count: int, step_days: int, last: str | None) -> list[str]:
    """The newest dates that nights can be for, oldest first.

    Args:
        pipeline: whose requests' partitions are looked at.
        count: number of dates.
        step_days: days between two of them.
        last: the newest; the newest partition's where None.

    Raises:
        PartitionMissing: there is no partition.
    """
    table = pipeline.features.tables.request_table
    days = sorted(path.name[3:] for path in (pipeline.data / table).glob("ds=????-??-??"))
    if not days:
        raise PartitionMissing(
            f"no partition of {table} under {pipeline.data}; load some with ./nightshift data"
        )
    newest = layout.parse_date(last or days[-1])
    return sorted((newest - dt.timedelta(days=n * step_days)).isoformat() for n in range(count))


def plan_of(pipeline: Pipeline, dates: Sequence[str], train_days: int) -> Plan:
    """The plan of one export for several dates.

    Raises:
        PartitionMissing: a partition of the oldest date's training window is not there.
        ConfigurationError: the pipeline's files do not fit each other.
    """
    first, last = layout.parse_date(dates[0]), layout.parse_date(dates[-1])
    window = train_days + (last - first).days
    return make_plan(pipeline, ds=dates[-1], run_id=f"experiment-{dates[0]}", train_days=window)


def digest_of(pipeline: Pipeline, plan: Plan) -> str:
    """Hex digest of what decides an export's content: query, tables, files by size and time."""
    features = pipeline.features
    seen: list[object] = [features.query(), features.create_script()]
    for table, days in sorted(plan["partitions"].items()):
        for day in days:
            seen += _stamps(layout.partition(pipeline.data, table, dt.date.fromisoformat(day)))
    for table in features.tables.snapshots:
        seen += _stamps(pipeline.data / table)
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]


def _stamps(folder: Path) -> list[list[object]]:
    found = [(path, path.stat()) for path in parquet_files(folder)]
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in found]


def export(
    pipeline: Pipeline,
    plan: Plan,
    root: Path,
    said: Callable[[str], None] = lambda text: None,
    timeout_s: float = 6 * 3600.0,
) -> Path:
    """The folder of the features; computed where it is not there.

    Args:
        pipeline: the pipeline.
        plan: from `plan_of`.
        root: folder of exports.
        said: told what is being done.
        timeout_s: limit of all jobs together.

    Raises:
        ServiceUnavailable: OpenMLDB's API server does not answer.
        JobFailed: a load, or the query, failed.
        DeadlineExceeded: the jobs took longer than `timeout_s`.
    """
    digest = digest_of(pipeline, plan)
    folder = root / digest
    if (folder / EXPORT).is_file():
        return folder / "features"
    deadline = time.time() + timeout_s
    # Not the run's name: two experiments may export at once.
    database = f"{pipeline.owner}_exp_{digest[:8]}"
    statements = [load_data(path, table, "overwrite") for table, path in plan["sources"].items()]
    with (
        files.locked(root / f"{digest}.lock", timeout_s=timeout_s),
        OpenMLDBClient.of(pipeline.settings, timeout_s=60.0) as client,
    ):
        if (folder / EXPORT).is_file():
            return folder / "features"
        deployments.drop_database(client, database)
        try:
            client.execute(
                SYSTEM_DATABASE, f"CREATE DATABASE {quote_name(database)}", mode="onsync"
            )
            for statement in split_script(pipeline.features.create_script()):
                client.execute(database, statement, mode="onsync")
            for number, statement in enumerate(statements, 1):
                said(f"table {number} of {len(statements)}")
                _job(client, database, statement, pipeline, deadline)
            said("the query")
            with files.staged_dir(folder, replace=True) as staged:
                target = staged / "features"
                query = pipeline.features.query().rstrip().rstrip(";")
                statement = (
                    f"{query} INTO OUTFILE {quote_literal(str(target))} "
                    "OPTIONS(format='parquet', mode='overwrite')"
                )
                _job(client, database, statement, pipeline, deadline)
                if not parquet_files(target):
                    raise ConfigurationError(
                        f"the export wrote no file to {target}; does OpenMLDB write to this disk?"
                    )
                files.write_json(
                    staged / EXPORT,
                    {
                        "pipeline": pipeline.name,
                        "first_day": plan["first_day"],
                        "last_day": plan["ds"],
                        "sql_sha256": plan["sql_sha256"],
                        "partitions": plan["partitions"],
                    },
                )
        finally:
            deployments.drop_database(client, database)
    return folder / "features"


def _job(
    client: OpenMLDBClient, database: str, statement: str, pipeline: Pipeline, deadline: float
) -> None:
    """Run one offline job to its end."""
    job = submit_once(client, database, statement, "offasync")
    settle_s = pipeline.settings.openmldb_settle_s
    finish(client, job, deadline, settle_s=settle_s, poll_s=0.2)

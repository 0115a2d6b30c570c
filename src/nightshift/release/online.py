"""The online tables of a release: which database, what is in it, and which may go.

A release of other tables than the live one's has a database of its own. It is filled beside the one
that serves, and switched with the release; rows that are streamed meanwhile are carried over.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import time
from typing import Any

from nightshift import layout
from nightshift.data.declared import Declared, declared_tables
from nightshift.errors import ContractError, NightshiftError, OpenMLDBError
from nightshift.openmldb import AbstractClient, OpenMLDBClient, reconcile
from nightshift.openmldb import deployments as online
from nightshift.openmldb.loads import bring_online
from nightshift.pipeline import Pipeline
from nightshift.registry import leases, retention
from nightshift.registry.manifest import Manifest
from nightshift.registry.pointer import LivePointer, read_live

AHEAD_MS = 86_400_000
"""Rows are carried up to so long after now: clocks of clients differ."""


def of_live(pipeline: Pipeline) -> Pipeline:
    """The pipeline with the tables of what serves; as it is where nothing does, or it is older."""
    with contextlib.suppress(NightshiftError):
        live = read_live(pipeline.releases)
        if live is not None:
            return pipeline.of_release(live.release_id)
    return pipeline


def stores(client: AbstractClient, pipeline: Pipeline) -> list[Pipeline]:
    """The pipeline once for each database that holds rows of its tables, with the tables there."""
    found = {pipeline.database: pipeline}
    for folder in reversed(pipeline.store.releases()):
        with contextlib.suppress(NightshiftError):
            one = pipeline.of_release(folder.id)
            found.setdefault(one.database, one)
    there = client.databases()
    return [one for name, one in found.items() if name in there]


def carry_streamed(
    client: OpenMLDBClient, pipeline: Pipeline, source: LivePointer | None, target: Manifest
) -> dict[str, int]:
    """Bring what was streamed into one release's tables into another release's.

    Nothing is done where both share their database, or one kept no script of its tables.

    Args:
        client: the API server.
        pipeline: the releases.
        source: the release that rows were streamed to.
        target: the other one.

    Returns:
        Rows added, by table.
    """
    if source is None or source.database is None or target.features is None:
        return {}
    if source.database == target.sql.database:
        return {}
    try:
        old, new = pipeline.of_release(source.release_id), pipeline.of_release(target.release_id)
    except ContractError:
        return {}
    if source.database not in client.databases():
        return {}
    declared = _declared(new)
    return reconcile.carry(
        client,
        source.database,
        _declared(old),
        target.sql.database,
        declared,
        since={name: _after_partitions(new, table) for name, table in declared.items()},
        until_ms=int(time.time() * 1000) + AHEAD_MS,
        work=pipeline.runs / "online",
        waiting=reconcile.Waiting(settle_s=pipeline.settings.openmldb_settle_s),
    )


def make_tables(client: OpenMLDBClient, pipeline: Pipeline, manifest: Manifest) -> dict[str, Any]:
    """Fill the database of a kept release whose tables are not the live ones.

    Returns:
        What was loaded and carried; empty where it shares the live release's database.

    Raises:
        ContractError: the database is gone, and the release kept no script to make it by.
        JobFailed, RetryableError, ServiceUnavailable: as `bring_online`.
    """
    if manifest.features is None:
        return {}
    with contextlib.suppress(ContractError):
        live = read_live(pipeline.releases)
        if live is not None and live.database == manifest.sql.database:
            return {}
    there = manifest.sql.database in client.databases()
    try:
        own = pipeline.of_release(manifest.release_id)
    except ContractError as error:
        if there:
            return {}
        raise ContractError(
            f"database {manifest.sql.database} of {manifest.release_id} is gone, and {error}; run "
            "its date again with the query and the tables of then"
        ) from error
    live = None
    with contextlib.suppress(ContractError):
        live = read_live(pipeline.releases)
    ds = max(manifest.ds, live.ds) if live is not None else manifest.ds
    found = bring_online(client, own, ds=ds)
    return {"loads": found["loads"], "carried": carry_streamed(client, pipeline, live, manifest)}


def drop_unneeded(
    client: AbstractClient, pipeline: Pipeline, *, run_token: str | None = None
) -> list[str]:
    """Drop databases of tables that no live, kept or working release uses; those dropped.

    Args:
        client: the API server.
        pipeline: its releases.
        run_token: the calling run; while another one fills a database, none is dropped.

    Raises:
        ServiceUnavailable: the server does not answer.
    """
    if not pipeline.has_features:
        return []
    store = pipeline.store
    live = read_live(store.root)
    stays = set(
        retention.kept(
            retention.known(store),
            live.release_id if live else None,
            pipeline.config.keep_releases,
        )
    )
    working = leases.active(store, but=run_token)
    if any(not lease.release_id for lease in working):
        return []
    stays |= {str(lease.release_id) for lease in working}
    needed = {pipeline.database, *([live.database] if live is not None else [])}
    if live is not None:
        needed |= {pair.database for pair in live.warm(dt.datetime.now(dt.timezone.utc))}
    ours = set()
    for folder in store.releases():
        with contextlib.suppress(ContractError):
            manifest = folder.manifest()
            if manifest.features is None:
                continue
            ours.add(manifest.sql.database)
            if folder.id in stays:
                needed.add(manifest.sql.database)
    first = re.escape(pipeline.config.database or pipeline.owner)
    dropped = []
    for name in client.databases():
        own = re.fullmatch(rf"{first}_[0-9a-f]{{8}}", name) or (
            name in ours and name == pipeline.owner
        )
        if not own or name in needed:
            continue
        with contextlib.suppress(OpenMLDBError):  # a job still writes to it: the next night
            online.drop_database(client, name)
            dropped.append(name)
    for name in dropped:
        (pipeline.runs / f"online.{name}.json").unlink(missing_ok=True)
    return dropped


def _declared(pipeline: Pipeline) -> dict[str, Declared]:
    files = pipeline.features
    return declared_tables(files.tables, files.create_script(), str(files.create_tables))


def _after_partitions(pipeline: Pipeline, table: Declared) -> int:
    """End of a table's newest partition: what is younger can only have been streamed."""
    days = sorted((pipeline.data / table.name).glob("ds=????-??-??"))
    if table.time is None:
        return int(time.time() * 1000) + AHEAD_MS
    if not days:
        return 0
    return table.zone.end_ms(layout.parse_date(days[-1].name[3:]))

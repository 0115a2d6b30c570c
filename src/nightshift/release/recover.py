"""Cleaning up what dead runs left half done; the first release task of every run."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import Any

from nightshift import files, triton
from nightshift.errors import ContractError, OpenMLDBError
from nightshift.night import Servers
from nightshift.openmldb import AbstractClient
from nightshift.openmldb import deployments as online
from nightshift.pipeline import Pipeline
from nightshift.registry import leases, pointer, retention
from nightshift.registry.names import is_workspace_of
from nightshift.registry.store import ReleaseStore, now
from nightshift.release import candidate
from nightshift.release import online as tables
from nightshift.release.switch import retire
from nightshift.serving import pair
from nightshift.triton import TritonControl

STAGING_AGE_S = 3600.0
"""A staging folder that nobody wrote to for so long has no living writer."""


def recover(servers: Servers, pipeline: Pipeline, *, run_token: str | None) -> dict[str, Any]:
    """Bring everything back to: the live release, the kept ones, and runs at work.

    Idempotent; killed in the middle, the next call goes on.

    Args:
        servers: OpenMLDB and Triton.
        pipeline: its releases, folders and names.
        run_token: the calling run, whose lease is open already.

    Returns:
        The report `recover`: what was found and repaired.

    Raises:
        ServiceUnavailable: a server does not answer.
        ContractError: the live pointer is broken; the message says how to repair it.
    """
    store = pipeline.store
    if store.root.is_dir():
        pointer.complete_log(store.root)
    swept = _sweep(pipeline)
    dead = _judge_the_dead(store)
    retired = retire(servers, pipeline, run_token=None)
    removed = retention.run(pipeline)
    databases, strangers = _drop_databases(servers.openmldb, pipeline)
    databases += tables.drop_unneeded(servers.openmldb, pipeline, run_token=run_token)
    revived, warnings = _revive_live(servers.triton, pipeline)
    return {
        "check": "recover",
        "status": "pass",
        "failures": [],
        "warnings": [*warnings, *map(_how_to_drop, strangers)],
        "live": retired["live"],
        "versions_revived": revived,
        "staging_swept": swept,
        "candidates_rejected": dead,
        "deployments_dropped": retired["deployments_dropped"],
        "versions_unpinned": retired["versions_unpinned"],
        "databases_dropped": databases,
        "retention": removed,
    }


def _revive_live(control: TritonControl, pipeline: Pipeline) -> tuple[list[int], list[str]]:
    """Load the live version anew if it does not answer; a damaged one must not stop the night."""
    live = pointer.read_live(pipeline.releases)
    if live is None:
        return [], []
    try:
        revived = triton.revive(
            control,
            pipeline.model_repo,
            live.model,
            [live.model_version],
            device=pipeline.settings.task_device,
            serving=pair.serving_options(pipeline),
        )
    except ContractError as error:
        return [], [f"the live release {live.release_id} does not answer in Triton: {error}"]
    return revived, []


def _sweep(pipeline: Pipeline) -> list[str]:
    store = pipeline.store
    folders = [
        store.root,
        pipeline.model_repo / pipeline.model,
        *(folder.root for folder in store.releases()),
        *(path for _, path in retention.run_folders(pipeline.runs)),
    ]
    gone: list[Path] = []
    for folder in folders:
        gone += files.sweep_staging(folder, older_than_s=STAGING_AGE_S)
    return [str(path) for path in gone]


def _judge_the_dead(store: ReleaseStore) -> list[str]:
    """A candidate without a verdict whose run is dead gets one, so that the list tells why.

    So does a run that died before it had a candidate; its lease is closed, so that it is told once.
    """
    told = {e.get("run_id") for e in store.events() if e["event"] == "rejected"}
    for lease in leases.read_all(store).values():
        if lease.release_id or lease.closed or lease.active(time.time()):
            continue
        if lease.run_id not in told:
            candidate.log_rejection(
                store, ds=lease.ds, run_id=lease.run_id,
                reasons=["its run ended before there was a candidate"],
            )  # fmt: skip
        leases.close(store, lease.run_token)
    working = {lease.release_id for lease in leases.active(store)}
    dead = []
    for folder in store.releases():
        if folder.verdict_path.exists() or folder.id in working:
            continue
        reason = "its run ended before the gates had judged it"
        files.write_json(
            folder.verdict_path,
            {"accepted": False, "reasons": [reason], "warnings": [], "checks": {}, "at": now()},
        )
        store.log("rejected", release_id=folder.id, reasons=[reason])
        dead.append(folder.id)
    return dead


def _drop_databases(client: AbstractClient, pipeline: Pipeline) -> tuple[list[str], list[str]]:
    """Drop databases of dead runs; those dropped, and those that nobody is known to own."""
    if not pipeline.has_features:
        return [], []
    store = pipeline.store
    needed = {lease.workspace for lease in leases.active(store) if lease.workspace}
    needed |= {f"{name}_check" for name in needed}
    names = [name for name in client.databases() if name not in needed]
    adopted, strangers = _legacy_workspaces(store, names)
    dropped = []
    for name in names:
        if not is_workspace_of(pipeline.owner, name) and name not in adopted:
            continue
        try:
            online.drop_database(client, name)
        except OpenMLDBError:
            continue  # a job of a dead run still writes to it: the next night drops it
        dropped.append(name)
    return dropped, strangers


def _legacy_workspaces(store: ReleaseStore, names: list[str]) -> tuple[list[str], list[str]]:
    """Run databases named `<database>_<date>_<token>`, as before names had owners.

    Returns:
        Those of runs that a manifest or lease of this store knows, and those of unknown runs.
    """
    databases = set[str]()
    tokens = {lease.run_token for lease in leases.read_all(store).values()}
    for folder in store.releases():
        with contextlib.suppress(ContractError):
            manifest = folder.manifest()
            if manifest.installation is None and manifest.features is not None:
                databases.add(manifest.sql.database)
                tokens.add(manifest.run.token)
    adopted: list[str] = []
    strangers: list[str] = []
    for name in names:
        for database in databases:
            match = re.fullmatch(rf"{re.escape(database)}_\d{{8}}_([0-9a-f]{{8}})(_check)?", name)
            if match:
                (adopted if match[1] in tokens else strangers).append(name)
    return adopted, strangers


def _how_to_drop(name: str) -> str:
    return (
        f"database {name} was left by a run of an earlier version that this installation does not "
        "know; docs/how-to/upgrade.md says how to drop it"
    )

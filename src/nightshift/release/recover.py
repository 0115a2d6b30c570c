"""Cleaning up what dead runs left half done; the first release task of every run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from nightshift import files, model_repository
from nightshift.errors import OpenMLDBError
from nightshift.openmldb import AbstractClient
from nightshift.release import leases, online, pointer, retention
from nightshift.release.store import ReleaseStore, now
from nightshift.release.switch import retire
from nightshift.settings import Settings
from nightshift.triton import TritonControl

RUN_GRACE_S = 48 * 3600.0
"""A run that ended without closing its lease keeps its folder so long: its tasks may be cleared
and run again."""

STAGING_AGE_S = 3600.0
"""A staging folder that nobody wrote to for so long has no living writer."""


def recover(
    client: AbstractClient, control: TritonControl, settings: Settings, *, run_token: str | None
) -> dict[str, Any]:
    """Bring everything back to: the live release, the kept ones, and runs at work.

    Idempotent; killed in the middle, the next call goes on.

    Args:
        client: the API server.
        control: Triton.
        settings: folders and names.
        run_token: the calling run, whose lease is open already.

    Returns:
        The report `recover`: what was found and mended.

    Raises:
        ServiceUnavailable: a server does not answer.
        ContractError: the live pointer is broken; the message says how to mend it.
    """
    store = ReleaseStore(settings.releases)
    if store.root.is_dir():
        pointer.complete_log(store.root)
    swept = _sweep(store, settings)
    dead = _judge_the_dead(store)
    retired = retire(client, control, settings, run_token=None)
    removed = tidy(store, settings)
    databases = _drop_databases(client, store, settings)
    return {
        "check": "recover",
        "status": "pass",
        "failures": [],
        "warnings": [],
        "live": retired["live"],
        "staging_swept": swept,
        "candidates_rejected": dead,
        "deployments_dropped": retired["deployments_dropped"],
        "versions_unpinned": retired["versions_unpinned"],
        "databases_dropped": databases,
        "retention": removed,
    }


def tidy(store: ReleaseStore, settings: Settings) -> dict[str, Any]:
    """Retention, as `Settings.keep_releases` says, sparing runs at work.

    Raises:
        LockHeld: a switch is under way.
    """
    live = pointer.read_live(store.root)
    every = leases.read_all(store)
    at = time.time()
    working = [lease for lease in every.values() if lease.active(at)]
    resting = {
        token
        for token, lease in every.items()
        if not lease.closed and at < lease.expires_at + RUN_GRACE_S
    }
    runs = retention.run_folders(settings.runs)
    resting |= {
        token
        for token, path in runs
        if token not in every and at - path.stat().st_mtime < RUN_GRACE_S
    }
    removal = retention.plan(
        retention.known(store),
        live=live.release_id if live else None,
        keep=settings.keep_releases,
        protected={lease.release_id for lease in working if lease.release_id},
        versions=model_repository.versions(settings.model_repo, settings.model),
        protected_versions={v for lease in working for v in lease.versions},
        runs=runs,
        protected_runs={lease.run_token for lease in working} | resting,
    )
    value = retention.apply(store, removal, repo=settings.model_repo, model=settings.model)
    there = {token for token, _ in retention.run_folders(settings.runs)}
    for token, lease in every.items():
        if token not in there and not lease.active(at) and token not in resting:
            leases.forget(store, token)
    return value


def _sweep(store: ReleaseStore, settings: Settings) -> list[str]:
    folders = [
        store.root,
        settings.model_repo / settings.model,
        *(folder.root for folder in store.releases()),
        *(path for _, path in retention.run_folders(settings.runs)),
    ]
    gone: list[Path] = []
    for folder in folders:
        gone += files.sweep_staging(folder, older_than_s=STAGING_AGE_S)
    return [str(path) for path in gone]


def _judge_the_dead(store: ReleaseStore) -> list[str]:
    """A candidate without a verdict whose run is dead gets one, so that the list tells why."""
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


def _drop_databases(client: AbstractClient, store: ReleaseStore, settings: Settings) -> list[str]:
    needed = {lease.workspace for lease in leases.active(store) if lease.workspace}
    needed |= {f"{name}_check" for name in needed}
    dropped = []
    for name in client.databases():
        if not online.is_workspace(settings.database, name) or name in needed:
            continue
        try:
            online.drop_database(client, name)
        except OpenMLDBError:
            continue  # a job of a dead run still writes to it: the next night drops it
        dropped.append(name)
    return dropped

"""Retention: the live release and the previous N stay, everything else goes.

`plan` decides, purely; `apply` does. "Previous" are the releases that served before, the last
served first. Accepted releases that never served (backfills) are kept too, the N newest dates:
a later `promote=force` or rollback can still choose them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightshift import files
from nightshift.errors import ContractError
from nightshift.pipeline import Pipeline
from nightshift.registry import leases
from nightshift.registry.pointer import read_live
from nightshift.registry.store import ReleaseStore
from nightshift.triton import repository as model_repository

RUN_GRACE_S = 48 * 3600.0
"""The folder of a run that gave no accepted release stays so long after its end, to be looked
into, or for its tasks to be cleared and run again."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What retention knows of one release."""

    release_id: str
    ds: str
    version: int
    accepted: bool
    has_model: bool = True
    last_live: int | None = None
    """Sequence number of its last switch, None if it never served."""
    run_token: str = ""
    broken: bool = False
    """Its files do not hold: it is neither kept nor taken, a person has to look."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What goes; `kept` is what stays restorable."""

    live: str | None
    kept: tuple[str, ...]
    releases: tuple[str, ...]
    versions: tuple[int, ...]
    runs: tuple[Path, ...] = field(default=())


def kept(releases: Iterable[Known], live: str | None, keep: int) -> list[str]:
    """Releases that a rollback can restore, beside the live one, the likeliest first."""
    usable = [r for r in releases if r.accepted and r.has_model and not r.broken]
    usable = [r for r in usable if r.release_id != live]
    served = sorted(
        (r for r in usable if r.last_live is not None),
        key=lambda r: (r.last_live or 0, r.version),
        reverse=True,
    )
    waiting = sorted(
        (r for r in usable if r.last_live is None), key=lambda r: r.version, reverse=True
    )
    return [r.release_id for r in (*served[:keep], *waiting[:keep])]


def plan(
    releases: Sequence[Known],
    *,
    live: str | None,
    keep: int,
    protected: Collection[str] = (),
    versions: Collection[int] = (),
    protected_versions: Collection[int] = (),
    runs: Iterable[tuple[str, Path]] = (),
    protected_runs: Collection[str] = (),
) -> Removal:
    """Decide what goes.

    Args:
        releases: every release known.
        live: the live one.
        keep: how many previous releases stay.
        protected: releases of runs at work.
        versions: versions in Triton's repository.
        protected_versions: versions of runs at work.
        runs: (run token, folder) of every run folder.
        protected_runs: tokens of runs at work or not over for long.

    Returns:
        The removal; it never names what is live, kept or protected.
    """
    stays = kept(releases, live, keep)
    staying = {*stays, *protected, *([live] if live else [])}
    staying |= {r.release_id for r in releases if r.broken}
    of = {r.release_id: r for r in releases}
    needed = {of[i].version for i in staying if i in of} | set(protected_versions)
    tokens = {of[i].run_token for i in staying if i in of} | set(protected_runs)
    return Removal(
        live=live,
        kept=tuple(stays),
        releases=tuple(
            r.release_id for r in releases if r.release_id not in staying and r.has_model
        ),
        versions=tuple(sorted(v for v in versions if v not in needed)),
        runs=tuple(path for token, path in runs if token not in tokens),
    )


def known(store: ReleaseStore) -> list[Known]:
    """What the release folder holds."""
    last_live = {
        e["release_id"]: int(e["sequence"]) for e in store.events() if e["event"] == "switched"
    }
    found = []
    for folder in store.releases():
        broken, token, accepted = False, "", False
        try:
            token, accepted = folder.manifest().run.token, folder.accepted
        except ContractError:
            broken = True
        found.append(
            Known(
                release_id=folder.id,
                ds=folder.id[:10],
                version=int(folder.id.replace("-", "").replace(".", "")),
                accepted=accepted,
                has_model=folder.model.is_dir(),
                last_live=last_live.get(folder.id),
                run_token=token,
                broken=broken,
            )
        )
    return found


def run_folders(runs: Path) -> list[tuple[str, Path]]:
    """(run token, folder) of every `<runs>/<ds>/<token>`."""
    return [(path.name, path) for path in sorted(runs.glob("????-??-??/*")) if path.is_dir()]


def apply(
    store: ReleaseStore, removal: Removal, *, repo: Path, models: Mapping[str, Collection[int]]
) -> dict[str, Any]:
    """Do it, with the switch lock held since it was planned, so that nothing of it goes live.

    A kill leaves each thing whole or gone, and the next call goes on. A version that is pinned
    stays: Triton may serve it, and recovery unpins first.

    Args:
        store: the pipeline's releases.
        removal: what goes.
        repo: Triton's model repository.
        models: the pipeline's versions there, by model; no other version is touched.

    Returns:
        Figures: what went, and the bytes freed.
    """
    freed = 0
    removed = set()
    for model, own in models.items():
        pinned = set(model_repository.pins(repo, model))
        for version in removal.versions:
            if version in pinned or version not in own:
                continue
            freed += _size(model_repository.version_folder(repo, model, version))
            model_repository.remove_version(repo, model, version)
            removed.add(version)
    for release_id in removal.releases:
        folder = store.folder(release_id)
        freed += _size(folder.model) + _size(folder.recommend) + _size(folder.judged)
        model_repository.put_away(folder.recommend)
        model_repository.put_away(folder.judged)
        if model_repository.put_away(folder.model):
            store.log("removed", release_id=release_id)
    for path in removal.runs:
        freed += _size(path)
        model_repository.put_away(path)
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # the date's folder, if this was its last run
    return {
        "kept": list(removal.kept),
        "live": removal.live,
        "removed_releases": list(removal.releases),
        "removed_versions": sorted(removed),
        "removed_runs": [str(path) for path in removal.runs],
        "bytes_freed": freed,
    }


def run(pipeline: Pipeline) -> dict[str, Any]:
    """Retention, as the pipeline's `keep_releases` says, sparing runs at work.

    Planned and done under the switch lock: what a switch or a rollback makes live meanwhile could
    else be what goes.

    Raises:
        LockHeld: a switch is under way.
    """
    with files.locked(pipeline.store.lock_path):
        return _run(pipeline)


def _run(pipeline: Pipeline) -> dict[str, Any]:
    store = pipeline.store
    live = read_live(store.root)
    every = leases.read_all(store)
    at = time.time()
    working = [lease for lease in every.values() if lease.active(at)]
    now = dt.datetime.fromtimestamp(at, dt.timezone.utc)
    beside = live.warm(now) if live is not None else []
    there = known(store)
    accepted = {item.release_id for item in there if item.accepted}
    resting = {
        token
        for token, lease in every.items()
        if at < lease.expires_at + RUN_GRACE_S
        and not (lease.closed and lease.release_id in accepted)
    }
    runs = run_folders(pipeline.runs)
    resting |= {
        token
        for token, path in runs
        if token not in every and at - path.stat().st_mtime < RUN_GRACE_S
    }
    repo, models = pipeline.model_repo, versions_of(pipeline)
    removal = plan(
        there,
        live=live.release_id if live else None,
        keep=pipeline.config.keep_releases,
        protected={lease.release_id for lease in working if lease.release_id}
        | {pair.release_id for pair in beside},
        versions=sorted({version for own in models.values() for version in own}),
        protected_versions={v for lease in working for v in lease.versions}
        | {pair.model_version for pair in beside},
        runs=runs,
        protected_runs={lease.run_token for lease in working} | resting,
    )
    value = apply(store, removal, repo=repo, models=models)
    left = {token for token, _ in run_folders(pipeline.runs)}
    for token, lease in every.items():
        if token not in left and not lease.active(at) and token not in resting:
            leases.forget(store, token)
    return value


def versions_of(pipeline: Pipeline) -> dict[str, set[int]]:
    """The pipeline's versions in Triton's repository, by model: its own and older releases' models.

    A model that another pipeline or installation owns is left out. A model made before models
    had owners may hold versions of several installations: of it, only the versions that the
    pipeline's releases name are the pipeline's.
    """
    repo = pipeline.model_repo
    named: dict[str, set[int]] = {pipeline.model: set()}
    for folder in pipeline.store.releases():
        with contextlib.suppress(ContractError):
            model = folder.manifest().model
            named.setdefault(model.name, set()).add(model.version)
    found = {}
    for name, versions in sorted(named.items()):
        owner = model_repository.owner_of(repo, name)
        there = set(model_repository.versions(repo, name))
        there |= set(model_repository.pins(repo, name))
        if owner is None:
            found[name] = there & versions
        elif owner == pipeline.owner:
            found[name] = there
    return found


def _size(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file())

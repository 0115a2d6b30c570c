"""The switch: pointer, probe, and the old pair's retirement.

The order of a release is: deploy the SQL, load the online data, load the model, switch the
pointer, probe through the predict server, retire the old. Every step may be repeated; whatever
step a kill ends at, what the pointer names is a pair that was whole and answering when it was
named, and the old pair stays until the new one has answered a client's request.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Sequence
from typing import Any

from nightshift import files, triton
from nightshift.contract.golden import Golden
from nightshift.contract.signature import ModelSignature
from nightshift.errors import ContractError, NightshiftError, TerminalError
from nightshift.night import Servers
from nightshift.openmldb import AbstractClient
from nightshift.openmldb import deployments as online
from nightshift.pipeline import Pipeline
from nightshift.recommend import artefact
from nightshift.registry import leases, pointer
from nightshift.registry.manifest import Manifest
from nightshift.registry.names import is_deployment_of
from nightshift.registry.pointer import LivePointer, Promote
from nightshift.registry.retention import versions_of
from nightshift.registry.store import ReleaseFolder, ReleaseStore, moment_of
from nightshift.release.online import carry_streamed
from nightshift.serving import pair, probe
from nightshift.serving.access import predict_access
from nightshift.triton import TritonControl
from nightshift.triton import repository as model_repository

Requests = Callable[[Sequence[str]], list[list[Any]]]
"""Gives request rows with the columns asked for."""


def switch(
    servers: Servers,
    pipeline: Pipeline,
    release: str,
    *,
    requests: Requests,
    promote: Promote = "newer",
    reason: str = "promotion",
    actor: str = "unknown",
    probe_deadline_s: float = 30.0,
) -> dict[str, Any]:
    """Make a release live and see it answer through the predict server; else go back.

    Args:
        servers: OpenMLDB and Triton.
        pipeline: its releases, and the predict server's address.
        release: an accepted release; its pair is deployed and loaded again if it is not.
        requests: rows for the probe.
        promote: "newer" leaves a release that is not newer than the live one unpromoted,
            which is not an error; "force" does not ask.
        reason: for the log.
        actor: for the log.
        probe_deadline_s: how long the predict server may take to follow.

    Returns:
        The report `switch`: switched (bool), why not, live and previous release, seconds.

    Raises:
        ReleaseRejected: the pair is not ready; nothing changed.
        ContractError: the pair cannot be made again, and nothing changed; or the probe was not answered by the new release; the old one is live again.
        ServiceUnavailable: a server does not answer; the old release is live.
    """
    store = pipeline.store
    live = live_or_none(store, force=promote == "force")
    folder = store.folder(release)
    manifest = folder.manifest()
    compared = manifest.champion.release_id if manifest.champion else None
    refusal = pointer.reason_not_to_promote(live, manifest.ds, promote)
    if refusal and not (live and live.release_id == release):
        return _report(switched=False, why=refusal, live=live.release_id if live else None)
    probe.alive(pipeline.settings.predict_url, access=predict_access(pipeline.settings))

    def ready(folder: ReleaseFolder, manifest: Manifest) -> Sequence[str]:
        return pair.problems(servers.openmldb, servers.triton, folder, manifest)

    if ready(folder, manifest):
        # An approval may have come after the run's lease had run out: make the pair again.
        pair.make(servers.openmldb, servers.triton, pipeline, folder, manifest)
    carried = [carry_streamed(servers.openmldb, pipeline, live, manifest)]
    started = time.monotonic()
    new = pointer.switch_live(
        pipeline.releases,
        release,
        probe=ready,
        promote=promote,
        reason=reason,
        actor=actor,
        champion=compared if promote == "newer" else pointer.ANY,
        warm_s=0.0 if _is_back(reason) else pipeline.config.live.shadow.hours * 3600.0,
    )
    switched_s = time.monotonic() - started
    try:
        answer = _probe(servers, pipeline, folder, new, requests, probe_deadline_s)
        # What came between the first look and the predict server's following.
        carried.append(carry_streamed(servers.openmldb, pipeline, live, manifest))
    except NightshiftError as error:
        back = _go_back(servers, pipeline, new, error)
        raise type(error)(
            f"{release} was live and failed the probe: {error}; {back or 'no release'} serves"
        ) from error
    return _report(
        switched=True,
        why=None,
        live=new.release_id,
        previous=new.previous,
        sequence=new.sequence,
        switch_s=round(switched_s, 4),
        probe_s=round(time.monotonic() - started - switched_s, 4),
        probed=answer,
        carried=[rows for rows in carried if rows],
    )


def _is_back(reason: str) -> bool:
    """What a rollback or withdrawal replaces is not kept: it was not good enough."""
    return reason == "rollback" or reason.startswith(pointer.WITHDRAWAL)


def live_or_none(store: ReleaseStore, *, force: bool) -> LivePointer | None:
    """The live release; a broken pointer counts as none where `force` repairs it."""
    try:
        return pointer.read_live(store.root)
    except ContractError:
        if not force:
            raise
        return None


def _report(**figures: Any) -> dict[str, Any]:
    return {"check": "switch", "status": "pass", "failures": [], "warnings": [], **figures}


def _probe(
    servers: Servers,
    pipeline: Pipeline,
    folder: ReleaseFolder,
    live: LivePointer,
    requests: Requests,
    deadline_s: float,
) -> dict[str, Any]:
    url, access = pipeline.settings.predict_url, predict_access(pipeline.settings)
    if live.database is None or live.deployment is None:
        signature = ModelSignature.load(folder.model)
        golden = Golden.load(folder.model, signature)
        answer = probe.infers_by(
            url,
            pipeline.name,
            live.release_id,
            golden,
            signature,
            deadline_s=deadline_s,
            access=access,
        )
        found: dict[str, Any] = {"rows": golden.rows}
    else:
        info = servers.openmldb.deployment(live.database, live.deployment)
        columns = [name for name, _ in info.input_schema]
        rows = [dict(zip(columns, row, strict=True)) for row in requests(columns)]
        answer = probe.answers_by(
            url, pipeline.name, live.release_id, rows, deadline_s=deadline_s, access=access
        )
        found = {"rows": len(rows), "first": answer["predictions"][0]}
        if folder.recommend.is_dir() and rows:
            found["recommended"] = probe.recommends_by(
                url,
                pipeline.name,
                live.release_id,
                rows[0].get(artefact.read_card(folder.recommend)["options"]["user"]),
                deadline_s=deadline_s,
                access=access,
            )["recommendations"]
    named = (answer.get("deployment"), answer.get("model_version"))
    if named != (live.deployment, live.model_version):
        raise ContractError(
            f"the predict server answers by {live.release_id} and names {named}, not "
            f"{(live.deployment, live.model_version)}"
        )
    return found


def _go_back(
    servers: Servers, pipeline: Pipeline, failed: LivePointer, why: NightshiftError
) -> str | None:
    """Point at the release that served before; it was not retired yet."""
    store = pipeline.store
    store.log("probe failed", release_id=failed.release_id, reasons=[str(why)])
    if isinstance(why, TerminalError):
        folder = store.folder(failed.release_id)
        files.write_json(
            folder.verdict_path,
            {**(folder.verdict() or {}), "accepted": False, "reasons": [f"probe: {why}"]},
        )
    if failed.previous is None:
        pointer.withdraw(pipeline.releases, failed.release_id)
        return None
    back = pointer.switch_live(
        pipeline.releases,
        failed.previous,
        probe=lambda folder, manifest: pair.problems(
            servers.openmldb, servers.triton, folder, manifest
        ),
        promote="force",
        reason="probe failed",
        actor=f"the switch to {failed.release_id}",
    )
    return back.release_id


def retire(
    servers: Servers,
    pipeline: Pipeline,
    *,
    run_token: str | None,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """After the grace time, take down every pair that neither serves nor is being rehearsed.

    A pair that scores in shadow, or answers as a canary, stays. Only what this pipeline of this
    installation made is looked at: other pipelines and other installations may share the servers. A kept release keeps its files and is loaded again by a
    rollback; it is not kept in memory.

    Args:
        servers: OpenMLDB and Triton.
        pipeline: its releases and names.
        run_token: the calling run, whose own candidate is not spared any more; None spares all.
        sleep: waits out the grace time.

    Returns:
        The report `retire`: what serves, and what went.

    Raises:
        ServiceUnavailable: a server does not answer.
        LockHeld: a publication or a switch is under way.
    """
    store = pipeline.store
    live = pointer.read_live(store.root)
    if live is not None:
        sleep(max(0.0, _grace_left(live, pipeline.settings.retire_grace_s)))
    # Under the switch lock: what a rollback or another night makes live meanwhile must not go.
    with (
        files.locked(store.root / ".triton.lock", timeout_s=300.0),
        files.locked(store.lock_path),
    ):
        live = pointer.read_live(store.root)
        working = leases.active(store, but=run_token)
        beside = live.warm(dt.datetime.now(dt.timezone.utc)) if live is not None else []
        versions = {v for x in working for v in x.versions} | {x.model_version for x in beside}
        unpinned = _unpin(servers.triton, pipeline, live, versions)
        needed = {name for lease in working for name in lease.deployments}
        needed |= {pair.deployment for pair in beside if pair.deployment is not None}
        dropped = _drop_deployments(servers.openmldb, pipeline, needed, live)
    for name in dropped:
        store.log("retired", deployment=name)
    for version in unpinned:
        store.log("retired", model_version=version)
    return {
        "check": "retire",
        "status": "pass",
        "failures": [],
        "warnings": [],
        "live": live.release_id if live else None,
        "deployments_dropped": dropped,
        "versions_unpinned": unpinned,
    }


def _drop_deployments(
    client: AbstractClient, pipeline: Pipeline, needed: set[str], live: LivePointer | None
) -> list[str]:
    if not pipeline.has_features:
        return []
    there = client.databases()
    dropped = []
    for database, known in _own_databases(pipeline).items():
        if database not in there:
            continue
        serving = live.deployment if live is not None and live.database == database else None
        for name in client.deployments(database):
            own = is_deployment_of(pipeline.owner, name) or name in known
            if own and name not in needed and name != serving:
                online.drop_deployment(client, database, name)
                dropped.append(name)
    return dropped


def _own_databases(pipeline: Pipeline) -> dict[str, set[str]]:
    """Databases of the pipeline's releases, each with the deployments that served from it.

    A deployment made before names had owners counts as ours only where a pointer of ours named
    it: another installation on the same cluster may have given the same name.
    """
    found: dict[str, set[str]] = {pipeline.database: set()}
    store = pipeline.store
    switched = {e.get("release_id") for e in store.events() if e["event"] == "switched"}
    for folder in store.releases():
        with contextlib.suppress(ContractError):
            manifest = folder.manifest()
            if manifest.features is not None and folder.id in switched:
                found.setdefault(manifest.sql.database, set()).add(manifest.sql.deployment)
    return found


def _grace_left(live: LivePointer, grace_s: float) -> float:
    since = moment_of(live.switched_at)
    # A clock that was set back makes it look as if the switch were still to come.
    return min(grace_s, grace_s - (dt.datetime.now(dt.timezone.utc) - since).total_seconds())


def _unpin(
    control: TritonControl, pipeline: Pipeline, live: LivePointer | None, working: set[int]
) -> list[int]:
    gone: set[int] = set()
    for model, own in versions_of(pipeline).items():
        serving = live.model_version if live is not None and live.model == model else None
        gone |= set(_unpin_model(control, pipeline, model, own, serving, working))
    return sorted(gone)


def _unpin_model(
    control: TritonControl,
    pipeline: Pipeline,
    model: str,
    own: set[int],
    serving: int | None,
    working: set[int],
) -> list[int]:
    repo = pipeline.model_repo
    pinned = model_repository.pins(repo, model)
    there = set(model_repository.versions(repo, model))
    # Versions of another installation, in a model made before models had owners, stay pinned.
    wanted = {v for v in pinned if v in there and (v in working or v not in own)}
    if serving in there:
        wanted.add(serving)
    gone = sorted(set(pinned) - wanted)
    if not wanted:
        if pinned:
            # A model with no version to serve: unloaded, its file of pins put away.
            control.unload(model)
            model_repository.config_path(repo, model).unlink(missing_ok=True)
        return gone
    if set(pinned) != wanted:
        triton.pin(
            control,
            repo,
            model,
            wanted,
            device=pipeline.settings.task_device,
            serving=pair.serving_options(pipeline),
        )
    return gone

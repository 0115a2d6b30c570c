"""Going back to a kept release: its deployment and model made again if they were retired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nightshift import files
from nightshift.errors import ContractError, NightshiftError, ReleaseRejected, TerminalError
from nightshift.layout import run_token
from nightshift.night import Servers, servers
from nightshift.pipeline import Pipeline
from nightshift.recommend import artefact
from nightshift.registry import leases
from nightshift.registry.names import sql_hash
from nightshift.registry.pointer import WITHDRAWAL, LivePointer, complete_log
from nightshift.registry.store import ReleaseFolder, ReleaseStore
from nightshift.release.online import make_tables
from nightshift.release.switch import Requests, live_or_none, retire, switch
from nightshift.serving import pair


def served(store: ReleaseStore) -> list[str]:
    """Releases as a stack of what served: the live one last, below it what a rollback goes to.

    A promotion is put on top; a rollback takes off what lies above the release it goes back
    to, so that two rollbacks go two releases back rather than there and back again.
    """
    stack: list[str] = []
    for event in store.events():
        if event["event"] == "withdrawn":
            stack = [name for name in stack if name != event["release_id"]]
        if event["event"] != "switched":
            continue
        name = str(event["release_id"])
        reason = str(event.get("reason"))
        back = reason in ("rollback", "probe failed") or reason.startswith(WITHDRAWAL)
        if back and name in stack:
            stack = stack[: stack.index(name) + 1]
        else:
            stack = [*(other for other in stack if other != name), name]
    return stack


def choose(store: ReleaseStore, release: str | None) -> ReleaseFolder:
    """The release to go back to: the one named, or the newest kept one that served before.

    Raises:
        ReleaseRejected: there is none, or the one named cannot be restored; tells why.
    """
    live = live_or_none(store, force=True)
    if release:
        folder = store.folder(release)
        reasons = obstacles(folder, live)
        if reasons:
            raise ReleaseRejected(f"{release} cannot be restored: {'; '.join(reasons)}")
        return folder
    tried = []
    for name in reversed(served(store)):
        if live is not None and name == live.release_id:
            continue
        folder = store.folder(name)
        reasons = obstacles(folder, live)
        if not reasons:
            return folder
        tried.append(f"{name}: {'; '.join(reasons)}")
    raise ReleaseRejected(
        "there is no previous release to go back to"
        + (f" ({' | '.join(tried)})" if tried else ": none served before the live one")
        + "; ./nightshift releases lists what is kept"
    )


def obstacles(folder: ReleaseFolder, live: LivePointer | None) -> list[str]:
    """Why a release cannot be restored from its folder; empty where it can."""
    if not folder.manifest_path.is_file():
        return [f"{folder.manifest_path} is not there; ./nightshift releases lists them"]
    try:
        manifest = folder.manifest()
        verdict = folder.verdict()
    except NightshiftError as error:
        return [str(error)]
    reasons = []
    if live is not None and live.release_id == folder.id:
        reasons.append("it is live already")
    if verdict is None or not verdict["accepted"]:
        why = "; ".join(map(str, (verdict or {}).get("reasons", []))) or "it was not judged"
        reasons.append(f"the gates rejected it ({why})")
    if not folder.model.is_dir():
        reasons.append("retention removed its model; run its date again with promote=force")
    elif files.sha256_tree(folder.model) != manifest.model.sha256:
        reasons.append(f"{folder.model} was changed after its manifest was written")
    if manifest.recommend is not None:
        try:
            artefact.check(folder.recommend, manifest.recommend.sha256)
        except ContractError as error:
            reasons.append(str(error))
    if manifest.features is None:
        return reasons
    for path, digest, hashed in (
        (folder.sql, manifest.sql.sha256, lambda p: sql_hash(p.read_text())),
        (folder.spec, manifest.feature_spec.sha256, files.sha256_file),
    ):
        if not path.is_file():
            reasons.append(f"{path} is not there")
        elif hashed(path) != digest:
            reasons.append(f"{path} was changed after its manifest was written")
    return reasons


def roll_back(
    release: str | None,
    pipeline: Pipeline,
    *,
    run_id: str,
    actor: str = "unknown",
    reason: str = "rollback",
) -> dict[str, Any]:
    """`rollback` with clients of its own, for the DAGs `rollback_<pipeline>`.

    Args:
        release: the release; None or nothing for the previous one.
        pipeline: its releases, folders and names.
        run_id: the rollback's run.
        actor: for the log: who asked.
        reason: for the log: `rollback`, or `WITHDRAWAL` and why.

    Raises:
        ReleaseRejected: it cannot be restored; the message gives each reason.
    """

    def requests(columns: Sequence[str]) -> list[list[Any]]:
        return pair.request_rows(pipeline, columns, 1)

    with servers(pipeline.settings) as both:
        return rollback(
            both,
            pipeline,
            release or None,
            requests=requests,
            run_id=run_id,
            token=run_token(run_id),
            actor=actor,
            reason=reason,
        )


def retire_rolled_back(pipeline: Pipeline) -> dict[str, Any]:
    """After the grace time take down the pair that a rollback replaced."""
    with servers(pipeline.settings) as both:
        return retire(both, pipeline, run_token=None)


def rollback(
    both: Servers,
    pipeline: Pipeline,
    release: str | None,
    *,
    requests: Requests,
    run_id: str,
    token: str,
    actor: str = "unknown",
    reason: str = "rollback",
) -> dict[str, Any]:
    """Restore a release and make it live; the live release keeps serving until then.

    Args:
        both: OpenMLDB and Triton.
        pipeline: its releases, folders and names.
        release: the release, None for the previous one.
        requests: rows for the probe.
        run_id: the rollback's run.
        token: its token.
        actor: for the log: who asked.
        reason: for the log: `rollback`, or `WITHDRAWAL` and why.

    Returns:
        The report `rollback`: live, previous, what had to be made again.

    Raises:
        ReleaseRejected: it cannot be restored; the message gives each reason.
        ContractError: the restored pair does not answer as it did; nothing changed.
        ServiceUnavailable: a server does not answer; nothing changed.
    """
    store = pipeline.store
    if live_or_none(store, force=True) is not None:
        complete_log(store.root)
    folder = _begun(store, token) or choose(store, release)
    manifest = folder.manifest()
    leases.renew(
        store,
        run_token=token,
        run_id=run_id,
        ds=manifest.ds,
        release_id=folder.id,
        versions=[manifest.model.version],
        deployments=[] if manifest.features is None else [manifest.sql.deployment],
    )
    try:
        loaded = not both.triton.ready(manifest.model.name, manifest.model.version)
        filled = make_tables(both.openmldb, pipeline, manifest)
        deployed, published = pair.make(both.openmldb, both.triton, pipeline, folder, manifest)
        value = switch(
            both,
            pipeline,
            folder.id,
            requests=requests,
            promote="force",
            reason=reason,
            actor=actor,
        )
    except ContractError as error:
        leases.close(store, token)
        raise ContractError(f"rollback to {folder.id}: {error}") from error
    except TerminalError:
        leases.close(store, token)
        raise
    leases.close(store, token)
    return {
        **value,
        "check": "rollback",
        "deployment_made": deployed,
        "tables": filled,
        "model_loaded": loaded,
        "load_s": round(published.load_s, 3),
    }


def _begun(store: ReleaseStore, token: str) -> ReleaseFolder | None:
    """The release that an earlier try of this run chose, before it was killed or lost a server.

    Its switch may be done: to choose again would go back once more, or refuse what is asked for.
    """
    lease = leases.read_all(store).get(token)
    if lease is None or lease.release_id is None:
        return None
    if lease.closed:
        # It was killed after its last step, or it failed and something else is live.
        live = live_or_none(store, force=True)
        if live is None or live.release_id != lease.release_id:
            return None
    return store.folder(lease.release_id)

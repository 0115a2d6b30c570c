"""A candidate that answers a share of the users first: its beginning, promotion and end."""

from __future__ import annotations

import datetime as dt
from typing import Any

from nightshift.errors import ConfigurationError, ReleaseRejected
from nightshift.features.lineage import columns_of
from nightshift.night import Servers, servers
from nightshift.pipeline import CONFIG, Pipeline
from nightshift.registry import pointer
from nightshift.registry.pointer import LivePointer, read_live
from nightshift.registry.store import moment_of
from nightshift.release.rollback import obstacles
from nightshift.release.switch import Requests, retire, switch
from nightshift.serving import pair


def begin(
    both: Servers,
    pipeline: Pipeline,
    release: str,
    *,
    share: float | None = None,
    column: str | None = None,
    actor: str = "unknown",
) -> LivePointer:
    """Make a release's pair ready and give it a share of the users.

    Args:
        both: OpenMLDB and Triton.
        pipeline: its releases; `live.canary` of its file has what is not given.
        release: an accepted release that is not live.
        share: of the users.
        column: of the request table: who a user is.
        actor: for the log.

    Raises:
        ConfigurationError: share or column is missing or wrong.
        ReleaseRejected: nothing is live, or the pair is not ready; nothing changed.
        ContractError: the pair does not answer as trained; nothing changed.
        ServiceUnavailable: a server does not answer; nothing changed.
    """
    config = pipeline.config.live.canary
    share = config.share if share is None and config is not None else share
    column = config.column if column is None and config is not None else column
    if share is None or column is None:
        raise ConfigurationError(
            f"{pipeline.folder / CONFIG} has no part live.canary; add it, or give share and column"
        )
    check_column(pipeline, column)
    store = pipeline.store
    folder = store.folder(release)
    reasons = obstacles(folder, read_live(store.root))
    if reasons:
        raise ReleaseRejected(f"{release} cannot be a canary: {'; '.join(reasons)}")
    pair.make(both.openmldb, both.triton, pipeline, folder, folder.manifest())
    return pointer.begin_canary(
        pipeline.releases,
        release,
        share=share,
        column=column,
        probe=lambda f, m: pair.problems(both.openmldb, both.triton, f, m),
        actor=actor,
    )


def instead_of_switch(
    both: Servers, pipeline: Pipeline, release: str, *, actor: str
) -> dict[str, Any] | None:
    """Make a night's candidate a canary where the pipeline's file says so.

    Returns:
        The report `switch`, with `switched` false and `canary` true; None where the release is to
        be switched to: there is no part `live.canary`, or nothing is live that could answer the
        other users.

    Raises:
        ReleaseRejected: the gates compared it with another release than the one that is live.
    """
    live = read_live(pipeline.releases)
    config = pipeline.config.live.canary
    if config is None or live is None or live.deployment is None or live.release_id == release:
        return None
    manifest = pipeline.store.folder(release).manifest()
    if pointer.reason_not_to_promote(live, manifest.ds, "newer"):
        return None  # the switch says so
    compared = manifest.champion.release_id if manifest.champion else None
    if compared != live.release_id:
        raise ReleaseRejected(
            f"{release} does not become a canary: the gates compared it with "
            f"{compared or 'nothing'}, and {live.release_id} is live now; run its date again"
        )
    made = begin(both, pipeline, release, actor=actor)
    return {
        "check": "switch",
        "status": "pass",
        "failures": [],
        "warnings": [],
        "switched": False,
        "canary": True,
        "why": f"a canary for {config.hours:g} hours: {config.share:.3g} of the users by "
        f"{config.column}",
        "live": made.release_id,
    }


def check_column(pipeline: Pipeline, column: str) -> None:
    """See that the request table has a column.

    Raises:
        ConfigurationError: it has not, or the pipeline has no features.
    """
    files = pipeline.features
    known = columns_of(files.create_script(), files.tables, str(files.create_tables))
    there = list(known[files.tables.request_table])
    if column not in there:
        raise ConfigurationError(
            f"{pipeline.folder / CONFIG}: live.canary.column is {column}, and "
            f"{files.tables.request_table} has {', '.join(there)}"
        )


def promote(
    both: Servers, pipeline: Pipeline, *, requests: Requests, actor: str = "unknown"
) -> dict[str, Any]:
    """Give the canary all users, by the switch that any release goes through.

    Raises:
        ReleaseRejected: there is no canary, or its pair is not ready.
        ContractError: it failed its probe; the release before answers all users.
        ServiceUnavailable: a server does not answer; the canary keeps its share.
    """
    live = read_live(pipeline.releases)
    if live is None or live.canary is None:
        raise ReleaseRejected(
            "there is no canary to promote; ./nightshift canary RELEASE begins one"
        )
    return switch(
        both,
        pipeline,
        live.canary.pair.release_id,
        requests=requests,
        promote="force",
        reason="promotion",
        actor=actor,
    )


def due(pipeline: Pipeline, now: dt.datetime) -> str | None:
    """The canary whose hours are over, by `live.canary.hours` of the pipeline's file."""
    live, config = read_live(pipeline.releases), pipeline.config.live.canary
    if live is None or live.canary is None or config is None:
        return None
    since = moment_of(live.canary.since)
    over = now >= since + dt.timedelta(hours=config.hours)
    return live.canary.pair.release_id if over else None


def promote_due(pipeline: Pipeline, *, actor: str) -> dict[str, Any]:
    """`promote` with clients of its own; the pair before is retired when its time is over."""
    with servers(pipeline.settings) as both:
        value = promote(
            both,
            pipeline,
            requests=lambda columns: pair.request_rows(pipeline, columns, 1),
            actor=actor,
        )
        retire(both, pipeline, run_token=None)
        return value

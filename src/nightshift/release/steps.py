"""The release's tasks, one function each, as the DAGs call them.

Every function takes the night (and the candidate's id), does one thing that may be done again,
writes its report to `<run>/reports/<check>.json` and returns it. A gate that says no writes the
verdict and raises `ReleaseRejected`; the live release is untouched.

The order: begin, (gate `data`), make_candidate, (the other gates), accept, switch_over,
retire_old, and finish in any case. With a refit, gates that judge scores come before
make_candidate: pin_champion, (they), make_candidate of what was refit. Which gates there are is `nightshift.gates.registry`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nightshift.errors import ContractError, NightshiftError
from nightshift.gates import maturity, partitions, registry
from nightshift.gates.base import demand
from nightshift.night import Night
from nightshift.registry import leases, pointer, retention
from nightshift.registry.names import sql_hash
from nightshift.registry.store import ReleaseStore
from nightshift.release import canary, candidate, recover
from nightshift.release import switch as switching

PROBE_ROWS = 3


def begin(night: Night) -> dict[str, Any]:
    """Open the run's lease, clean up what dead runs left, and look at the partitions.

    Raises:
        ReleaseRejected: a partition is not as a night needs it.
    """
    lease = night.renew(workspace=night.plan["workspace"])
    with night.servers() as servers:
        value = recover.recover(servers, night.pipeline, run_token=lease.run_token)
    night.write(value)
    if night.pipeline.has_features:
        _pass(night, partitions.of_night(night), None)
        labels = maturity.of_night(night)
        if labels is not None:
            night.write(labels)
    return value


def _pass(night: Night, value: dict[str, Any], release: str | None) -> dict[str, Any]:
    """Write a report; where it says fail, the verdict too, and raise."""
    night.write(value)
    if value["failures"]:
        reasons = [f"{value['check']}: {text}" for text in value["failures"]]
        candidate.reject(night, release, reasons)
    demand(value)
    return value


def gate(
    night: Night, name: str, release: str | None = None, *, triggered_by: str = "unknown"
) -> dict[str, Any]:
    """Ask one gate, write its report, and go on only where it does not say fail.

    A model that is refused before its refit becomes a rejected release, for the record.

    Args:
        night: the night.
        name: a gate of `nightshift.gates.registry`.
        release: the candidate; None for a gate that comes before there is one.
        triggered_by: who or what asked for the run.

    Raises:
        ReleaseRejected: a check with the level `fail` says no.
    """
    night.renew()
    value = registry.check(name, night, release)
    if value["failures"] and release is None and registry.find(name).stage == "scored":
        query = _query(night)
        made = candidate.create(night, triggered_by=triggered_by, sql=query, rejected=True)
        release = made["release_id"]
    return _pass(night, value, release)


def pin_champion(night: Night) -> dict[str, Any]:
    """Choose the release that a model is judged against before its refit.

    The report also holds `score_arguments`, the command line of the task `score`.
    """
    value = candidate.pin_champion(night)
    return night.write({**value, "score_arguments": score_arguments(night, value["champion"])})


def make_candidate(night: Night, *, triggered_by: str = "unknown") -> dict[str, Any]:
    """Give the trained model its version, manifest and release folder.

    With features the report also holds `score_arguments`, the command line of the task `score`.

    Raises:
        ContractError: the feature query changed while the run was under way.
    """
    query = _query(night) if night.pipeline.has_features else None
    value = candidate.create(night, triggered_by=triggered_by, sql=query)
    if query is not None and not night.refits:
        value["score_arguments"] = score_arguments(night, value["champion"])
    return night.write(value)


def _query(night: Night) -> str:
    """The query that the run extracted with."""
    query = night.pipeline.features.query()
    if sql_hash(query) != night.plan["sql_sha256"]:
        raise ContractError(
            f"{night.pipeline.features.sql} changed after this run extracted its features; "
            "clear the run from its task `plan` on, so that one query serves offline and online"
        )
    if replace(night.pipeline, tables_in=None).database != night.plan["database"]:
        raise ContractError(
            f"{night.pipeline.features.create_tables} changed after this run was planned, or "
            "another release of other tables became live; clear the run from its task `plan` on"
        )
    return query


def score_arguments(night: Night, champion: str | None) -> list[str]:
    """Arguments of `python -m tasks.ctr.score`."""
    run = night.run
    arguments = [
        *("--dataset", str(run.dataset)),
        *("--spec", str(night.pipeline.features.spec_file)),
        *("--model", str(run.model)),
        *("--features", str(run.features)),
        *("--device", night.settings.task_device),
        *("--out", str(night.scores), "--result", str(run.result("score"))),
    ]
    if champion is not None:
        # A refit has seen tonight's held-out days; the model that was judged for it has not.
        folder = night.folder(champion)
        judged = folder.judged_model
        arguments += ["--champion-model", str(judged), "--champion-spec", str(folder.spec)]
    return arguments


def accept(night: Night, release: str) -> dict[str, Any]:
    """Write the verdict out of the gates' reports.

    Raises:
        ReleaseRejected: a report says fail.
        ContractError: a gate was left out.
    """
    night.renew()
    verdict = candidate.judge(night, release, night.pipeline.config.gates_run)
    value = {
        "check": "verdict",
        "status": "pass" if verdict["accepted"] else "fail",
        "failures": verdict["reasons"],
        "warnings": verdict["warnings"],
        "release_id": release,
        "checks": verdict["checks"],
    }
    demand(night.write(value))
    return value


def switch_over(
    night: Night, release: str, *, promote: str = "newer", actor: str = "unknown"
) -> dict[str, Any]:
    """Make the candidate live and probe it through the predict server, or leave it kept.

    `switched` is false, and `why` says so, where its date is not newer than the live one's, or
    where it is given a share of the users first (`live.canary`).

    Raises:
        ReleaseRejected: the pair is not ready, or another release became live meanwhile.
        ContractError: the probe failed; the old release is live again.
    """
    chosen = pointer.check_promote(promote)
    night.renew()
    with night.servers() as servers:
        first = chosen == "newer" and canary.instead_of_switch(
            servers, night.pipeline, release, actor=actor
        )
        value = first or switching.switch(
            servers,
            night.pipeline,
            release,
            requests=night.requests(PROBE_ROWS),
            promote=chosen,
            reason="force" if chosen == "force" else "promotion",
            actor=actor,
        )
    if not value["switched"]:
        candidate.note(night.folder(release), value["why"])
    return night.write({**value, "release_id": release})


def retire_old(night: Night) -> dict[str, Any]:
    """After the grace time take down every pair that neither serves nor is being rehearsed."""
    night.renew()
    with night.servers() as servers:
        return night.write(switching.retire(servers, night.pipeline, run_token=night.token))


def finish(
    night: Night,
    *,
    release: str | None = None,
    failures: Sequence[str] = (),
    approval: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The run's last word, whatever happened: verdict, retention, the lease's end.

    It asks no server, so that a night that ended because one was away is recorded as well.

    Args:
        night: the night.
        release: the candidate, if the run got so far.
        failures: what failed, for a run that no gate rejected (`task train: ...`).
        approval: what came of asking a person: `{"approved": bool, "by": str | None}`, nobody
            where the time ran out.
    """
    store = night.store
    if release and approval and not approval["approved"]:
        waited = dt.timedelta(seconds=night.pipeline.config.approval_timeout_s)
        who = approval["by"]
        candidate.note(
            store.folder(release),
            f"not approved by {who}" if who else f"nobody approved it within {waited}",
        )
    if failures and not _rejected_already(store, night.plan["run_id"]):
        candidate.reject(night, release, failures)
    value = {
        "check": "retention",
        "status": "pass",
        "failures": [],
        "warnings": [],
        **retention.run(night.pipeline),
    }
    leases.close(store, night.token)
    return night.write(value)


def _rejected_already(store: ReleaseStore, run_id: str) -> bool:
    events = [e for e in store.events() if e["event"] == "rejected"]
    return any(
        e.get("run_id") == run_id
        or (e.get("release_id") and _run_of(store, str(e["release_id"])) == run_id)
        for e in events
    )


def _run_of(store: ReleaseStore, release: str) -> str | None:
    with contextlib.suppress(NightshiftError):
        return store.folder(release).manifest().run.id
    return None

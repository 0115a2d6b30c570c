"""What is done about what was seen in service: written down, told, or the release withdrawn."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

from nightshift.errors import ContractError, NightshiftError, ReleaseRejected
from nightshift.monitoring import contests, served
from nightshift.monitoring.judge import Judge
from nightshift.notify import incidents
from nightshift.notify.incidents import Incident
from nightshift.pipeline import Pipeline
from nightshift.registry.pointer import WITHDRAWAL, end_canary, end_shadow, read_live
from nightshift.release import canary
from nightshift.release.rollback import retire_rolled_back, roll_back


def monitor(pipeline: Pipeline, *, run_id: str, until: Any = None) -> dict[str, Any]:
    """Measure what was served, and do what `monitor.action` of `pipeline.yaml` says.

    A gross fault, or the sequential test, takes a release out of service. The rest may be the
    world's change rather than the release's fault, which going back would not cure. A canary that
    nothing was shown against is promoted when its time is over.

    Args:
        pipeline: a pipeline with features.
        run_id: the run that asks.
        until: the end of what is looked at; now.

    Returns:
        The report `served`, with `contests` and `action`: none, told, withdrawn, promoted or kept
        (and `why`).

    Raises:
        ServiceUnavailable: a withdrawal found a server down; nothing changed, ask again.
    """
    value = served.measure(pipeline, until=until)
    judges = contests.look(pipeline, until=until)
    value["contests"] = [judge.report() for judge in judges]
    value["action"] = "none"
    value["warnings"] += [text for judge in judges for text in judge.reasons]
    action = pipeline.config.monitor.action
    key = f"quality:{pipeline.name}:{value['live']}"
    _close(pipeline, but=key if value["warnings"] else None)
    if value["warnings"] and action != "report":
        if action == "withdraw":
            _withdraw_what_is_worse(pipeline, value, judges, run_id)
        if value["action"] != "withdrawn":
            _tell(pipeline, value, key)
    if not any(judge.reasons for judge in judges):
        _go_on(pipeline, value, run_id)
    return value


def _close(pipeline: Pipeline, *, but: str | None) -> None:
    """Close what was said of releases: those that serve no more, and the live one if it is well."""
    for record in incidents.listed(pipeline.settings):
        one = record.incident
        if (one.kind, one.pipeline) == ("quality", pipeline.name) and one.key != but:
            incidents.resolve(pipeline.settings, one.key)


def _withdraw_what_is_worse(
    pipeline: Pipeline, value: dict[str, Any], judges: list[Judge], run_id: str
) -> None:
    live = value["live"]
    of = {judge.new: judge for judge in judges}
    for judge in judges:
        if judge.reasons and judge.new != live:
            withdraw_canary(pipeline, judge.new, judge.reasons[0], value)
    mine = of.get(live)
    if mine is not None and mine.reasons:
        withdraw(pipeline, value, run_id=run_id, to=mine.old, why=mine.reasons[0])
    elif value["constant"] and mine is None:
        withdraw(pipeline, value, run_id=run_id, why=value["warnings"][0])
    elif value["constant"] and mine is not None:
        value |= {"action": "kept", "why": f"{mine.old} sees the same values"}


def _tell(pipeline: Pipeline, value: dict[str, Any], key: str) -> None:
    told = "\n".join(f"- {text}" for text in value["warnings"])
    why = f"\n\nIt was not withdrawn: {value['why']}" if value.get("why") else ""
    incidents.report(
        pipeline.settings,
        Incident(
            key=key,
            title=f"{pipeline.name}: quality or features of release {value['live']} are out of "
            "bounds",
            text=f"{told}{why}\n\nPage: {pipeline.settings.airflow_url}/nightshift/live/"
            f"{pipeline.name}\nGo back: ./nightshift rollback --pipeline {pipeline.name}",
            severity="warning",
            pipeline=pipeline.name,
        ),
        lasting=True,
    )
    value["action"] = "told" if value["action"] == "none" else value["action"]


def _go_on(pipeline: Pipeline, value: dict[str, Any], run_id: str) -> None:
    """Promote a canary whose hours are over; take down a shadow whose time is over."""
    if canary.due(pipeline, dt.datetime.now(dt.timezone.utc)) is not None:
        try:
            found = canary.promote_due(pipeline, actor=run_id)
        except (ReleaseRejected, ContractError) as error:
            value |= {"action": "kept", "why": str(error)}
        else:
            value |= {"action": "promoted", "promoted": found["live"]}
    elif end_shadow(pipeline.releases) is not None:
        with contextlib.suppress(NightshiftError):  # the next night takes it down otherwise
            retire_rolled_back(pipeline)


def withdraw(
    pipeline: Pipeline, value: dict[str, Any], *, run_id: str, why: str, to: str | None = None
) -> None:
    """Go back to a release, or the one before, by the same rollback that a person asks for."""
    live = read_live(pipeline.releases)
    if live is None or live.release_id != value["live"]:
        value |= {"action": "kept", "why": "another release became live meanwhile"}
        return
    try:
        back = roll_back(
            to,
            pipeline,
            run_id=f"{run_id}:withdraw:{live.release_id}:{live.sequence}",
            actor="monitor",
            reason=f"{WITHDRAWAL}{why}"[:1000],
        )
    except ReleaseRejected as error:
        value |= {"action": "kept", "why": str(error)}
        return
    value |= {"action": "withdrawn", "went_back_to": back["live"]}
    with contextlib.suppress(NightshiftError):  # the next night takes it down otherwise
        retire_rolled_back(pipeline)


def withdraw_canary(pipeline: Pipeline, release: str, why: str, value: dict[str, Any]) -> None:
    """Give a canary's users back to the live release, and tell it."""
    if not end_canary(
        pipeline.releases, release, reason=f"{WITHDRAWAL}{why}"[:1000], actor="monitor"
    ):
        return
    value |= {"action": "withdrawn", "went_back_to": value["live"]}
    incidents.report(pipeline.settings, canary_withdrawn(pipeline, release, why))
    with contextlib.suppress(NightshiftError):  # the next night takes it down otherwise
        retire_rolled_back(pipeline)


def canary_withdrawn(pipeline: Pipeline, release: str, why: str) -> Incident:
    """The incident of a canary that lost its users; the watch tells it of the log, too.

    Args:
        pipeline: whose.
        release: the canary.
        why: as the log has it, without its beginning.
    """
    return Incident(
        key=f"withdrawal:{pipeline.name}:{release}:canary",
        title=f"{pipeline.name}: canary {release} was withdrawn, the live release serves all",
        text=f"{why}\n\nPage: {pipeline.settings.airflow_url}/nightshift/live/{pipeline.name}",
        pipeline=pipeline.name,
    )


def try_monitor(pipeline: Pipeline, *, run_id: str) -> dict[str, Any]:
    """`monitor`; that it fails is an incident, too.

    Raises:
        NightshiftError: what failed.
    """
    key = f"monitor:{pipeline.name}"
    try:
        value = monitor(pipeline, run_id=run_id)
    except NightshiftError as error:
        incidents.report(
            pipeline.settings,
            Incident(
                key=key,
                title=f"{pipeline.name}: what is served cannot be measured",
                text=str(error),
                severity="warning",
                pipeline=pipeline.name,
            ),
            lasting=True,
        )
        raise
    incidents.resolve(pipeline.settings, key)
    return value

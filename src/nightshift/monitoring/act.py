"""What is done about what was seen in service: written down, told, or the release withdrawn."""

from __future__ import annotations

import contextlib
from typing import Any

from nightshift.errors import NightshiftError, ReleaseRejected
from nightshift.monitoring import served
from nightshift.notify import incidents
from nightshift.notify.incidents import Incident
from nightshift.pipeline import Pipeline
from nightshift.registry.pointer import read_live
from nightshift.release.rollback import WITHDRAWAL, retire_rolled_back, roll_back


def monitor(pipeline: Pipeline, *, run_id: str, until: Any = None) -> dict[str, Any]:
    """Measure what was served, and do what `monitor.action` of `pipeline.yaml` says.

    Only a gross fault (features that have stopped to vary) withdraws a release: the rest may be
    the world's change rather than the release's fault, which going back would not cure.

    Args:
        pipeline: a pipeline with features.
        run_id: the run that asks.
        until: the end of what is looked at; now.

    Returns:
        The report `served`, with `action`: none, told, withdrawn or kept (and `why`).

    Raises:
        ServiceUnavailable: a withdrawal found a server down; nothing changed, ask again.
    """
    value = served.measure(pipeline, until=until)
    value["action"] = "none"
    action = pipeline.config.monitor.action
    key = f"quality:{pipeline.name}:{value['live']}"
    if not value["warnings"]:
        incidents.resolve(pipeline.settings, key)
        return value
    if action == "report":
        return value
    if action == "withdraw" and value["constant"]:
        withdraw(pipeline, value, run_id=run_id)
    if value["action"] != "withdrawn":
        told = "\n".join(f"- {text}" for text in value["warnings"])
        why = f"\n\nIt was not withdrawn: {value['why']}" if value.get("why") else ""
        incidents.report(
            pipeline.settings,
            Incident(
                key=key,
                title=f"{pipeline.name}: release {value['live']} serves worse than it was judged",
                text=f"{told}{why}\n\nPage: {pipeline.settings.airflow_url}/nightshift/live/"
                f"{pipeline.name}\nGo back: ./nightshift rollback --pipeline {pipeline.name}",
                severity="warning",
                pipeline=pipeline.name,
            ),
            lasting=True,
        )
        value["action"] = "told" if value["action"] == "none" else value["action"]
    return value


def withdraw(pipeline: Pipeline, value: dict[str, Any], *, run_id: str) -> None:
    """Go back to the release before, by the same rollback that a person asks for."""
    live = read_live(pipeline.releases)
    if live is None or live.release_id != value["live"]:
        value |= {"action": "kept", "why": "another release became live meanwhile"}
        return
    try:
        back = roll_back(
            None,
            pipeline,
            run_id=f"{run_id}:withdraw:{live.release_id}:{live.sequence}",
            actor="monitor",
            reason=f"{WITHDRAWAL}{value['warnings'][0]}"[:1000],
        )
    except ReleaseRejected as error:
        value |= {"action": "kept", "why": str(error)}
        return
    value |= {"action": "withdrawn", "went_back_to": back["live"]}
    with contextlib.suppress(NightshiftError):  # the next night takes it down otherwise
        retire_rolled_back(pipeline)


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

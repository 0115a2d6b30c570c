"""Nights that failed or were rejected, releases that went back, and promised hours."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nightshift import files, layout
from nightshift.errors import NightshiftError
from nightshift.notify import incidents
from nightshift.notify.incidents import Incident
from nightshift.pipeline import Pipeline
from nightshift.registry import history
from nightshift.registry.pointer import WITHDRAWAL, read_live
from nightshift.registry.store import moment_of

RECENT = dt.timedelta(days=3)
"""Events of the log that are older are not told any more."""

_KINDS = {"load_online": "reconcile"}
"""Tasks whose failure is an incident of a kind of its own."""

_LONGEST = 1000


def tell_night(pipeline: Pipeline, *, now: dt.datetime | None = None) -> list[Incident]:
    """Report recent events of the pipeline's log; what was reported is not reported again.

    Returns:
        The incidents that are new.
    """
    at = now or dt.datetime.now(dt.timezone.utc)
    return [
        incident
        for incident in _of_log(pipeline, at)
        if incidents.report(pipeline.settings, incident, now=at)
    ]


def _of_log(pipeline: Pipeline, at: dt.datetime) -> Iterator[Incident]:
    store = pipeline.store
    for event in store.events():
        with contextlib.suppress(ValueError):
            if at - moment_of(str(event["at"])) > RECENT:
                continue
            made = _INCIDENTS.get(event["event"])
            incident = made(pipeline, event) if made else None
            if incident is not None:
                yield incident


def _rejected(pipeline: Pipeline, event: Mapping[str, Any]) -> Incident:
    release = event.get("release_id")
    ds, run_id = str(event.get("ds", "")), str(event.get("run_id") or "")
    if release:
        with contextlib.suppress(NightshiftError):
            manifest = pipeline.store.folder(str(release)).manifest()
            ds, run_id = manifest.ds, manifest.run.id
    return night_incident(
        pipeline, ds=ds or "unknown date", run_id=run_id, reasons=list(event.get("reasons", []))
    )


def night_incident(
    pipeline: Pipeline, *, ds: str, run_id: str, reasons: list[str], failed: bool = False
) -> Incident:
    """The incident of a night that gave no release; one of a run."""
    task = next(
        (name for name in _KINDS if any(r.startswith(f"task {name} ") for r in reasons)), ""
    )
    if task:
        title = f"{pipeline.name}: online store and partitions do not agree, night of {ds}"
    else:
        by_task = failed or any(r.startswith(("task ", "plan: ")) for r in reasons)
        title = f"{pipeline.name}: night of {ds} {'failed' if by_task else 'was rejected'}"
    lines = ["Why:", *(f"- {reason[:_LONGEST]}" for reason in reasons or ["no reason is known"])]
    return Incident(
        key=f"{_KINDS.get(task, 'night')}:{pipeline.name}:{run_id or ds}",
        title=title,
        text="\n".join([*lines, "", serving(pipeline), *_places(pipeline, run_id)]),
        pipeline=pipeline.name,
    )


def tell_failed_run(
    pipeline: Pipeline, *, run_id: str, ds: str, failed: list[str], error: str = ""
) -> None:
    """Tell of a run that failed, also where it ended before anything could be written down.

    Args:
        pipeline: the pipeline.
        run_id: the run.
        ds: its date, as far as it is known.
        failed: its failed tasks.
        error: what is known beside them.
    """
    tell_night(pipeline)
    kinds = {"night", "withdrawal", *_KINDS.values()}
    keys = [f"{kind}:{pipeline.name}:{run_id}" for kind in kinds]
    if any(incidents.known(pipeline.settings, key) for key in keys):
        return
    reasons = night_failed(pipeline, run_id, failed) or ([error] if error else [])
    incidents.report(
        pipeline.settings,
        night_incident(pipeline, ds=ds, run_id=run_id, reasons=reasons, failed=True),
    )


def _probe_failed(pipeline: Pipeline, event: Mapping[str, Any]) -> Incident:
    reasons = [str(r)[:_LONGEST] for r in event.get("reasons", [])] or ["no reason is known"]
    release = str(event.get("release_id"))
    run_id = release
    with contextlib.suppress(NightshiftError):
        run_id = pipeline.store.folder(release).manifest().run.id
    return Incident(
        key=f"withdrawal:{pipeline.name}:{run_id}",
        title=f"{pipeline.name}: release {release} was withdrawn: it failed its first requests",
        text="\n".join(["Why:", *(f"- {r}" for r in reasons), "", serving(pipeline)]),
        pipeline=pipeline.name,
    )


def _switched(pipeline: Pipeline, event: Mapping[str, Any]) -> Incident | None:
    reason = str(event.get("reason", ""))
    if not reason.startswith("withdrawal"):
        return None  # a promotion, or what a person asked for
    gone, to = event.get("previous"), event.get("release_id")
    why = reason.partition(": ")[2] or "no reason is known"
    return Incident(
        key=f"withdrawal:{pipeline.name}:{gone}:{event.get('sequence')}",
        title=f"{pipeline.name}: release {gone} was withdrawn, {to} serves again",
        text="\n".join([f"Why: {why[:_LONGEST]}", "", serving(pipeline), *_places(pipeline, "")]),
        pipeline=pipeline.name,
    )


def _canary_ended(pipeline: Pipeline, event: Mapping[str, Any]) -> Incident | None:
    from nightshift.monitoring.act import canary_withdrawn  # numpy, which a look seldom needs

    reason = str(event.get("reason", ""))
    if not reason.startswith(WITHDRAWAL):
        return None  # it was promoted, replaced, or a person ended it
    why = reason.removeprefix(WITHDRAWAL)[:_LONGEST]
    return canary_withdrawn(pipeline, str(event["release_id"]), why)


_INCIDENTS = {
    "rejected": _rejected,
    "probe failed": _probe_failed,
    "switched": _switched,
    "canary ended": _canary_ended,
}


def serving(pipeline: Pipeline) -> str:
    """What serves now, in one sentence."""
    try:
        live = read_live(pipeline.releases)
    except NightshiftError as error:
        return f"The live pointer cannot be read: {error}"
    if live is None:
        return "No release serves."
    return f"Release {live.release_id} of {live.ds} serves since {live.switched_at}."


def _places(pipeline: Pipeline, run_id: str) -> list[str]:
    url = pipeline.settings.airflow_url
    run = [f"Run: {run_id}, {url}/dags/retrain_{pipeline.name}"] if run_id else []
    return [*run, f"Releases: {url}/nightshift/releases/{pipeline.name}"]


# Failures of tasks, on their way to the message.


def note_failure(pipeline: Pipeline, run_id: str, task: str, error: str) -> None:
    """Keep what a task died of until its night is written down."""
    files.write_text(_failures(pipeline, run_id) / f"{task}.txt", error[:_LONGEST])


def night_failed(pipeline: Pipeline, run_id: str, failed: list[str]) -> list[str]:
    """Reasons of a night whose tasks failed: each task, and what it died of."""
    found = []
    for task in failed:
        try:
            text = (_failures(pipeline, run_id) / f"{task}.txt").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            text = ""
        found.append(f"task {task} failed: {text}" if text else f"task {task} failed; see its log")
    return found


def sweep_failures(pipeline: Pipeline, *, older_than_s: float = 7 * 86400.0) -> None:
    """Drop what runs that ended long ago died of."""
    for folder in (pipeline.runs / "failures").glob("*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > older_than_s:
                shutil.rmtree(folder)


def _failures(pipeline: Pipeline, run_id: str) -> Path:
    return pipeline.runs / "failures" / layout.run_token(run_id)


# Promised hours.


def expected_date(pipeline: Pipeline, now: dt.datetime) -> str | None:
    """The date whose release should be live by now; None where nothing is promised.

    It is the partition of the last scheduled run before the last `live_by`.
    """
    from croniter import croniter

    config = pipeline.config
    if config.live_by is None or config.schedule == "off" or pipeline.settings.schedules != "on":
        return None
    hour, minute = map(int, config.live_by.split(":"))
    now = now.astimezone(_schedule_zone(pipeline))
    promised = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if promised > now:
        promised -= dt.timedelta(days=1)
    runs = croniter(config.schedule, promised + dt.timedelta(seconds=1))
    runs.get_prev(dt.datetime)
    partition: dt.datetime = runs.get_prev(dt.datetime)
    return partition.date().isoformat()


def _schedule_zone(pipeline: Pipeline) -> dt.tzinfo:
    """The zone that `schedule` and `live_by` are written in."""
    return pipeline.zone.tzinfo if pipeline.config.time_zone else dt.timezone.utc


def deadline(pipeline: Pipeline, now: dt.datetime) -> Incident | None:
    """The incident of a release that is not live by its promised hour, if there is one.

    A night whose failure or rejection was told is the same incident and not told twice.
    """
    expected = expected_date(pipeline, now)
    if expected is None:
        return None
    with contextlib.suppress(NightshiftError):
        live = read_live(pipeline.releases)
        if live is not None and live.ds >= expected:
            return None
    ended = [row for row in history.rows(pipeline.releases) if row.ds == expected]
    if any(row.state == "rejected" for row in ended):
        return None
    last = (
        f"{ended[-1].state}: {ended[-1].why}" if ended else "no run has given a release or a reason"
    )
    return Incident(
        key=f"deadline:{pipeline.name}:{expected}",
        title=f"{pipeline.name}: the release of {expected} is not live by "
        f"{pipeline.config.live_by} {pipeline.config.time_zone or 'UTC'}",
        text="\n".join(
            [f"Its night: {last}.", serving(pipeline), "Is Airflow running, and the DAG unpaused?",
             *_places(pipeline, "")]
        ),
        pipeline=pipeline.name,
    )  # fmt: skip

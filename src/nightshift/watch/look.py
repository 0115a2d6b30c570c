"""One look at the whole installation, and the heartbeat that says that it was taken."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nightshift import files
from nightshift.errors import ConfigurationError, ContractError, NightshiftError
from nightshift.notify import incidents
from nightshift.notify.channels import channels
from nightshift.notify.incidents import Incident
from nightshift.pipeline import Pipeline, names
from nightshift.registry.store import moment_of
from nightshift.settings import Settings
from nightshift.watch import nights

_GIB = 1 << 30

SILENT_S = 900.0
"""Airflow looks every 300 s; after so long without it counts as down."""

Usage = Callable[[Path], tuple[int, int]]
"""(total, free) bytes of the file system of a folder."""


@dataclass
class Seen:
    """What one look found.

    Attributes:
        at: when, UTC.
        new: titles of incidents that are new.
        open: titles of lasting incidents that are not over.
        problems: what could not be looked at, and why.
    """

    at: str
    new: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def look(
    settings: Settings,
    *,
    airflow: bool = False,
    now: dt.datetime | None = None,
    usage: Usage | None = None,
) -> Seen:
    """Look at logs, promised hours and disks, and tell what is new.

    What cannot be looked at is written down and does not keep the rest from being looked at.

    Args:
        settings: the machine.
        airflow: Airflow looks, and leaves its heartbeat; any other looks at that heartbeat.
        now: the time.
        usage: measures a file system.
    """
    at = now or dt.datetime.now(dt.timezone.utc)
    seen = Seen(at=at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    with _noted(seen, "targets"):
        channels(settings)
    for name in names(settings):
        with _noted(seen, f"pipeline {name}"):
            _look_at(settings, name, at, seen)
    with _noted(seen, "disks"):
        for incident, wrong in _disks(settings, usage or _usage):
            _lasting(settings, incident, wrong, at, seen)
    alive = airflow or _airflow_lives(settings, at, seen)
    with _noted(seen, "messages"):
        incidents.deliver_pending(settings, now=at)
    seen.open = [r.incident.title for r in incidents.listed(settings) if r.closed_at is None]
    files.write_json(heartbeat_path(settings) if airflow else watcher_path(settings), asdict(seen))
    if alive and settings.heartbeat_url and settings.notify == "now":
        with _noted(seen, "NIGHTSHIFT_HEARTBEAT_URL"):
            _ping(settings)
    return seen


def _airflow_lives(settings: Settings, at: dt.datetime, seen: Seen) -> bool:
    """Whether Airflow looked recently; where it once did and stopped, that is reported."""
    try:
        age = heartbeat_age_s(settings, now=at)
    except ContractError:
        return False  # it has never looked: schedules are off, or it is being set up
    incident = Incident(
        key="airflow:heartbeat",
        title="Airflow is down: it has not looked for a while",
        text=f"Its DAG nightshift_watch last ran {age / 60:.0f} minutes ago. No night runs until "
        "Airflow's scheduler and DAG processor are up, and the DAG is unpaused. The live "
        "releases keep serving.",
    )
    _lasting(settings, incident, age > SILENT_S, at, seen)
    return age <= SILENT_S


def _look_at(settings: Settings, name: str, at: dt.datetime, seen: Seen) -> None:
    broken = f"broken:{name}"
    try:
        pipeline = Pipeline.load(settings, name)
    except ConfigurationError as error:
        incident = Incident(
            key=broken, title=f"{name}: the pipeline's folder is broken, it has no nights",
            text=f"{error}\n\n./nightshift check {name} names every problem.", pipeline=name,
        )  # fmt: skip
        _lasting(settings, incident, True, at, seen)
        return
    incidents.resolve(settings, broken, now=at)
    seen.new += [incident.title for incident in nights.tell_night(pipeline, now=at)]
    nights.sweep_failures(pipeline)
    late = nights.deadline(pipeline, at)
    if late is not None and incidents.report(settings, late, now=at):
        seen.new.append(late.title)


def _lasting(
    settings: Settings, incident: Incident, wrong: bool, at: dt.datetime, seen: Seen
) -> None:
    if not wrong:
        incidents.resolve(settings, incident.key, now=at)
    elif incidents.report(settings, incident, lasting=True, now=at):
        seen.new.append(incident.title)


def _disks(settings: Settings, usage: Usage) -> list[tuple[Incident, bool]]:
    """Each file system that Nightshift writes to, and whether it is nearly full."""
    found: dict[int, tuple[Incident, bool]] = {}
    for folder in (settings.home, settings.data, settings.model_repo):
        there = next((p for p in (folder, *folder.parents) if p.exists()), None)
        if there is None or (device := there.stat().st_dev) in found:
            continue
        total, free = usage(there)
        share = free / total if total else 0.0
        least = settings.disk_min_free
        # By the folder's name, whether it is there yet or not: a later look means the same disk.
        key = f"disk:{folder}"
        before = incidents.known(settings, key)
        # Once told, a disk counts as nearly full until some more is free: no message for each file.
        is_open = before is not None and before.closed_at is None
        incident = Incident(
            key=key,
            title=f"the disk of {folder} is nearly full: {free / _GIB:.1f} GiB free",
            text=(
                f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB are free ({share:.1%}); "
                f"NIGHTSHIFT_DISK_MIN_FREE asks for {least:.0%}. A night that finds the disk full "
                "fails; the live release keeps serving. keep_releases in pipeline.yaml and "
                "old partitions are where space is."
            ),
            severity="warning",
        )  # fmt: skip
        found[device] = (incident, share < least * (1.2 if is_open else 1.0))
    return list(found.values())


def _usage(folder: Path) -> tuple[int, int]:
    found = shutil.disk_usage(folder)
    return found.total, found.free


# The heartbeat.


def heartbeat_path(settings: Settings) -> Path:
    """The file that each look of Airflow writes; an outside monitor asks for its age."""
    return settings.home / "heartbeat.json"


def watcher_path(settings: Settings) -> Path:
    """What a look outside of Airflow leaves."""
    return settings.home / "watcher.json"


def read_heartbeat(settings: Settings) -> dict[str, Any]:
    """The last look.

    Raises:
        ContractError: there was none, or its file is broken.
    """
    value = files.read_json(heartbeat_path(settings))
    return value if isinstance(value, dict) else {}


def heartbeat_age_s(settings: Settings, *, now: dt.datetime | None = None) -> float:
    """Seconds since the last look.

    Raises:
        ContractError: there was none.
    """
    at = str(read_heartbeat(settings).get("at", ""))
    try:
        taken = moment_of(at)
        return ((now or dt.datetime.now(dt.timezone.utc)) - taken).total_seconds()
    except (ValueError, TypeError):  # a time without a zone
        raise ContractError(f"{heartbeat_path(settings)} holds no time") from None


def _ping(settings: Settings) -> None:
    import httpx

    try:
        httpx.get(settings.heartbeat_url, timeout=10).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConfigurationError(f"the monitor did not take the ping: {error}") from error


@contextlib.contextmanager
def _noted(seen: Seen, what: str) -> Any:
    try:
        yield
    except (NightshiftError, OSError) as error:
        seen.problems.append(f"{what}: {error}")

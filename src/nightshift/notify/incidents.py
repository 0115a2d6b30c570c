"""Incidents: what went wrong, told once to each target, across restarts and kills.

An incident is a file, written before anything is sent, so that what could not be delivered is
sent later. What is delivered is noted by target. A kill between the two may send that message to
that target once more; none is lost.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from nightshift import files
from nightshift.errors import ConfigurationError, NightshiftError
from nightshift.notify.channels import Channel, channels
from nightshift.settings import Settings

Severity = Literal["failure", "warning", "info"]

DELIVER_FOR = dt.timedelta(days=3)
"""A target that cannot be reached is tried for so long."""

KEEP = dt.timedelta(days=90)
"""Closed incidents are remembered for so long, so that the same is not told again."""


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One thing that people should know of.

    Attributes:
        key: names it; the same key is the same incident. Begins with its kind.
        title: one line.
        text: what happened, why, and what to do.
        severity: `failure`, `warning` or `info`.
        pipeline: the pipeline; empty for the whole installation.
    """

    key: str
    title: str
    text: str
    severity: Severity = "failure"
    pipeline: str = ""

    @property
    def kind(self) -> str:
        """The first part of its key."""
        return self.key.partition(":")[0]

    @property
    def tags(self) -> set[str]:
        """What a target may have asked for."""
        return {self.kind, self.severity, *([self.pipeline] if self.pipeline else [])}


@dataclass(kw_only=True)
class Record:
    """What is kept of an incident; times are UTC, `YYYY-MM-DDTHH:MM:SSZ`."""

    incident: Incident
    opened_at: str
    closed_at: str | None = None
    delivered: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def report(
    settings: Settings, incident: Incident, *, lasting: bool = False, now: dt.datetime | None = None
) -> bool:
    """Open an incident, unless it is known, and tell the targets that have not been told.

    Args:
        settings: the machine.
        incident: what happened.
        lasting: a state that ends with `resolve`, and may come again after that. Otherwise it is
            an event, which is told once and for all.
        now: the time.

    Returns:
        Whether it is new.

    Raises:
        LockHeld: another process has been delivering for a minute.
    """
    at = now or dt.datetime.now(dt.timezone.utc)
    path = _path(settings, incident.key)
    with files.locked(folder(settings) / ".lock"):
        record = _read(path)
        new = record is None or (lasting and record.closed_at is not None)
        if record is None or new:
            record = Record(
                incident=incident, opened_at=_text(at), closed_at=None if lasting else _text(at)
            )
            _write(path, record)
        _deliver(settings, path, record, at)
    return new


def resolve(settings: Settings, key: str, *, now: dt.datetime | None = None) -> bool:
    """Close an incident; the same may then come again. Returns whether it was open."""
    path = _path(settings, key)
    if not path.exists():
        return False
    with files.locked(folder(settings) / ".lock"):
        record = _read(path)
        if record is None or record.closed_at is not None:
            return False
        record.closed_at = _text(now or dt.datetime.now(dt.timezone.utc))
        _write(path, record)
    return True


def known(settings: Settings, key: str) -> Record | None:
    """What is kept of an incident; None where it never happened or is forgotten."""
    return _read(_path(settings, key))


def deliver_pending(settings: Settings, *, now: dt.datetime | None = None) -> None:
    """Send what could not be sent before, and forget what was closed long ago."""
    at = now or dt.datetime.now(dt.timezone.utc)
    if not folder(settings).is_dir():
        return
    with files.locked(folder(settings) / ".lock"):
        files.sweep_staging(folder(settings))
        for path, record in _records(settings):
            if record.closed_at is not None and at - _time(record.closed_at) > KEEP:
                path.unlink(missing_ok=True)
                continue
            _deliver(settings, path, record, at)


def listed(settings: Settings) -> list[Record]:
    """All incidents that are remembered, newest first."""
    found = [record for _, record in _records(settings)]
    return sorted(found, key=lambda record: record.opened_at, reverse=True)


def folder(settings: Settings) -> Path:
    """Where incidents are kept."""
    return settings.home / "incidents"


def _deliver(settings: Settings, path: Path, record: Record, at: dt.datetime) -> None:
    if settings.notify == "later" or at - _time(record.opened_at) > DELIVER_FOR:
        return
    incident = record.incident
    try:
        targets = channels(settings)
    except ConfigurationError as error:
        if record.failures.get("channels") != str(error):
            record.failures["channels"] = str(error)
            _write(path, record)
        return
    failures: dict[str, str] = {}
    if not record.delivered and not record.failures and not targets:
        # Nobody was to be told when it happened: who is named later is not told of the past.
        record.delivered["nobody"] = _text(at)
        _write(path, record)
    if "nobody" in record.delivered:
        return
    for channel in targets:
        if channel.id in record.delivered or not channel.wants(incident.tags):
            continue
        why = _send(channel, incident)
        if why is None:
            record.delivered[channel.id] = _text(at)
            _write(path, record)
        else:
            failures[channel.shown] = why
    if failures != record.failures:
        record.failures = failures
        _write(path, record)


def _send(channel: Channel, incident: Incident) -> str | None:
    return channel.send(
        title=f"Nightshift: {incident.title}", text=incident.text, severity=incident.severity
    )


def _path(settings: Settings, key: str) -> Path:
    return folder(settings) / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def _records(settings: Settings) -> Iterator[tuple[Path, Record]]:
    for path in sorted(folder(settings).glob("*.json")):
        record = _read(path)
        if record is not None:
            yield path, record


def _read(path: Path) -> Record | None:
    if not path.is_file():
        return None
    with contextlib.suppress(NightshiftError, TypeError, KeyError, ValueError):
        value = files.read_json(path)
        record = Record(**{**value, "incident": Incident(**value["incident"])})
        return record if _is_sound(record) else None
    return None  # damaged: it is told again rather than never


def _is_sound(record: Record) -> bool:
    """Whether each value is of its kind, so that one damaged record does not stop the others.

    Raises:
        TypeError, ValueError: a time is none.
    """
    _time(record.opened_at)
    if record.closed_at is not None:
        _time(record.closed_at)
    told = (record.delivered, record.failures)
    return all(isinstance(value, str) for value in vars(record.incident).values()) and all(
        isinstance(one, dict) and all(isinstance(value, str) for value in one.values())
        for one in told
    )


def _write(path: Path, record: Record) -> None:
    value: dict[str, Any] = asdict(record)
    files.write_json(path, value)


def _text(at: dt.datetime) -> str:
    return at.astimezone(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> dt.datetime:
    return dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.timezone.utc)

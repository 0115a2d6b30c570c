"""Records of releases that are long gone: their folders, the log's lines, version numbers.

Retention takes a release's model and leaves its record. Here the record ends as well. What the log
says of a release stays as long as its folder is there, and so does the last switch: the lost
pointer is found by it, and a rollback finds its way.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

from nightshift import files
from nightshift.errors import ContractError
from nightshift.pipeline import Pipeline
from nightshift.registry import leases, retention
from nightshift.registry.names import version_of
from nightshift.registry.pointer import read_live
from nightshift.registry.store import MAX_LINE, ReleaseFolder, ReleaseStore, event_of, moment_of
from nightshift.triton import repository


def prune(pipeline: Pipeline, *, before: dt.datetime, now: dt.datetime) -> dict[str, Any]:
    """Remove records of before a moment.

    The data cards of releases without a model, by far the largest part of a record, go once
    monitoring looks back to them no more (`monitor.days`).

    Args:
        pipeline: whose.
        before: with a zone.
        now: the time.

    Returns:
        What went: `releases`, `cards`, `events`, `versions`, how many of each.

    Raises:
        ContractError: the live pointer is broken; nothing was removed.
        LockHeld: a switch is under way.
    """
    store = pipeline.store
    with files.locked(store.lock_path):
        live = read_live(store.root)
        needed = {lease.release_id for lease in leases.active(store)}
        if live is not None:
            needed |= {live.release_id, live.previous}
            needed |= {pair.release_id for pair in live.warm(now)}
        looked_at = now - dt.timedelta(days=pipeline.config.monitor.days)
        gone = cards = 0
        for folder in store.releases():
            made = _made(folder)
            if folder.id in needed or folder.model.is_dir() or made is None:
                continue
            if made < before:
                repository.put_away(folder.root)
                gone += 1
            elif made < looked_at and folder.data_card.exists():
                folder.data_card.unlink()
                cards += 1
        there = {folder.id for folder in store.releases()}
        events = _forget_events(store, before, {*there, *needed})
        versions = _forget_versions(pipeline, before, {version_of(name) for name in there})
    return {"releases": gone, "cards": cards, "events": events, "versions": versions}


def _made(folder: ReleaseFolder) -> dt.datetime | None:
    """When a release was made; None where its record is broken, which a person has to look at."""
    try:
        return _time(folder.manifest().created_at)
    except (ContractError, ValueError):
        return None


def _forget_events(store: ReleaseStore, before: dt.datetime, there: Collection[str | None]) -> int:
    def keep(lines: list[bytes]) -> list[bytes]:
        events = [event_of(line) if len(line) <= MAX_LINE else None for line in lines]
        last = _last_switch(events)
        return [
            line
            for n, (line, event) in enumerate(zip(lines, events, strict=True))
            if event is not None
            and (n >= last or event.get("release_id") in there or not _is_old(event, before))
        ]

    return files.rewrite_lines(store.history_path, keep)


def _last_switch(events: list[dict[str, Any] | None]) -> int:
    """Place of the switch with the highest number; after the last line where there is none."""
    found = [(e["sequence"], n) for n, e in enumerate(events) if e and e["event"] == "switched"]
    return max(found)[1] if found else len(events)


def _is_old(event: Mapping[str, Any], before: dt.datetime) -> bool:
    try:
        return _time(str(event["at"])) < before
    except ValueError:
        return True


def _forget_versions(pipeline: Pipeline, before: dt.datetime, needed: Collection[int]) -> int:
    return sum(
        repository.forget_versions(pipeline.model_repo, model, before=before.date(), needed=needed)
        for model in retention.versions_of(pipeline)
    )


def _time(text: str) -> dt.datetime:
    found = moment_of(text)
    return found if found.tzinfo else found.replace(tzinfo=dt.timezone.utc)

"""What became of every release: the table of `./nightshift releases`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nightshift.errors import NightshiftError
from nightshift.registry import leases
from nightshift.registry.pointer import WITHDRAWAL, read_live
from nightshift.registry.store import ReleaseFolder, ReleaseStore

_LEAST_WHY = 40
"""Columns that a reason gets even where the terminal is too narrow for the table."""

State = Literal["live", "kept", "retired", "rejected", "candidate", "broken"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One release, or one night that ended before there was one (`release_id` is empty).

    `state`: live; kept (accepted, a rollback can restore it); retired (accepted, its model is
    gone); rejected; candidate (its night has not ended); broken (its files do not hold).
    """

    release_id: str
    ds: str
    auc: float | None
    logloss: float | None
    state: State
    why: str
    model_version: int | None = None
    deployment: str | None = None
    created_at: str | None = None
    last_live_at: str | None = None


def rows(releases: Path) -> list[Row]:
    """All releases and rejected nights, oldest date first."""
    store = ReleaseStore(releases)
    events = list(store.events())
    damage = ""
    try:
        live = read_live(releases)
        live_id, live_why = (
            (live.release_id, _live_why(live.switched_at, live.reason)) if live else ("", "")
        )
    except NightshiftError as error:
        live, live_id, live_why, damage = None, "", "", str(error)
    last_live = {
        e["release_id"]: str(e.get("switched_at") or e["at"])
        for e in events
        if e["event"] == "switched"
    }
    gone = {e["release_id"]: str(e["at"]) for e in events if e["event"] == "removed"}
    withdrawn = _withdrawn(events)
    at_work = {lease.release_id for lease in leases.active(store)}
    found = [
        _row(
            folder,
            live_id,
            live_why,
            folder.id in at_work,
            last_live.get(folder.id),
            gone.get(folder.id),
            withdrawn.get(folder.id),
        )
        for folder in store.releases()
    ]
    if damage:
        last = max(last_live, key=lambda one: last_live[one], default="")
        found = [
            replace(row, why=f"the last that was switched to; {damage}")
            if row.release_id == last
            else row
            for row in found
        ]
    if live is not None and live.canary is not None:
        part = live.canary
        why = f"canary since {part.since}: {part.share:.3g} of the users by {part.column}"
        found = [
            replace(row, why=why) if row.release_id == part.pair.release_id else row
            for row in found
        ]
    found += [
        Row(
            release_id="",
            ds=str(e.get("ds", "")),
            auc=None,
            logloss=None,
            state="rejected",
            why="; ".join(map(str, e.get("reasons", []))) or "no reason given",
            created_at=str(e["at"]),
        )
        for e in events
        if e["event"] == "rejected" and not e.get("release_id")
    ]
    return sorted(found, key=lambda row: (row.ds, row.created_at or ""))


def _withdrawn(events: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Why and when releases were taken out of service for what they did there."""
    found: dict[str, str] = {}
    for event in events:
        reason, gone = str(event.get("reason", "")), event.get("previous")
        if event["event"] == "switched":
            found.pop(event["release_id"], None)
            if reason.startswith(WITHDRAWAL) and gone:
                found[gone] = f"withdrawn {event['at']}: {reason.removeprefix(WITHDRAWAL)}"
        elif event["event"] == "canary ended" and reason.startswith(WITHDRAWAL):
            found[event["release_id"]] = (
                f"withdrawn as a canary {event['at']}: {reason.removeprefix(WITHDRAWAL)}"
            )
    return found


def _live_why(at: str, reason: str) -> str:
    return f"since {at} ({reason})"


def _row(
    folder: ReleaseFolder,
    live_id: str,
    live_why: str,
    at_work: bool,
    last_live: str | None,
    gone: str | None,
    withdrawn: str | None,
) -> Row:
    try:
        manifest = folder.manifest()
        verdict = folder.verdict()
    except NightshiftError as error:
        return Row(
            release_id=folder.id, ds=folder.id[:10], auc=None, logloss=None, state="broken",
            why=str(error),
        )  # fmt: skip
    state: State
    if folder.id == live_id:
        state, why = "live", live_why
    elif verdict is None:
        state, why = "candidate", "the gates have not judged it"
    elif not verdict["accepted"]:
        state, why = "rejected", "; ".join(map(str, verdict.get("reasons", [])))
    elif at_work and not last_live and not verdict.get("note"):
        state, why = "candidate", "the gates let it through, and its night goes on"
    elif folder.model.is_dir():
        state = "kept"
        why = withdrawn or (
            f"last live {last_live}" if last_live else str(verdict.get("note") or "never live")
        )
    else:
        state, why = "retired", f"removed by retention{f' at {gone}' if gone else ''}"
    return Row(
        release_id=folder.id,
        ds=manifest.ds,
        auc=manifest.metrics.get("auc"),
        logloss=manifest.metrics.get("logloss"),
        state=state,
        why=why,
        model_version=manifest.model.version,
        deployment=manifest.sql.deployment if manifest.features else None,
        created_at=manifest.created_at,
        last_live_at=last_live,
    )


def table(found: Sequence[Row], *, width: int | None = None) -> str:
    """The rows as aligned text.

    Args:
        found: the rows.
        width: columns of the terminal: a long reason is folded in its own column. None leaves
            one line a release, for a pipe.
    """
    if not found:
        return "No release yet; `./nightshift run --ds DATE` makes the first."
    head = ("release", "date", "AUC", "logloss", "state", "why")
    lines = [head, *(_cells(row) for row in found)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head) - 1)]
    indent = sum(widths) + 2 * len(widths)
    shown = []
    for line in lines:
        cells = [cell.ljust(w) for cell, w in zip(line, widths, strict=False)]
        why = [line[-1]]
        if width is not None:
            why = textwrap.wrap(
                line[-1], max(_LEAST_WHY, width - indent), break_long_words=False,
                break_on_hyphens=False,
            ) or [""]  # fmt: skip
        shown.append("  ".join((*cells, why[0])))
        shown += [" " * indent + more for more in why[1:]]
    return "\n".join(shown)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.release_id or "-",
        row.ds,
        "-" if row.auc is None else f"{row.auc:.4f}",
        "-" if row.logloss is None else f"{row.logloss:.4f}",
        row.state,
        row.why,
    )

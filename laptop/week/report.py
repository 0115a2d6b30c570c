"""A week in lines: what was served, what it was worth, and what the ledger says."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from cli.console import table
from laptop.week.feed import LATE_TABLE
from nightshift import files
from nightshift.live.skew.causes import LATE
from nightshift.live.skew.text import span
from nightshift.monitoring import served

if TYPE_CHECKING:
    from laptop.week.run import Run


def causes(found: dict[str, Any], most: int = 3) -> list[str]:
    """The largest causes of a ledger, each with what it costs."""
    listed = sorted(
        ((one, release) for release in found["releases"] for one in release["causes"]),
        key=lambda pair: -pair[0]["rows"],
    )
    return [_cause(one) for one, _ in listed[:most]]


def _cause(one: dict[str, Any]) -> str:
    text = f"{one['cause']}: {one['table']}" if one["table"] else str(one["cause"])
    text += f", {one['rows']} requests"
    late = one.get("late_s")
    if late:
        text += f", late by {span(late['p50'])} in the median"
    price = (one.get("price") or {}).get("auc")
    if price:
        certain = price["low"] > 0 or price["high"] < 0
        text += (
            f"; {'costs' if certain else 'no certain price:'} {price['difference']:+.4f} AUC "
            f"[{price['low']:+.4f}, {price['high']:+.4f}]"
        )
    return text


def names_the_fault(found: dict[str, Any]) -> bool:
    """Whether a ledger says that events of the delayed table came hours late."""
    return any(
        cause["cause"] == LATE and cause["table"] == LATE_TABLE
        and cause.get("late_s", {}).get("p50", 0) > 3 * 3600
        for release in found["releases"]
        for cause in release["causes"]
    )  # fmt: skip


def served_against_training(found: dict[str, Any]) -> list[str]:
    """By release, the AUC that was served beside that of training's features, on one set of rows."""
    lines = []
    for release in found["releases"]:
        price = release["price"]
        if "why" in price:
            lines.append(f"release {release['release']}: no price, {price['why']}")
            continue
        served_by = price["served"]
        lines.append(
            f"release {release['release']}: {price['rows']} labelled requests, "
            f"{price['positives']} positives: served AUC {_number(served_by['auc'])}"
            f"{_interval(served_by.get('auc_interval'))}, by training's features "
            f"{_number(price['training']['auc'])}{_change(price)}"
        )
    return lines


def _change(price: dict[str, Any]) -> str:
    one = price.get("auc")
    if not one:
        return ""
    return f", difference {one['difference']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]"


def served_differs(found: dict[str, Any]) -> str:
    """What is wrong where a release was served worse than training promises; empty: nothing."""
    for release in found["releases"]:
        auc = release["price"].get("auc")
        # Training better by more than a hundredth, whatever chance does.
        if auc and auc["low"] > 0.01:
            return (
                f"release {release['release']} was served {auc['difference']:.4f} AUC below "
                "what training promises, on days without a fault"
            )
    return ""


def reason(release: str, why: str) -> str:
    """Why a release was withdrawn, which the history says with its name once more."""
    return why.replace(f": {release}: ", ": ")


def wrongly_judged(withdrawn: dict[str, str], bad: dt.date) -> list[str]:
    """What is wrong where not just the release of the bad night was withdrawn."""
    found = [
        f"{release} was {why}, without a fault"
        for release, why in withdrawn.items()
        if not release.startswith(f"{bad}.")
    ]
    if len(found) == len(withdrawn):
        found.append(f"the bad release of {bad} was not withdrawn")
    return found


def as_text(made: Run) -> str:
    """The week as a table, from the newest report of what was served."""
    path = served.report_path(made.pipeline)
    value = files.read_json(path) if path.is_file() else {}
    rows = []
    for one in value.get("days", []):
        found = made.reports.get(dt.date.fromisoformat(one["day"]))
        differing = "-" if found is None else str(found["rows_differing"])
        rows.append(
            (
                one["day"],
                one["release"],
                str(one["rows"]),
                f"{_number(one['auc'])}{_interval(one['auc_interval'])}",
                _number(one["expected_auc"]),
                differing,
            )
        )
    head = ("day", "release", "served", "AUC, labels final", "expected", "unlike training")
    lines = [
        "The week",
        table(head, rows),
    ]
    held_out = [
        f"  {one['release']}: held-out AUC {_number(one['held_out'])}"
        f"{_interval(one.get('held_out_interval'))}, served "
        f"{_number(one['auc'])}{_interval(one['auc_interval'])} "
        f"({one['judged']} requests with final labels)"
        for one in value.get("releases", [])
        if one["judged"]
    ]
    lines += ["", "Served against held out", *held_out]
    for text in value.get("warnings", []):
        lines.append(f"  warning: {text}")
    lines += [f"  {release} {reason(release, why)}" for release, why in made.withdrawn.items()]
    if made.rejected:
        lines.append(f"  rejected by their gates: {', '.join(map(str, made.rejected))}")
    return "\n".join(lines)


def _interval(interval: list[float] | None) -> str:
    return f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

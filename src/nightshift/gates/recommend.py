"""The recommend gate: retrieval has to find what users liked later, and more than popular items do.

The retrievers were fitted on the days before the held-out ones and asked for each user's
candidates (`nightshift.recommend.heldout`). What serves is fitted on all days, the same way. The
approximate index that serves is compared with the exact search.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.gates.base import Finding, report
from nightshift.recommend import artefact

if TYPE_CHECKING:
    from nightshift.night import Night


def check(night: Night, release: str | None) -> dict[str, Any]:
    """Judge a night's retrieval by its card."""
    folder = night.folder(release).recommend if release else night.run.recommend
    return judge(files.read_json(folder / artefact.CARD), night.gate("recommend"))


def judge(card: Mapping[str, Any], gate: Mapping[str, Any]) -> dict[str, Any]:
    """Judge a card.

    Args:
        card: `recommend.json`.
        gate: the `recommend` part of gates.yaml.

    Returns:
        The report `recommend`: status, failures, warnings, and the figures.
    """
    measured, at = card["held_out"], str(gate["at"])
    findings = []
    least = gate["min_users"]
    if measured["users"] < least["value"]:
        findings.append(
            Finding(
                "users",
                least["level"],
                f"{measured['users']} users liked something new in the held-out days, and "
                f"{least['value']} are needed to judge retrieval; raise recommend.test_days",
            )
        )
    if measured["users"]:
        findings += _recall(measured, gate, at)
    findings += _index(card, gate["min_index_recall"])
    return report(
        "recommend",
        findings,
        held_out=measured,
        retrievers=card["retrievers"],
        users=card["users"],
        items=card["items"],
    )


def _recall(measured: Mapping[str, Any], gate: Mapping[str, Any], at: str) -> list[Finding]:
    findings = []
    recall, popular = measured["recall"][at], measured["by_retriever"]["popular"][at]
    least = gate["min_recall"]
    if recall < least["value"]:
        findings.append(
            Finding(
                "recall", least["level"],
                f"recall at {at} is {recall:.4f}, below {least['value']:g}",
            )
        )  # fmt: skip
    gap = measured["difference"]
    words = (
        f"recall at {at} is {recall:.4f}, and {popular:.4f} by the most popular items alone: "
        f"{gap['mean'][at]:+.4f}, 95% interval [{gap['low'][at]:+.4f}, {gap['high'][at]:+.4f}]"
    )
    if gap["high"][at] < -gate["fail_margin"]:
        findings.append(Finding("popular", gate["level"], words + "; retrieve by popular alone"))
    elif gap["high"][at] < 0:
        findings.append(Finding("popular", "warn", words))
    return findings


def _index(card: Mapping[str, Any], least: Mapping[str, Any]) -> list[Finding]:
    findings = []
    for name, figures in card["retrievers"].items():
        found = figures.get("index_recall")
        if found is not None and found < least["value"]:
            findings.append(
                Finding(
                    "index", least["level"],
                    f"the index of {name} finds {found:.3f} of what the exact search finds, below "
                    f"{least['value']:g}",
                )
            )  # fmt: skip
    return findings

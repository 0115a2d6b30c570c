"""The baseline gate: a model has to be worth more than a logistic regression on the same rows.

Training fits one each night and compares the two on the held-out rows (the model card's
`baseline`); this gate reads the interval of the difference of their AUCs. Below the baseline is a
warning; by more than `fail_margin` below it, a simpler model serves better and the candidate is
rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.gates.base import Finding, report

if TYPE_CHECKING:
    from nightshift.night import Night


def check(night: Night, release: str | None) -> dict[str, Any]:
    """Judge a night's model by its card."""
    del release
    return judge(files.read_json(night.run.model / "model_card.json"), night.gate("baseline"))


def judge(card: Mapping[str, Any], gate: Mapping[str, Any]) -> dict[str, Any]:
    """Judge a model card.

    Args:
        card: the model card; without a `baseline` (hyper-parameter `baseline: false`) there is
            nothing to judge.
        gate: the `baseline` part of gates.yaml.

    Returns:
        The report `baseline`: status, failures, warnings, and the comparison.
    """
    compared = card.get("baseline")
    findings = []
    if not compared:
        why = "the model was trained without a baseline; set the hyper-parameter baseline: true"
        findings.append(Finding("baseline", "warn", why))
    elif compared["auc_difference"]:
        gap = compared["auc_difference"]
        words = (
            f"AUC {gap['difference']:+.4f} against the {compared['model']} on the same rows, "
            f"{gap['confidence']:.0%} interval [{gap['low']:+.4f}, {gap['high']:+.4f}]"
        )
        if gap["high"] < -gate["fail_margin"]:
            findings.append(
                Finding(
                    "baseline",
                    gate["level"],
                    f"{words}: worse by more than {gate['fail_margin']:g}; train family lr, or see "
                    "the model card's warnings",
                )
            )
        elif gap["high"] < 0:
            findings.append(Finding("baseline", "warn", f"{words}: worse"))
    return report("baseline", findings, comparison=compared)

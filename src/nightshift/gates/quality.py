"""The quality gate: challenger and champion on the same held-out rows.

The rule (thresholds in gates.yaml):
1. The floor: every candidate needs an AUC and a log loss that are worth serving. For the first
   model, and where the two cannot be compared, the floor is all.
2. Not worse: the paired bootstrap interval of each difference must lie on the right side of
   its margin. This is a non-inferiority test: it asks for evidence, so few rows or an unlucky
   day do not promote, and a fresh model that equals the old one does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from nightshift import files
from nightshift.gates import curves, measures
from nightshift.gates.base import Finding, report
from nightshift.layout import RunFolder
from nightshift.night import Night
from nightshift.registry.store import ReleaseFolder

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def check(night: Night, release: str | None) -> dict[str, Any]:
    """Compare the candidate with the release that was live when it was made.

    Raises:
        ContractError: the scores are absent, or not those of this candidate's held-out rows.
    """
    store, gates = night.store, night.gate("quality")
    champion, test_days = _compared(night, release)
    table = pq.read_table(night.scores)
    theirs, why = None, None
    if champion is not None:
        why = _incomparable(store.folder(champion), test_days)
        if "champion" in table.column_names:
            theirs = table["champion"].to_numpy()
        else:
            result = files.read_json(night.run.result("score"))
            why = why or str(result.get("incomparable") or "its scores are not there")
    return judge(
        table["label"].to_numpy(),
        table["challenger"].to_numpy(),
        None if why else theirs,
        gates,
        champion_id=champion,
        incomparable=why,
        slices=_slices(night.run, gates["slices"]),
    )


def _compared(night: Night, release: str | None) -> tuple[str | None, Sequence[str]]:
    """The champion, and the held-out days; before a refit they are in the run's folder."""
    if release is not None:
        manifest = night.folder(release).manifest()
        champion = manifest.champion
        return champion.release_id if champion else None, manifest.window.test_days
    pinned = files.read_json(night.run.reports / "champion.json")
    card = files.read_json(night.run.dataset / "data_card.json")
    return pinned["champion"], [day["day"] for day in card["splits"]["test"]["days"]]


def _incomparable(champion: ReleaseFolder, test_days: Sequence[str]) -> str | None:
    window = champion.manifest().window
    days = leaked_days(test_days, window.first_day, window.test_days)
    return f"it learned from the held-out days {', '.join(days)}" if days else None


def _slices(run: RunFolder, names: Sequence[str]) -> dict[str, Any]:
    """Held-out rows whose value of a field was seen in training, and the others."""
    card = files.read_json(run.dataset / "data_card.json")
    slices: dict[str, Any] = {}
    for name in names:
        train, test = (
            pq.read_table(run.dataset / card["splits"][split]["file"], columns=[name])[name]
            for split in ("train", "test")
        )
        known = np.isin(test.to_numpy(), train.to_numpy())
        slices[f"{name}_known"], slices[f"{name}_new"] = known, ~known
    return slices


def figures(labels: Bools, scores: Floats) -> dict[str, Any]:
    """All measures of one model: rows, positives, AUC, log loss, calibration (None: undefined)."""
    both = 0 < labels.sum() < len(labels)
    base = measures.base_logloss(labels) if both else None
    loss = measures.logloss(labels, scores)
    return {
        "rows": len(labels),
        "positives": int(labels.sum()),
        "auc": measures.auc(labels, scores),
        "logloss": loss,
        "logloss_ratio": loss / base if loss is not None and base else None,
        "calibration_ratio": measures.calibration_ratio(labels, scores),
        "calibration_error": measures.expected_calibration_error(labels, scores),
    }


def judge(
    labels: npt.ArrayLike,
    challenger: npt.ArrayLike,
    champion: npt.ArrayLike | None,
    gates: Mapping[str, Any],
    *,
    champion_id: str | None = None,
    incomparable: str | None = None,
    slices: Mapping[str, npt.ArrayLike] | None = None,
) -> dict[str, Any]:
    """Decide by the rule above.

    Args:
        labels: [n], 1 where the outcome is positive.
        challenger: [n], the candidate's scores.
        champion: [n], the live release's scores of the same rows; None where there is none.
        gates: the `quality` part of gates.yaml.
        champion_id: the live release, for the report.
        incomparable: why there are no champion scores although a release is live.
        slices: bool [n] by name: parts that are measured apart, for the report only.

    Returns:
        The report `quality`: status, failures, warnings, figures of both models, intervals.
    """
    truth = np.asarray(labels).astype(bool)
    ours = np.asarray(challenger, dtype=np.float64)
    theirs = None if champion is None else np.asarray(champion, dtype=np.float64)
    found = figures(truth, ours)
    findings = floor(found, gates)
    value: dict[str, Any] = {
        "challenger": found,
        "champion": None,
        "champion_release": champion_id,
        "intervals": None,
        "slices": {},
        "curves": curves.of(truth, ours),
    }
    if theirs is not None:
        value["champion"] = figures(truth, theirs)
        more, value["intervals"] = _versus(truth, ours, theirs, gates["versus_live"], champion_id)
        findings += more
    elif champion_id is not None:
        findings.append(
            Finding(
                "versus_live",
                gates["versus_live"]["incomparable"],
                f"not compared with the live release {champion_id}: {incomparable}; "
                "only the floor was checked",
            )
        )
    for name, mask in (slices or {}).items():
        part = np.asarray(mask).astype(bool)
        value["slices"][name] = {
            "challenger": figures(truth[part], ours[part]),
            "champion": None if theirs is None else figures(truth[part], theirs[part]),
        }
    return report("quality", findings, **value)


def floor(found: Mapping[str, Any], gates: Mapping[str, Any]) -> list[Finding]:
    """The bounds that every candidate must keep; a figure that is undefined breaks none.

    Args:
        found: what `figures` gives.
        gates: the `quality` part of gates.yaml.
    """
    if found["auc"] is None:
        return [
            Finding(
                "min_auc",
                gates["min_auc"]["level"],
                f"the held-out rows have one class only ({found['positives']} positives of "
                f"{found['rows']}); hold out more days (test_days)",
            ),
            *_bounds(found, gates),
        ]
    return _bounds(found, gates)


def _bounds(found: Mapping[str, Any], gates: Mapping[str, Any]) -> list[Finding]:
    calibration = gates["calibration_ratio"]
    error = gates["max_calibration_error"]["value"]
    logloss = gates["max_logloss_ratio"]["value"]
    bounds: list[tuple[str, str, float | None, float | None, Callable[[float], str]]] = [
        ("min_auc", "auc", gates["min_auc"]["value"], None,
         lambda v: f"AUC {v:.4f} is below the floor {gates['min_auc']['value']:g}"),
        ("max_logloss_ratio", "logloss_ratio", None, logloss,
         lambda v: f"log loss {found['logloss']:.4f} is {v:.3f} times that of always answering "
         f"the share of positives; at most {logloss:g}"),
        ("calibration_ratio", "calibration_ratio", calibration["min"], calibration["max"],
         lambda v: f"the mean score is {v:.3f} times the share of positives; between "
         f"{calibration['min']:g} and {calibration['max']:g}"),
        ("max_calibration_error", "calibration_error", None, error,
         lambda v: f"the expected calibration error is {v:.4f}; at most {error:g}"),
    ]  # fmt: skip
    return [
        Finding(name, gates[name]["level"], text(value))
        for name, figure, least, most, text in bounds
        if (value := found[figure]) is not None
        and ((least is not None and value < least) or (most is not None and value > most))
    ]


def _versus(
    labels: Bools, ours: Floats, theirs: Floats, gate: Mapping[str, Any], champion: str | None
) -> tuple[list[Finding], dict[str, Any] | None]:
    pair = measures.paired_bootstrap(
        labels,
        ours,
        theirs,
        resamples=gate["resamples"],
        confidence=gate["confidence"],
        seed=gate["seed"],
    )
    if pair is None:
        return [], None  # one class only: the floor has said so
    findings = []
    auc, loss = pair.auc, pair.logloss
    if auc.low < -gate["auc_margin"]:
        findings.append(
            Finding(
                "versus_live",
                gate["level"],
                f"AUC is {_verdict(auc.high, gate['auc_margin'])} the live release {champion}'s: "
                f"difference {auc.difference:+.4f}, {gate['confidence']:.0%} interval "
                f"[{auc.low:+.4f}, {auc.high:+.4f}], its lower end must be above "
                f"{-gate['auc_margin']:+g}",
            )
        )
    margin = gate["logloss_margin"] * float(measures.row_logloss(labels, theirs).mean())
    if loss.high > margin:
        findings.append(
            Finding(
                "versus_live",
                gate["level"],
                f"log loss is {_verdict(-loss.low, margin)} the live release {champion}'s: "
                f"difference {loss.difference:+.5f}, {gate['confidence']:.0%} interval "
                f"[{loss.low:+.5f}, {loss.high:+.5f}], its upper end must be below {margin:+.5f}",
            )
        )
    return findings, {"auc": asdict(auc), "logloss": asdict(loss)}


def _verdict(best: float, margin: float) -> str:
    """`best`: the end of the interval that is kindest to the challenger, larger is better."""
    if best < -margin:
        return "worse, beyond the margin, than"
    if best < 0:
        return "worse than"
    return "not shown (too few rows, or too uncertain a difference) to be as good as"


def leaked_days(
    test_days: Sequence[str], champion_first: str, champion_test_days: Sequence[str]
) -> list[str]:
    """Held-out days that the champion learned from: a comparison there flatters it.

    Args:
        test_days: the challenger's held-out days, `YYYY-MM-DD`.
        champion_first: first day of the champion's training window.
        champion_test_days: the champion's own held-out days.
    """
    if not champion_test_days:
        return []
    return [day for day in test_days if champion_first <= day < min(champion_test_days)]

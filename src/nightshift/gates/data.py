"""Data checks: is tonight's data whole, as specified, and like what the live model learned from?"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from nightshift import files
from nightshift.config.gates import Level
from nightshift.errors import ContractError
from nightshift.features.specification import FeatureSpec
from nightshift.features.stability import expected_profile, psi, usual_psi
from nightshift.gates import days_page
from nightshift.gates.base import Finding, report
from nightshift.night import Night
from nightshift.registry import pointer


def check(night: Night, release: str | None) -> dict[str, Any]:
    """Judge the night's data: whole, as specified, and like what the live model learned from."""
    live = pointer.read_live(night.pipeline.releases)
    card_of_live = None
    if live is not None:
        path = night.folder(live.release_id).data_card
        card_of_live = files.read_json(path) if path.is_file() else None
    report = judge(
        files.read_json(night.run.dataset / "data_card.json"),
        night.pipeline.features.spec,
        night.gate("data"),
        missing=night.plan["missing"],
        champion_card=card_of_live,
        champion_id=live.release_id if live else None,
    )
    title = f"{night.pipeline.name}, {night.ds}: rows and labels by day"
    files.write_text(night.run.reports / "days.html", days_page.render(report, title))
    return report


def judge(
    card: Mapping[str, Any],
    spec: FeatureSpec,
    gates: Mapping[str, Any],
    *,
    missing: Mapping[str, Sequence[str]] | None = None,
    champion_card: Mapping[str, Any] | None = None,
    champion_id: str | None = None,
) -> dict[str, Any]:
    """Judge a run's data by its data card.

    Args:
        card: `dataset/data_card.json` of the run.
        spec: the specification of the run.
        gates: the `data` part of gates.yaml.
        missing: days without a partition, by table, that the run was told to do without.
        champion_card: data card of the live release; None where there is none.
        champion_id: the live release, for the report.

    Returns:
        The report `data`: status, failures, warnings, counts and the drift of each feature.
    """
    findings = [
        Finding("partitions", "warn", f"partitions of {table} are missing: {', '.join(days)}")
        for table, days in (missing or {}).items()
        if days
    ]
    findings += _schema(card, spec)
    findings += bounds(card, gates)
    findings += _days(card, {**DAY_LEVELS, **gates.get("days", {})})
    drifted: dict[str, Any] = {}
    if champion_card is not None:
        if spec.accepts(champion_card["schema_hash"]):
            drifted, more = _drift(card, champion_card, gates["drift"], champion_id)
            findings += more
        else:
            shared = _same_kind(card, champion_card)
            drifted, more = _drift(card, champion_card, gates["drift"], champion_id, shared)
            findings += more
            findings.append(
                Finding(
                    "drift",
                    "warn",
                    f"the specification is not that of {champion_id}: drift is measured on the "
                    f"{len(shared)} features that both encode alike",
                )
            )
    rows, positives = _judged(card)
    return report(
        "data",
        findings,
        rows=card["rows"]["read"],
        judged_rows=rows,
        positive_share=positives / rows if rows else None,
        days=card.get("days", []),
        champion_release=champion_id if champion_card is not None else None,
        drift=drifted,
    )


def _schema(card: Mapping[str, Any], spec: FeatureSpec) -> list[Finding]:
    findings = []
    if not spec.accepts(card["schema_hash"]):
        findings.append(
            Finding(
                "schema",
                "fail",
                f"the dataset was encoded by another specification than {spec.source} "
                f"({card['schema_hash'][:12]}..., not {spec.schema_hash[:12]}...); "
                "run preprocess again",
            )
        )
    try:
        spec.check_columns(card["columns"].items())
    except ContractError as error:
        findings.append(Finding("schema", "fail", str(error)))
    return findings


def _judged(card: Mapping[str, Any]) -> tuple[int, int]:
    splits = card["splits"].values()
    return sum(s["rows"] for s in splits), sum(s["positives"] for s in splits)


def bounds(card: Mapping[str, Any], gates: Mapping[str, Any]) -> list[Finding]:
    """What of a card is beyond the bounds of rows, positives and NULLs.

    Args:
        card: `dataset/data_card.json`.
        gates: the `data` part of gates.yaml.
    """
    return _rows(card, gates) + _nulls(card, gates["nulls"])


def _rows(card: Mapping[str, Any], gates: Mapping[str, Any]) -> list[Finding]:
    findings = []
    gate, rows = gates["rows"], card["rows"]["read"]
    if rows < gate["min"]:
        findings.append(
            Finding("rows", gate["level"], f"{rows} feature rows; at least {gate['min']} are asked")
        )
    gate = gates["day_rows"]
    by_day = {d["day"]: d["rows"] for s in card["splits"].values() for d in s["days"]}
    median = statistics.median(by_day.values()) if by_day else 0
    for day, count in sorted(by_day.items()):
        share = count / median if median else 1.0
        if not gate["min_share"] <= share <= gate["max_share"]:
            findings.append(
                Finding(
                    "day_rows",
                    gate["level"],
                    f"{day} has {count} rows, {share:.2f} times the median day; between "
                    f"{gate['min_share']:g} and {gate['max_share']:g}",
                )
            )
    gate = gates["positives"]
    judged, positives = _judged(card)
    share = positives / judged if judged else 0.0
    if not gate["min_share"] <= share <= gate["max_share"]:
        findings.append(
            Finding(
                "positives",
                gate["level"],
                f"{positives} of {judged} judged rows are positive, a share of {share:.5f}; "
                f"between {gate['min_share']:g} and {gate['max_share']:g}",
            )
        )
    return findings


def _nulls(card: Mapping[str, Any], gate: Mapping[str, Any]) -> list[Finding]:
    findings = []
    for name, feature in card["features"].items():
        bound = float(gate["except"].get(name, gate["max_share"]))
        for when, profile in (("training", feature), ("the newest", feature["recent"])):
            if profile["rows"] and profile["null_share"] > bound:
                findings.append(
                    Finding(
                        "nulls",
                        gate["level"],
                        f"{name} is NULL in {profile['null_share']:.1%} of {when} rows; at most "
                        f"{bound:.1%}",
                    )
                )
    return findings


DAY_LEVELS: Mapping[str, str] = {
    "no_labels": "fail",
    "few_labels": "warn",
    "no_positives": "warn",
    "nulls": "warn",
    "not_finite": "warn",
}
"""What a finding about one day means where gates.yaml does not say: fail, warn or off."""

FEW_LABELS_SHARE = 0.5
"""A settled day has few labels below this share of the median day's."""

NULLS_MORE = 0.5
"""A feature's share of NULLs on one day may lie so much above that of the median day."""

EXPECTED_POSITIVES = 10.0
"""A day without a positive is odd where so many were to be expected: chance is below 0.005 %."""


def _days(card: Mapping[str, Any], levels: Mapping[str, Any]) -> list[Finding]:
    """What single days show: labels that are not there, features that went NULL."""
    findings: list[Finding] = []

    def add(check: str, message: str) -> None:
        if levels[check] != "off":
            level: Level = "fail" if levels[check] == "fail" else "warn"
            findings.append(Finding(check, level, message))

    days = [day for day in card.get("days", ()) if day["rows"]]
    settled = [day for day in days if day["settled"]]
    absent = card.get("label_absent")
    shares = [day["labelled"] / day["rows"] for day in settled]
    usual = statistics.median(shares) if shares else 0.0
    judged = "labelled" if absent is None else "rows"
    labelled = sum(day[judged] for day in settled)
    rate = sum(day["positives"] for day in settled) / labelled if labelled else 0.0
    for day, share in zip(settled, shares, strict=True):
        if not day["labelled"]:
            # Where a missing label means something, a small day may well have none.
            if absent is None or usual * day["rows"] >= EXPECTED_POSITIVES:
                add(
                    "no_labels",
                    f"{day['day']}: none of {day['rows']} rows has a label, though settled",
                )
            continue
        if absent is None and share < FEW_LABELS_SHARE * usual:
            add(
                "few_labels",
                f"{day['day']}: {day['rows'] - day['labelled']} of {day['rows']} rows have no "
                f"label; on the median day {1 - usual:.1%}",
            )
        expected = rate * day[judged]
        if not day["positives"] and expected >= EXPECTED_POSITIVES:
            add(
                "no_positives",
                f"{day['day']}: no positive among {day[judged]} rows, where about "
                f"{expected:.0f} were to be expected",
            )
    names = sorted({name for day in days for name in day["nulls"]})
    for name in names:
        by_day = [day["nulls"].get(name, 0) / day["rows"] for day in days]
        median = statistics.median(by_day)
        for day, null_share in zip(days, by_day, strict=True):
            if null_share > median + NULLS_MORE:
                add(
                    "nulls",
                    f"{day['day']}: {name} is NULL in {null_share:.1%} of the rows, on the median "
                    f"day in {median:.1%}",
                )
    for day in days:
        for name, count in day.get("not_finite", {}).items():
            add(
                "not_finite",
                f"{day['day']}: {count} of {day['rows']} values of {name} are NaN or infinite "
                "(they count as NULL)",
            )
    return findings


IDENTIFIER_VALUES, IDENTIFIER_SHARE = 1000, 0.05
"""More values than these, and more than this share of the rows: new ones come every day."""


def is_identifier(profile: Mapping[str, Any]) -> bool:
    """Whether a feature takes ever new values, so that its drift says nothing."""
    distinct: int = profile["distinct"]
    return bool(distinct > max(IDENTIFIER_VALUES, IDENTIFIER_SHARE * profile["rows"]))


def _same_kind(card: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [
        name
        for name, feature in card["features"].items()
        if name in other["features"]
        and all(feature[k] == other["features"][name][k] for k in ("type", "decimals"))
    ]


def _drift(
    card: Mapping[str, Any],
    champion: Mapping[str, Any],
    gate: Mapping[str, Any],
    champion_id: str | None,
    names: Sequence[str] | None = None,
) -> tuple[dict[str, Any], list[Finding]]:
    drifted: dict[str, Any] = {}
    findings = []
    days = int(card.get("newer_days", 0))
    for name in card["features"] if names is None else names:
        recent = card["features"][name]["recent"]
        expected = expected_profile(champion["features"][name], recent)
        index, chance = psi(expected, recent)
        usual, stretch = usual_psi(champion["features"][name], days)
        if not stretch:  # a champion of an earlier version, whose card does not say it
            usual, stretch = usual_psi(card["features"][name], days)
        noise = chance + usual
        judged = name not in gate["except"] and not is_identifier(champion["features"][name])
        drifted[name] = {"psi": round(index, 6), "noise": round(noise, 6), "judged": judged}
        if not judged:
            continue
        for level, bound in (("fail", gate["fail_psi"]), ("warn", gate["warn_psi"])):
            if index > bound + noise:
                findings.append(
                    Finding(
                        "drift",
                        "fail" if level == "fail" else "warn",
                        f"{name} has drifted from the training data of {champion_id}: PSI "
                        f"{index:.3f}, {level} above {bound:g} (and "
                        f"{_allowance(chance, usual, stretch)}); if it is right so, name the "
                        "column in gates.yaml under data.drift.except",
                    )
                )
                break
    return drifted, findings


def _allowance(chance: float, usual: float, days: int) -> str:
    """What is added to a threshold, and why."""
    words = f"{chance:.3f} that chance explains"
    if not usual:
        return words
    stretches = "single days" if days == 1 else f"stretches of {days} days"
    return f"{words}, and {usual:.3f} by which {stretches} of that data differ from the days before"

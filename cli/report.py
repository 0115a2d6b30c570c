"""What a night made, as text for a terminal: figures, versions, places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.console import say
from nightshift import files
from nightshift.errors import ContractError, NightshiftError
from nightshift.layout import RunFolder
from nightshift.pipeline import Pipeline
from nightshift.registry.pointer import read_live

_MOST_DAYS = 7
"""So many held-out days are named one by one."""


def report(pipeline: Pipeline, ds: str, run_id: str) -> None:
    """Print the report of a run."""
    folder = RunFolder.of(pipeline.runs, ds, run_id)
    model_card = _json(folder.model / "model_card.json")
    rows = [("pipeline", pipeline.name), ("date", ds)]
    if pipeline.has_features:
        rows += _features(folder, model_card)
    rows += [
        *_made(folder),
        *_served(pipeline),
        ("run folder", str(folder.root)),
        ("model card", str(folder.model / "model_card.json")),
        ("reports", str(folder.reports)),
        ("model repository", str(pipeline.model_repo)),
        ("releases", str(pipeline.releases)),
    ]
    say("\nReport")
    for name, value in rows:
        say(f"  {name:<18}{value}")


def _features(folder: RunFolder, model_card: dict[str, Any]) -> list[tuple[str, str]]:
    data_card = _json(folder.dataset / "data_card.json")
    splits = data_card.get("splits", {})
    test = model_card.get("test", {})
    base = _figure(test.get("base_logloss"))
    days = splits.get("test", {}).get("days", [])
    return [
        ("rows", _rows(splits)),
        ("features", str(len(data_card.get("fields", [])))),
        ("held-out days", _days([day["day"] for day in days])),
        ("AUC on them", _figure(test.get("auc"))),
        *_refit(folder.refit_model / "model_card.json"),
        ("log loss on them", f"{_figure(test.get('logloss'))} (constant prediction: {base})"),
        ("data card", str(folder.dataset / "data_card.json")),
    ]


def _days(days: list[str]) -> str:
    """Few days by name, more by the first and the last."""
    if len(days) <= _MOST_DAYS:
        return ", ".join(days)
    return f"{min(days)} to {max(days)}, {len(days)} days"


def _refit(card: Path) -> list[tuple[str, str]]:
    """Of a night that refits, the days that its release learned from."""
    if not card.is_file():
        return []
    learned = _json(card).get("refit", {}).get("learned")
    if not learned:
        return []
    days = f"{learned['first_day']} to {learned['last_day']}, {learned['rows']} rows"
    return [("refit on", f"{days}; AUC and log loss are those of before")]


def _made(folder: RunFolder) -> list[tuple[str, str]]:
    """The night's own release and, where it does not serve, why."""
    candidate = _json(folder.reports / "candidate.json")
    switch = _json(folder.reports / "switch.json")
    made = f"{candidate.get('release_id')} (model version {candidate.get('model_version')})"
    rows = [("release made", made)]
    if switch.get("why"):
        rows.append(("not switched to", str(switch["why"])))
    return rows


def _served(pipeline: Pipeline) -> list[tuple[str, str]]:
    try:
        live = read_live(pipeline.releases)
    except NightshiftError as error:
        return [("served now", str(error))]
    if live is None:
        return [("served now", "nothing")]
    return [
        ("serving now", f"{live.model} {live.model_version} (release {live.release_id})"),
        *([("deployment", f"{live.database}.{live.deployment}")] if live.deployment else []),
    ]


def _rows(splits: dict[str, Any]) -> str:
    parts = [
        f"{name} {split.get('rows')} ({split.get('positives')} positives)"
        for name in ("train", "valid", "test")
        if (split := splits.get(name))
    ]
    return ", ".join(parts)


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "undefined"


def _json(path: Path) -> dict[str, Any]:
    try:
        value = files.read_json(path)
    except ContractError as error:
        say(f"  {error}")
        return {}
    return value if isinstance(value, dict) else {}

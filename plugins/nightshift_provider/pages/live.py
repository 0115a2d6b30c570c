"""What is served, in Airflow's own UI: quality by day, calibration, drift, incidents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.errors import NightshiftError

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import APIRouter
    from markupsafe import Markup

    from nightshift.pipeline import Pipeline

    Draw = Callable[[dict[str, Any]], Markup | None]

_REPORT_BYTES = 16 << 20
_FIGURES = {
    *("release", "rows", "judged", "positives", "auc", "auc_interval", "expected_auc"),
    *("logloss", "logloss_interval", "calibration_ratio"),
}
"""What each row of figures has."""


def make_router() -> APIRouter:
    """`GET /live` and `/live/{pipeline}`."""
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import APIRouter, Depends

    from nightshift.pipeline import names
    from nightshift.settings import Settings
    from nightshift_provider.pages.access import may_read, readable
    from nightshift_provider.pages.rendering import page

    router = APIRouter(prefix="/live")
    user_dep = Depends(get_user)

    @router.get("")
    def overview(user: Any = user_dep) -> Any:
        found = [name for name in names(Settings.from_env()) if may_read(name, user)]
        return page("live_pipelines.html", title="Live", pipelines=found)

    @router.get("/{pipeline}")
    def of_pipeline(pipeline: str, user: Any = user_dep) -> Any:
        title = f"Live: {pipeline}"
        try:
            return page("live.html", title=title, **shown(readable(pipeline, user)))
        except NightshiftError as error:
            return page("message.html", 404, title=title, text=str(error))

    return router


def shown(pipeline: Pipeline) -> dict[str, Any]:
    """What the page of a pipeline shows."""
    from nightshift.live.folders import live_folder
    from nightshift.notify import incidents
    from nightshift_provider.dags import monitor_id
    from nightshift_provider.pages import skew

    problem = ""
    try:
        path = live_folder(pipeline.settings, pipeline.name) / "served.json"
        value = files.read_json(path, max_bytes=_REPORT_BYTES) if path.exists() else {}
    except NightshiftError as error:
        value, problem = {}, str(error)
    value = value if isinstance(value, dict) else {}
    contests = _contests(live_folder(pipeline.settings, pipeline.name) / "contests.json")
    ledger = skew.newest(live_folder(pipeline.settings, pipeline.name))
    told = [
        record
        for record in incidents.listed(pipeline.settings)
        if record.incident.pipeline in ("", pipeline.name)
    ]
    return {
        "pipeline": pipeline.name,
        "monitor": monitor_id(pipeline.name),
        "problem": problem,
        "at": value.get("at"),
        "warnings": _rows(value, "warnings", str),
        "days": _whole(value, "days", "day")[::-1][:60],
        "releases": _whole(value, "releases", "held_out"),
        "slices": _whole(value, "slices", "slice", "value")[:200],
        "incidents": told[:30],
        "contests": contests,
        "withdrawals": _withdrawals(pipeline),
        "charts": [*charts_of(value), *_drawn((skew.by_feature, skew.prices), ledger)],
        "skew": skew.rows(ledger)[:100],
        "skew_days": f"{ledger.get('from')} to {ledger.get('to')}",
    }


def _contests(path: Path) -> list[dict[str, Any]]:
    """What the last look said of each release that is held against another; none of odd ones."""
    try:
        value = files.read_json(path, max_bytes=_REPORT_BYTES) if path.exists() else {}
    except NightshiftError:
        return []
    wanted = {
        "new",
        "old",
        "rows",
        "positives",
        "auc_lost",
        "evidence",
        "needed",
        "reasons",
        "shared",
    }
    found = _rows(value if isinstance(value, dict) else {}, "now", dict)
    return [one for one in found if one.keys() >= wanted]


def _withdrawals(pipeline: Pipeline) -> list[dict[str, str]]:
    """Releases that were taken out of service, the newest first, and why."""
    from nightshift.registry.pointer import WITHDRAWAL

    found = []
    for event in pipeline.store.events():
        reason = str(event.get("reason", ""))
        if event["event"] in ("switched", "canary ended") and reason.startswith(WITHDRAWAL):
            switched = event["event"] == "switched"
            gone = event.get("previous") if switched else f"{event['release_id']} (canary)"
            found.append(
                {"at": str(event["at"]), "release": str(gone),
                 "why": reason.removeprefix(WITHDRAWAL)}
            )  # fmt: skip
    return found[::-1][:30]


def charts_of(value: dict[str, Any]) -> list[Markup]:
    """The charts of a report `served`; what is odd in it is left out."""
    return _drawn((_auc, _logloss, _calibration, _roc, _scores, _volume, _drift), value)


def _drawn(draws: Iterable[Draw], value: dict[str, Any]) -> list[Markup]:
    found = []
    for draw in draws:
        try:
            chart = draw(value)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            continue
        if chart is not None:
            found.append(chart)
    return found


def _auc(value: dict[str, Any]) -> Markup | None:
    from nightshift_provider.pages import charts

    rows = [row for one in _rows(value, "days", dict) for row in _measured(one, "auc")]
    rows += [
        {"x": one["day"], "value": one["expected_auc"], "low": None, "high": None,
         "series": "expected of its scores"}
        for one in _rows(value, "days", dict)
    ]  # fmt: skip
    rows.sort(key=lambda row: str(row["x"]))  # the axis has the rows' own order
    return charts.measure(
        rows, title="Served AUC by day, 90 % intervals", y="AUC", known=_releases(value)
    )


def _logloss(value: dict[str, Any]) -> Markup | None:
    from nightshift_provider.pages import charts

    rows = [row for one in _rows(value, "days", dict) for row in _measured(one, "logloss")]
    return charts.measure(
        rows, title="Served log loss by day, 90 % intervals", y="log loss", known=_releases(value)
    )


def _calibration(value: dict[str, Any]) -> Markup | None:
    from nightshift_provider.pages import charts

    return charts.calibration(
        (value.get("curves") or {}).get("calibration") or [],
        title="Calibration of the live release",
    )


def _roc(value: dict[str, Any]) -> Markup | None:
    from nightshift_provider.pages import charts

    return charts.roc({"live": (value.get("curves") or {}).get("roc") or []})


def _scores(value: dict[str, Any]) -> Markup | None:
    from nightshift_provider.pages import charts

    return charts.histogram(
        (value.get("curves") or {}).get("histogram") or {}, title="Served scores, labels final"
    )


def _volume(value: dict[str, Any]) -> Markup | None:
    from nightshift_provider.pages import charts

    rows = [
        {"x": one["day"], "y": float(one["rows"]), "series": str(one["release"])}
        for one in _rows(value, "days", dict)
    ]
    known = _releases(value)
    return charts.stacked(rows, title="Scored rows by day and release", y="rows", known=known)


def _drift(value: dict[str, Any]) -> Markup | None:
    from nightshift_provider.pages import charts

    rows = [
        {"x": one["day"], "y": str(one["feature"])[:80], "value": float(one["psi"])}
        for one in _rows(value, "drift", dict)
    ]
    return charts.heat(rows, title="Drift of live features against training", value="PSI")


def _releases(value: dict[str, Any]) -> list[str]:
    """The releases that scored, in their order: each has one colour in all charts."""
    return sorted({str(one["release"]) for one in _rows(value, "days", dict)})


def _measured(one: dict[str, Any], name: str) -> list[dict[str, Any]]:
    low, high = one[f"{name}_interval"] or (None, None)
    return [
        {"x": one["day"], "value": one[name], "low": low, "high": high,
         "series": str(one["release"])}
    ]  # fmt: skip


def _whole(value: dict[str, Any], name: str, *more: str) -> list[dict[str, Any]]:
    return [one for one in _rows(value, name, dict) if one.keys() >= {*_FIGURES, *more}]


def _rows(value: dict[str, Any], name: str, kind: type) -> list[Any]:
    found = value.get(name)
    return [one for one in found if isinstance(one, kind)] if isinstance(found, list) else []

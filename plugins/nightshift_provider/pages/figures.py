"""What the pages draw, read from release folders and from Airflow's own tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.errors import ContractError, NightshiftError

if TYPE_CHECKING:
    from markupsafe import Markup

    from nightshift.registry.history import Row
    from nightshift.registry.store import ReleaseFolder, ReleaseStore

REPORT_BYTES = 4 << 20
SHOWN = 60
"""Releases and nights that a chart shows, the newest."""

_MB = 1e6


def read_report(folder: ReleaseFolder, name: str) -> dict[str, Any]:
    """A report that is kept with a release; empty where it is absent or broken."""
    try:
        value = files.read_json(folder.reports / f"{name}.json", max_bytes=REPORT_BYTES)
    except (NightshiftError, OSError):
        return {}
    return value if isinstance(value, dict) else {}


def of_pipeline(store: ReleaseStore, rows: Sequence[Row], dag_id: str) -> list[Markup]:
    """The charts of a pipeline's releases, oldest first from left to right."""
    from nightshift.gates.curves import interval_of
    from nightshift_provider.pages import charts

    made = [row for row in rows if row.release_id and row.state != "broken"][-SHOWN:]
    figures: dict[str, list[dict[str, Any]]] = {"auc": [], "logloss": []}
    drift: list[dict[str, Any]] = []
    sizes: list[dict[str, Any]] = []
    for row in made:
        folder = store.folder(row.release_id)
        quality = read_report(folder, "quality")
        for name, rows_of in figures.items():
            low, high = interval_of(quality, name) or (None, None)
            rows_of.append(
                {"x": row.release_id, "value": _number(getattr(row, name)), "low": low,
                 "high": high, "series": row.state}
            )  # fmt: skip
        drift += _drift(folder, row.release_id)
        sizes += _sizes(folder, row.release_id)
    found = [
        charts.measure(figures["auc"], title="AUC on held-out days, 90 % intervals", y="AUC"),
        charts.measure(
            figures["logloss"], title="Log loss on held-out days, 90 % intervals", y="log loss"
        ),
        charts.stacked(step_seconds(dag_id), title="Time of each step by night", y="seconds"),
        charts.stacked(sizes, title="Bytes of each artefact by night", y="MB"),
        charts.heat(drift, title="Drift of features against the live release's training data",
                    value="PSI"),
    ]  # fmt: skip
    return [chart for chart in found if chart is not None]


def of_release(folder: ReleaseFolder) -> list[Markup]:
    """The charts of one release."""
    from nightshift_provider.pages import charts

    curves = read_report(folder, "quality").get("curves")
    labels = read_report(folder, "labels").get("maturity")
    found: list[Markup | None] = []
    if isinstance(curves, dict):
        found += [
            _drawn(lambda: charts.roc({"candidate": curves.get("roc") or []})),
            _drawn(lambda: charts.calibration(curves.get("calibration") or [])),
            _drawn(lambda: charts.histogram(curves.get("histogram") or {})),
        ]
    if isinstance(labels, list):
        found.append(_drawn(lambda: maturity(labels)))
    return [chart for chart in found if chart is not None]


def maturity(points: Sequence[Mapping[str, Any]]) -> Markup | None:
    """The curve of a report `labels`."""
    from nightshift_provider.pages import charts

    rows = [{"x": float(p["days"]), "y": float(p["share"]), "series": "known"} for p in points]
    return charts.lines(
        rows, title="Label maturity", x="days after the request", y="positives known",
        percent=(False, True),
    )  # fmt: skip


def _drawn(draw: Any) -> Markup | None:
    """A chart of a report, which may be odd; then there is none."""
    try:
        found: Markup | None = draw()
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return found


def step_seconds(dag_id: str) -> list[dict[str, Any]]:
    """Seconds of each task by run, the last try's, of the newest runs; from Airflow's tables."""
    try:
        from airflow.models.dagrun import DagRun
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        return []
    try:
        with create_session() as session:
            runs = session.execute(
                select(DagRun.run_id, DagRun.run_after)
                .where(DagRun.dag_id == dag_id)
                .order_by(DagRun.run_after.desc())
                .limit(SHOWN)
            ).all()
            times = {run.run_id: run.run_after for run in runs}
            found = session.execute(
                select(TaskInstance.run_id, TaskInstance.task_id, TaskInstance.duration).where(
                    TaskInstance.dag_id == dag_id, TaskInstance.run_id.in_(times)
                )
            ).all()
    except SQLAlchemyError:
        return []
    ordered = sorted(found, key=lambda row: times[row.run_id])
    return [
        {"x": f"{times[run]:%m-%d %H:%M}", "y": round(float(seconds), 2), "series": task}
        for run, task, seconds in ordered
        if seconds
    ]


def _drift(folder: ReleaseFolder, release: str) -> list[dict[str, Any]]:
    drift = read_report(folder, "data").get("drift")
    if not isinstance(drift, dict):
        return []
    return [
        {"x": release, "y": str(name)[:80], "value": psi}
        for name, value in drift.items()
        if isinstance(value, dict)
        and value.get("judged", True)
        and (psi := _number(value.get("psi"))) is not None
    ]


def _sizes(folder: ReleaseFolder, release: str) -> list[dict[str, Any]]:
    try:
        sizes = folder.manifest().sizes
    except ContractError:
        return []
    return [
        {"x": release, "y": round(value / _MB, 3), "series": name.removesuffix("_bytes")}
        for name, value in sizes.items()
        if name.endswith("_bytes")
    ]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

"""Telling people of skew: once, when it costs more than the pipeline allows, until it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nightshift.config.monitor import MonitorConfig
from nightshift.live.folders import live_folder
from nightshift.live.skew.causes import QUERY
from nightshift.live.skew.text import span
from nightshift.notify import incidents
from nightshift.notify.incidents import Incident
from nightshift.pipeline import Pipeline

MOST_CAUSES = 3


def tell(pipeline: Pipeline, found: dict[str, Any]) -> bool:
    """Open, or close, the pipeline's incident of skew by a report of the ledger.

    A report of earlier days than another that is kept says nothing of today, and is passed over.

    Args:
        pipeline: whose report it is; `monitor` in its `pipeline.yaml` has the bounds.
        found: the report of `ledger.observe`.

    Returns:
        Whether people were told of something new.
    """
    kept = live_folder(pipeline.settings, pipeline.name) / "skew"
    if any(path.stem.partition("_")[2] > found["to"] for path in kept.glob("*_*.json")):
        return False
    key = f"skew:{pipeline.name}"
    breaches = list(_breaches(found, pipeline.config.monitor))
    if not breaches:
        incidents.resolve(pipeline.settings, key)
        return False
    if pipeline.config.monitor.action == "report":
        return False
    text = "\n".join(f"- {one}" for one in (*breaches, *_causes(found)))
    incident = Incident(
        key=key,
        title=f"{pipeline.name}: live features differ from training's on {found['to']}",
        text=f"{text}\n\nThe whole ledger: ./nightshift observe --pipeline {pipeline.name} --from "
        f"{found['from']} --to {found['to']}\nPage: {pipeline.settings.airflow_url}/nightshift/"
        f"live/{pipeline.name}",
        severity="failure" if found["status"] == "bug" else "warning",
        pipeline=pipeline.name,
    )
    return incidents.report(pipeline.settings, incident, lasting=True)


def _breaches(found: dict[str, Any], config: MonitorConfig) -> Iterator[str]:
    if found["not_reproduced"] or found["unexplained"]:
        yield (
            f"{found['not_reproduced']} values were served that the store cannot have given, "
            f"{found['unexplained']} are unexplained"
        )
    share = found["rows_differing"] / found["compared"] if found["compared"] else 0.0
    if share > config.max_skew_rows:
        yield (
            f"{share:.1%} of {found['compared']} requests have values unlike training's; "
            f"{config.max_skew_rows:.1%} are allowed"
        )
    for release in found["releases"]:
        auc = release["price"].get("auc")
        if auc is not None and auc["low"] > config.max_skew_auc:
            yield (
                f"release {release['release']} is served {auc['difference']:.4f} AUC below what "
                f"training promises (at least {auc['low']:.4f}; {config.max_skew_auc:g} is allowed)"
            )


def _causes(found: dict[str, Any]) -> Iterator[str]:
    """The causes with the most requests."""
    listed = [
        cause
        for release in found["releases"]
        for cause in release["causes"]
        if cause["cause"] != QUERY
    ]
    for cause in sorted(listed, key=lambda one: -one["rows"])[:MOST_CAUSES]:
        name = f"{cause['cause']}: {cause['table']}" if cause["table"] else cause["cause"]
        auc = (cause.get("price") or {}).get("auc")
        price = f", costs {auc['difference']:+.4f} AUC" if auc else ""
        late = f", late by {span(cause['late_s']['p50'])} (median)" if "late_s" in cause else ""
        yield f"{name}: {cause['rows']} requests{late}{price}"

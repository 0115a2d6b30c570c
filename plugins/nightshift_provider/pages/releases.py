"""The releases in Airflow's own UI: what serves, what could, and why the others do not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.errors import ContractError, NightshiftError

if TYPE_CHECKING:
    from fastapi import APIRouter

    from nightshift.registry.store import ReleaseFolder

DAG_ID = "retrain"
"""Who may read its runs may read what they made."""

TRAINING = "training.html"
_REPORT_BYTES = 4 << 20


def make_router() -> APIRouter:
    """`GET /releases`, `/releases/{id}` and `/releases/{id}/training`."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import APIRouter, Depends
    from fastapi.responses import HTMLResponse

    from nightshift.registry.history import rows
    from nightshift.registry.store import ReleaseStore
    from nightshift.settings import Settings
    from nightshift_provider.pages import HEADERS
    from nightshift_provider.pages.rendering import page

    may_read = Depends(requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=DAG_ID))
    router = APIRouter(prefix="/releases", dependencies=[may_read])

    def folder_of(release: str) -> ReleaseFolder:
        folder = ReleaseStore(Settings.from_env().releases).folder(release)
        folder.manifest()
        return folder

    @router.get("")
    def overview() -> Any:
        return page(
            "releases.html", title="Releases", rows=rows(Settings.from_env().releases)[::-1]
        )

    @router.get("/{release}")
    def one(release: str) -> Any:
        try:
            folder = folder_of(release)
            row = next(r for r in rows(folder.root.parent) if r.release_id == folder.id)
            return page(
                "release.html",
                title=f"Release {folder.id}",
                row=row,
                manifest=folder.manifest(),
                reports=_reports(folder),
                has_training=(folder.model / TRAINING).is_file(),
                query=folder.sql.read_text() if folder.sql.is_file() else "",
            )
        except NightshiftError as error:
            return page("message.html", 404, title=f"Release {release}", text=str(error))

    @router.get("/{release}/training")
    def training(release: str) -> Any:
        try:
            path = folder_of(release).model / TRAINING
            return HTMLResponse(path.read_text(encoding="utf-8"), headers=HEADERS)
        except FileNotFoundError:
            text = f"{path} is not there: retention has taken this release's model"
            return page("message.html", 404, title=f"Training of {release}", text=text)
        except NightshiftError as error:
            return page("message.html", 404, title=f"Training of {release}", text=str(error))

    return router


def _reports(folder: ReleaseFolder) -> list[dict[str, Any]]:
    """The kept reports: name, status, findings, JSON text."""
    found = []
    for path in sorted(folder.reports.glob("*.json")):
        try:
            value = files.read_json(path, max_bytes=_REPORT_BYTES)
            if not isinstance(value, dict):
                raise ContractError(f"{path} is no report: it holds no object")
        except NightshiftError as error:
            value = {"status": "fail", "failures": [str(error)]}
        lists = [value.get("failures", []), value.get("warnings", [])]
        found.append(
            {
                "name": path.stem,
                "status": str(value.get("status", ""))[:100],
                "findings": [x for part in lists if isinstance(part, list) for x in part],
                "text": json.dumps(value, indent=2),
            }
        )
    return found

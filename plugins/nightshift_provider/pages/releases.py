"""The releases in Airflow's own UI: what serves, what could, and why the others do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.errors import ContractError, NightshiftError

if TYPE_CHECKING:
    from fastapi import APIRouter

    from nightshift.registry.store import ReleaseFolder

TRAINING = "training.html"
_REPORT_BYTES = 4 << 20
_TRAINING_BYTES = 32 << 20
_SAID = ("check", "status", "failures", "warnings", "curves", "maturity")
"""Of a report, what the page shows elsewhere."""


def make_router() -> APIRouter:
    """`GET /releases`, `/releases/{pipeline}`, `/releases/{pipeline}/{id}` and its `/training`.

    Who may read the runs of a pipeline's retrain DAG may read what they made.
    """
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import APIRouter, Depends
    from fastapi.responses import HTMLResponse

    from nightshift.errors import ConfigurationError
    from nightshift.pipeline import Pipeline, names
    from nightshift.registry.history import rows
    from nightshift.settings import Settings
    from nightshift_provider.dags import retrain_id, rollback_id
    from nightshift_provider.pages import HEADERS, figures
    from nightshift_provider.pages.access import may_read, readable
    from nightshift_provider.pages.rendering import page

    router = APIRouter(prefix="/releases")
    user_dep = Depends(get_user)

    def folder_of(pipeline: str, release: str, user: Any) -> ReleaseFolder:
        folder = readable(pipeline, user).store.folder(release)
        folder.manifest()
        return folder

    @router.get("")
    def overview(user: Any = user_dep) -> Any:
        settings = Settings.from_env()
        found = []
        for name in names(settings):
            if not may_read(name, user):
                continue
            try:
                released = rows(Pipeline.load(settings, name).releases)[::-1]
                found.append({"name": name, "rows": released, "problem": ""})
            except ConfigurationError as error:
                found.append({"name": name, "rows": [], "problem": str(error)})
        return page("pipelines.html", title="Releases", pipelines=found)

    @router.get("/{pipeline}")
    def of_pipeline(pipeline: str, user: Any = user_dep) -> Any:
        try:
            store = readable(pipeline, user).store
            released = rows(store.root)
            drawn = figures.of_pipeline(store, released, retrain_id(pipeline))
        except NightshiftError as error:
            return page("message.html", 404, title=f"Releases of {pipeline}", text=str(error))
        return page(
            "releases.html",
            title=f"Releases of {pipeline}",
            pipeline=pipeline,
            retrain=retrain_id(pipeline),
            rollback=rollback_id(pipeline),
            rows=released[::-1],
            charts=drawn,
        )

    @router.get("/{pipeline}/{release}")
    def one(pipeline: str, release: str, user: Any = user_dep) -> Any:
        try:
            folder = folder_of(pipeline, release, user)
            row = next(r for r in rows(folder.root.parent) if r.release_id == folder.id)
            return page(
                "release.html",
                title=f"Release {folder.id} of {pipeline}",
                pipeline=pipeline,
                retrain=retrain_id(pipeline),
                row=row,
                manifest=folder.manifest(),
                reports=_reports(folder),
                charts=figures.of_release(folder),
                has_training=(folder.model / TRAINING).is_file(),
                query=folder.sql.read_text() if folder.sql.is_file() else "",
            )
        except NightshiftError as error:
            return page("message.html", 404, title=f"Release {release}", text=str(error))

    @router.get("/{pipeline}/{release}/training")
    def training(pipeline: str, release: str, user: Any = user_dep) -> Any:
        try:
            path = folder_of(pipeline, release, user).model / TRAINING
            shown = files.read_plain(path, max_bytes=_TRAINING_BYTES)
            return HTMLResponse(shown.decode("utf-8", "replace"), headers=HEADERS)
        except FileNotFoundError:
            text = f"{path} is not there: retention has taken this release's model"
            return page("message.html", 404, title=f"Training of {release}", text=text)
        except NightshiftError as error:
            return page("message.html", 404, title=f"Training of {release}", text=str(error))

    return router


def _reports(folder: ReleaseFolder) -> list[dict[str, Any]]:
    """The kept reports: name, status, findings, and the other values."""
    found = []
    for path in sorted(folder.reports.glob("*.json")):
        try:
            value = files.read_json(path, max_bytes=_REPORT_BYTES)
            if not isinstance(value, dict):
                raise ContractError(f"{path} is not a report: it holds no object")
        except NightshiftError as error:
            value = {"status": "fail", "failures": [str(error)]}
        lists = [value.get("failures", []), value.get("warnings", [])]
        found.append(
            {
                "name": path.stem,
                "status": str(value.get("status", ""))[:100],
                "findings": [x for part in lists if isinstance(part, list) for x in part],
                "value": {k: v for k, v in value.items() if k not in _SAID},
            }
        )
    return found

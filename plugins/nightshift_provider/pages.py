"""The page behind a task's "OpenMLDB job log" button.

Airflow mounts plugins' apps without any authentication, so each route asks for the same rights as
the task's own log does. A page shows the job of a task that the user may read, never any job id
that a URL could name.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse

MAX_CHARS = 1_000_000
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:14px/1.5 system-ui,sans-serif;margin:2rem;max-width:110ch}}
pre{{background:#8881;padding:1rem;overflow:auto;white-space:pre-wrap}}
:root{{color-scheme:light dark}}</style>
<h1>{title}</h1><p>{head}</p><h2>Statement</h2><pre>{sql}</pre><h2>Log</h2><pre>{log}</pre>"""


def make_app() -> FastAPI:
    """The app that `nightshift_pages` mounts."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import Depends, FastAPI
    from fastapi.responses import HTMLResponse

    app = FastAPI(title="Nightshift", docs_url=None, redoc_url=None, openapi_url=None)
    may_read_log = Depends(requires_access_dag("GET", DagAccessEntity.TASK_LOGS))

    @app.get(
        "/jobs/{dag_id}/{run_id:path}/{task_id}",
        dependencies=[may_read_log],
        response_class=HTMLResponse,
    )
    def job_log(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        from nightshift.errors import NightshiftError

        where: dict[str, Any] = {
            "dag_id": dag_id,
            "run_id": run_id,
            "task_id": task_id,
            "map_index": map_index,
        }
        job_id = _xcom("job_id", **where)
        if not isinstance(job_id, int):
            return _page("No OpenMLDB job", f"{task_id} has started no job in this run", 404)
        try:
            job, log = _read(str(_xcom("openmldb_conn_id", **where) or ""), job_id)
        except NightshiftError as error:
            return _page(f"Job {job_id}", str(error), 502)
        head = f"{job.job_type}, {job.state.value}. {job.error}"
        return _page(f"Job {job_id}", head, 200, job.parameter, log[-MAX_CHARS:])

    return app


def _page(title: str, head: str, status: int, sql: str = "", log: str = "") -> HTMLResponse:
    from fastapi.responses import HTMLResponse

    parts = {"title": title, "head": head, "sql": sql, "log": log}
    escaped = {name: html.escape(text) for name, text in parts.items()}
    return HTMLResponse(_PAGE.format(**escaped), status_code=status)


def _xcom(key: str, *, dag_id: str, run_id: str, task_id: str, map_index: int) -> Any:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        row = session.scalars(
            XComModel.get_many(
                run_id=run_id, key=key, dag_ids=dag_id, task_ids=task_id, map_indexes=map_index
            )
        ).first()
        return None if row is None else XComModel.deserialize_value(row)


def _read(conn_id: str, job_id: int) -> tuple[Any, str]:
    """The job's row and its log, asked of the server now."""
    from airflow.models.connection import Connection

    from nightshift_provider.hooks.openmldb import Endpoint, OpenMLDBHook

    connection: Any = Connection.get_connection_from_secrets(
        conn_id or OpenMLDBHook.default_conn_name
    )
    with Endpoint.of(connection).client() as client:
        return client.job(job_id), client.job_log(job_id)

"""The page behind a task's "OpenMLDB job log" button.

It shows the job of a task that the user may read, never any job id that a URL could name.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import APIRouter

    from nightshift.openmldb import Job

MAX_CHARS = 1_000_000
"""The end of a longer log is shown."""


def make_router() -> APIRouter:
    """`GET /jobs/{dag_id}/{run_id}/{task_id}?map_index=`."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import APIRouter, Depends, Query

    from nightshift_provider.pages.rendering import page

    router = APIRouter()
    index = Query(-1, ge=-1, le=2**31 - 1)  # more, and the database's driver fails
    may_read_log = Depends(requires_access_dag("GET", DagAccessEntity.TASK_LOGS))

    @router.get("/jobs/{dag_id}/{run_id:path}/{task_id}", dependencies=[may_read_log])
    def job_log(dag_id: str, run_id: str, task_id: str, map_index: int = index) -> Any:
        from nightshift.errors import NightshiftError

        where: dict[str, Any] = {
            "dag_id": dag_id,
            "run_id": run_id,
            "task_id": task_id,
            "map_index": map_index,
        }
        job_id = _xcom("job_id", **where)
        if not isinstance(job_id, int):
            what = f"{task_id} has started no job in this run"
            return page("message.html", 404, title="No OpenMLDB job", text=what)
        try:
            job, log = _read(str(_xcom("openmldb_conn_id", **where) or ""), job_id)
        except NightshiftError as error:
            return page("message.html", 502, title=f"Job {job_id}", text=str(error))
        return page(
            "job.html",
            title=f"Job {job_id}",
            job=job,
            times=_times(job),
            spark_ui=_spark_ui(job, log),
            log=log[-MAX_CHARS:],
            cut=len(log) > MAX_CHARS,
        )

    return router


def _spark_ui(job: Job, log: str) -> str:
    """Address of Spark's own pages of a running job, as its log gives it; else empty."""
    found = re.findall(r"Spark UI: (https?://[\w.:\[\]-]+)", log)
    return found[-1] if found and not job.state.is_terminal else ""


def _times(job: Job) -> str:
    """When it began and how long it took, in UTC."""
    if job.start_time is None:
        return "not started"
    began = dt.datetime.fromtimestamp(job.start_time / 1000, dt.timezone.utc)
    text = f"started {began:%Y-%m-%d %H:%M:%S} UTC"
    if job.end_time is not None and job.state.is_terminal:
        text += f", took {(job.end_time - job.start_time) / 1000:.1f} s"
    return text


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


def _read(conn_id: str, job_id: int) -> tuple[Job, str]:
    """The job's row and its log, asked of the server now."""
    from airflow.models.connection import Connection

    from nightshift_provider.hooks.openmldb import Endpoint, OpenMLDBHook

    connection: Any = Connection.get_connection_from_secrets(
        conn_id or OpenMLDBHook.default_conn_name
    )
    with Endpoint.of(connection).client() as client:
        return client.job(job_id), client.job_log(job_id)

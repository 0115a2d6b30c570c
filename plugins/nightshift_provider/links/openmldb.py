"""The button that shows a job's log."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

URL_PREFIX = "/nightshift"
"""Where Nightshift's pages are mounted in Airflow's web server (`plugins/nightshift_pages.py`)."""


class OpenMLDBJobLogLink(BaseOperatorLink):
    """SHOW JOBLOG of the task's latest job; operators push it as XCom before they wait."""

    @property
    def name(self) -> str:
        """Text of the button."""
        return "OpenMLDB job log"

    @property
    def xcom_key(self) -> str:
        """XCom key of the URL."""
        return "openmldb_job_log"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """URL of the page for one task instance."""
        return job_log_url(ti_key.dag_id, ti_key.run_id, ti_key.task_id, ti_key.map_index)


def job_log_url(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """URL of the page, below the web server's own base URL."""
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="/").rstrip("/")
    path = "/".join(quote(part, safe="") for part in (dag_id, run_id, task_id))
    return f"{base}{URL_PREFIX}/jobs/{path}?map_index={-1 if map_index is None else map_index}"

"""The DEPLOY as the DAG has it, through Airflow's own task runner.

An Airflow database in a temporary folder: the operator's notes, its retries and its states are
Airflow's. The interpreter that forks is warmed up first, so that a try takes a fraction of a
second and not ten.
"""

from __future__ import annotations

import gc
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from nightshift.pipeline import Pipeline
from testing.airflow import Airflow, TaskRunHarness

os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")


@dataclass(frozen=True)
class Try:
    """Tasks of one DAG run, in order; called, it tries those that have not ended well yet."""

    run: TaskRunHarness
    tasks: tuple[str, ...]

    def __call__(self) -> None:
        """Try; an error where a task did not end well."""
        for task in self.tasks:
            if self.run.state(task) != "success":
                state = self.run.try_task(task)
                assert state == "success", f"{task} is {state}"


class Operators:
    """DAG runs with the DAG's operators against the server of an installation."""

    def __init__(self, pipeline: Pipeline) -> None:
        from airflow.utils.db import initdb

        from laptop.services import airflow as service

        self.database = pipeline.database
        os.environ["AIRFLOW_CONN_OPENMLDB_DEFAULT"] = service.environment(pipeline.settings)[
            "AIRFLOW_CONN_OPENMLDB_DEFAULT"
        ]
        initdb()
        self._airflow = Airflow(Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]))
        _warm_up()

    def close(self) -> None:
        """Remove the Airflow database."""
        shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)

    @staticmethod
    def in_child() -> None:
        """What a fork must do first: the parent's database connections are not its own."""
        from airflow import settings

        assert settings.engine is not None
        settings.engine.dispose(close=False)

    def deploy(self, name: str, sql: str) -> Try:
        """`deploy_features`."""
        body = (
            f"OpenMLDBDeployOperator(task_id='deploy', database={self.database!r}, "
            f"name={name!r}, select='features.sql', retries=2)"
        )
        return Try(self._airflow.run(body, files={"features.sql": sql}), ("deploy",))


def _warm_up() -> None:
    """Build Airflow's API and ask it once, in a thread that is gone before anything forks."""
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI
    from airflow.sdk.execution_time.supervisor import in_process_api_server

    api: Any = InProcessExecutionAPI()
    api._app = in_process_api_server().app
    with httpx.Client(transport=api.transport, base_url="http://in-process.invalid./") as http:
        http.get("/health")
        http.patch(f"/task-instances/{uuid.uuid4()}/run", json={})  # refused, and routed
    del api
    gc.collect()

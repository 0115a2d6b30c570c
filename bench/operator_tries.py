"""The online load and the DEPLOY as the DAG has them, through Airflow's own task runner.

An Airflow database of the bench's own in a temporary folder: the operator's notes, its retries and
its states are Airflow's. The interpreter that forks is warmed up first, so that a try takes a
fraction of a second and not ten.
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

from nightshift.features.specification import FeatureSpec
from nightshift.openmldb import OpenMLDBClient
from nightshift.openmldb import loads as online_load
from nightshift.settings import Settings

os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")

from tests.plugins.conftest import Airflow, TaskRunHarness

# As dags/retrain.py has them, but for the pauses: a job of the bench takes a fraction of a second.
_DAG = "mode='online', poll_interval_s=0.2, settle_s=0.2, retries=2"


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
    """DAG runs with the DAG's operators against the house's server."""

    def __init__(self, settings: Settings) -> None:
        from airflow.utils.db import initdb

        self.settings = settings
        os.environ["AIRFLOW_CONN_OPENMLDB_DEFAULT"] = (
            f"openmldb://127.0.0.1:{settings.openmldb_port}/{settings.database}"
        )
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

        settings.engine.dispose(close=False)

    def loads(self, ds: str) -> Try:
        """`online_gaps`, and a task for each load that it names."""
        with OpenMLDBClient.of(self.settings) as client:
            loads = online_load.plan_online_loads(
                self.settings.data,
                ds=ds,
                lookback_days=FeatureSpec.load(self.settings.feature_spec).lookback_days,
                count_rows=online_load.count_online(client, self.settings.database),
            )
        body = [
            f"OpenMLDBLoadDataOperator(task_id='load_{n}', database={self.settings.database!r}, "
            f"{_DAG}, **{dict(load)!r})"
            for n, load in enumerate(loads)
        ]
        tasks = tuple(f"load_{n}" for n in range(len(loads)))
        return Try(self._airflow.run("\n".join(body)), tasks)

    def deploy(self, name: str, sql: str) -> Try:
        """`deploy_features`."""
        body = (
            f"OpenMLDBDeployOperator(task_id='deploy', database={self.settings.database!r}, "
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

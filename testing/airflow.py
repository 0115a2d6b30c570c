"""An Airflow with its database in a temporary folder, and an embedded OpenMLDB server to kill.

Import it before Airflow: Airflow reads its configuration when it is imported first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from testing.serving import free_ports

ROOT = Path(__file__).resolve().parents[1]

if "airflow" not in sys.modules:
    _HOME = Path(tempfile.mkdtemp(prefix="nightshift-test-airflow-"))
    (_HOME / "dags").mkdir()
    os.environ.update(
        AIRFLOW_HOME=str(_HOME),
        AIRFLOW__CORE__DAGS_FOLDER=str(_HOME / "dags"),
        AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__UNIT_TEST_MODE="True",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
        AIRFLOW__LOGGING__BASE_LOG_FOLDER=str(_HOME / "logs"),
    )


@dataclass
class TaskRunHarness:
    """One DAG run whose tasks are run, retried and cleared by hand, through Airflow's own runner."""

    dag: Any
    run_id: str
    scheduler_dag: Any

    def try_task(self, task_id: str, *, run_triggerer: bool = True) -> str:
        """Run one try as the scheduler would start it; return the state it ended in."""
        from airflow.sdk.definitions.dag import _run_task
        from airflow.utils.session import create_session

        with create_session() as session:
            ti = self._ti(task_id, session)
            if ti.try_number and ti.state is not None:
                ti.prepare_db_for_next_try(session)
                ti.clear_next_method_args()
            ti.try_number += 1
            session.commit()
            session.expunge(ti)
        # An exception of the task is logged by the runner and shows as the state.
        with contextlib.suppress(Exception):
            _run_task(ti=ti, task=self.dag.get_task(task_id), run_triggerer=run_triggerer)
        return self.state(task_id)

    def state(self, task_id: str) -> str:
        from airflow.utils.session import create_session

        with create_session() as session:
            return str(self._ti(task_id, session).state)

    def clear(self, task_id: str) -> None:
        """What the UI's Clear does."""
        from airflow.models.taskinstance import clear_task_instances
        from airflow.utils.session import create_session

        with create_session() as session:
            clear_task_instances([self._ti(task_id, session)], session)

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session() as session:
            row = session.scalars(
                XComModel.get_many(run_id=self.run_id, key=key, task_ids=task_id)
            ).first()
            return None if row is None else XComModel.deserialize_value(row)

    def rendered(self, task_id: str) -> dict[str, Any]:
        from airflow.models.renderedtifields import RenderedTaskInstanceFields
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            row = session.scalars(
                select(RenderedTaskInstanceFields).where(
                    RenderedTaskInstanceFields.run_id == self.run_id,
                    RenderedTaskInstanceFields.task_id == task_id,
                )
            ).one()
            return dict(row.rendered_fields)

    def notes(self, task_id: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
        """The task's row in the task state store; `values` replaces what it says."""
        import json

        from airflow.models.task_state_store import TaskStateStoreModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            row = session.scalars(
                select(TaskStateStoreModel).where(
                    TaskStateStoreModel.run_id == self.run_id,
                    TaskStateStoreModel.task_id == task_id,
                )
            ).one()
            kept = json.loads(row.value) if isinstance(row.value, str) else row.value
            if values is not None:
                kept["values"] = values
                row.value = json.dumps(kept) if isinstance(row.value, str) else dict(kept)
            return dict(kept["values"])

    def _ti(self, task_id: str, session: Any) -> Any:
        from airflow.models.taskinstance import TaskInstance
        from sqlalchemy import select

        ti = session.scalars(
            select(TaskInstance).where(
                TaskInstance.run_id == self.run_id,
                TaskInstance.dag_id == self.dag.dag_id,
                TaskInstance.task_id == task_id,
            )
        ).one()
        ti.task = self.scheduler_dag.get_task(task_id)
        return ti


@dataclass
class Airflow:
    """Makes DAGs of source text and runs of DAGs."""

    dags: Path

    def run(self, body: str, *, files: dict[str, str] | None = None) -> TaskRunHarness:
        """A new DAG holding the tasks of `body` (source), and a run of it."""
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
        from airflow.models.dagrun import get_or_create_dagrun
        from airflow.sdk import timezone
        from airflow.serialization.serialized_objects import DagSerialization
        from airflow.utils.session import create_session
        from airflow.utils.types import DagRunTriggeredByType

        dag_id = f"dag_{uuid.uuid4().hex[:8]}"
        folder = self.dags / dag_id
        folder.mkdir()
        for name, text in (files or {}).items():
            (folder / name).write_text(text)
        source = (
            "from airflow.sdk import DAG\n"
            "from nightshift_provider.operators.openmldb import *\n"
            "from nightshift_provider.operators.task import NightshiftTaskOperator\n"
            f"with DAG({dag_id!r}, schedule=None, template_searchpath=[{str(folder)!r}]):\n"
            + textwrap.indent(textwrap.dedent(body), "    ")
        )
        path = folder / "dag.py"
        path.write_text(source)
        manager = DagBundlesManager()  # type: ignore[no-untyped-call]
        with create_session() as session:
            manager.sync_bundles_to_db(session=session)
            session.commit()
        bag = BundleDagBag(dag_folder=str(path), bundle_path=self.dags, bundle_name="dags-folder")
        assert not bag.import_errors, bag.import_errors
        sync_bag_to_db(bag, "dags-folder", None)
        dag = bag.dags[dag_id]
        scheduler_dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
        now = timezone.utcnow()
        with create_session() as session:
            run = get_or_create_dagrun(
                dag=scheduler_dag,
                start_date=now,
                logical_date=now,
                data_interval=None,
                run_after=now,
                run_id=f"test__{dag_id}",
                session=session,
                conf=None,
                triggered_by=DagRunTriggeredByType.TEST,
                triggering_user_name="test",
            )
            run_id = run.run_id
        return TaskRunHarness(dag, run_id, scheduler_dag)


@dataclass
class OpenMLDBServer:
    """The embedded server as a process, which tests may kill and start again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path) -> Iterator[Self]:
        """A server on a free port until the block ends."""
        (port,) = free_ports(1)
        server = cls(folder, port)
        server.start()
        try:
            yield server
        finally:
            server.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    str(Path(sys.executable).parent / "openmldb-embedded"),
                    "--host", "127.0.0.1", "--port", str(self.port),
                    "--data", str(self.folder / "db"), "--root", str(self.folder),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 180
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health", trust_env=False).text == "OK":
                    return
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

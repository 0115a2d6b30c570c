"""The services that the bench starts, kills and asks: Airflow, OpenMLDB, a Docker engine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from nightshift_provider.runners.process import keeper_pid

from bench.kill_matrix import refit
from bench.kill_matrix.kinds import DAGS, IMAGE, KINDS, TASK
from laptop.services import airflow as airflow_service
from nightshift.errors import ServiceUnavailable
from nightshift.openmldb import JobState, OpenMLDBClient
from nightshift.settings import Settings
from testing import images
from testing.engine import Engine, default_data_root
from testing.serving import free_ports
from testing.workshop import TASKS_PYTHON

ROOT = Path(__file__).resolve().parents[2]
ROWS = 1_000_000
TASK_S = 8.0


INTERVALS = {
    "AIRFLOW__CORE__PARALLELISM": "12",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "90",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}
"""Of Airflow, shortened so that a death is seen soon."""


def until(condition: Callable[[], Any], what: str, limit_s: float) -> None:
    """Wait for something.

    Raises:
        TimeoutError: it did not come about.
    """
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s:g} s: {what}")
        time.sleep(0.2)


def detached(process: psutil.Process) -> bool:
    """Whether a process is a task's keeper or runs below one: those live on by design."""
    with contextlib.suppress(psutil.NoSuchProcess):
        chain = [process, *process.parents()]
        return any("child.py" in " ".join(p.cmdline()) for p in chain)
    return False


def kill_family(parent: psutil.Process) -> None:
    """SIGKILL to a process and all below it that belongs to it (detached tasks do not)."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [parent, *(p for p in parent.children(recursive=True) if not detached(p))]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGKILL)


PARTS = ("both", "executor process", "task process")
"""What is killed of a worker: the executor's process, the task's process below it, or both."""


def kill_worker(worker: psutil.Process, part: str) -> None:
    """SIGKILL to a part of a worker; an executor's process without a task below dies as it is."""
    if part == "both":
        kill_family(worker)
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        tasks = [p for p in worker.children() if not detached(p)] if part != PARTS[1] else []
        for process in tasks or [worker]:
            process.send_signal(signal.SIGKILL)


@dataclass
class Service:
    """One process in a session of its own."""

    name: str
    argv: list[str]
    env: dict[str, str]
    cwd: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its log is appended to."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, env=self.env, cwd=self.cwd, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL to it and its family."""
        if self.process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            kill_family(psutil.Process(self.process.pid))
        self.process.wait()


@dataclass
class World:
    """A whole installation in a temporary folder."""

    folder: Path
    with_engine: bool = True
    with_refit: bool = True
    refitted: str = ""
    settings: Settings = field(init=False)
    engine: Engine = field(init=False)
    services: dict[str, Service] = field(default_factory=dict)
    _token: str = ""

    def __post_init__(self) -> None:
        project = self.folder / "project"
        (project / "dags").mkdir(parents=True)
        (project / "tasks" / "train").mkdir(parents=True)
        (project / "tasks" / "train" / "__main__.py").write_text(TASK)
        for name in (".venv", "include", "plugins", "src"):
            (project / name).symlink_to(ROOT / name)
        source = DAGS.format(
            folder=str(self.folder), rows=ROWS, seconds=TASK_S, image=IMAGE, project=str(ROOT),
            tasks_python=str(TASKS_PYTHON), refit=refit.arguments(
                self.folder / "refit", self.folder / "home" / "runs" / "{{ run_id }}"
            ),
        )  # fmt: skip
        (project / "dags" / "matrix.py").write_text(source)
        for name in ("logs", "jobs"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)  # the containers' user passes through it
        self.engine = Engine(default_data_root())
        airflow_port, openmldb_port = free_ports(2)
        self.settings = Settings(
            project=project,
            home=self.folder / "home",
            airflow_port=airflow_port,
            openmldb_port=openmldb_port,
            task_python=Path(sys.executable),
            task_memory="256m",
            task_cpus=0.5,
            docker_url=self.engine.url,
        )
        count = range(ROWS)
        table = pa.table(
            {
                "k": pa.array([f"k{n % 997}" for n in count]),
                "v": pa.array(count, pa.int32()),
                "ts": pa.array(count, pa.timestamp("ms")),
            }
        )
        pq.write_table(table, self.folder / "rows.parquet")

    def start(self) -> None:
        """Start everything and load the offline table."""
        if self.with_engine:
            # `./nightshift setup` has its uv there; the image's Python is asked of it.
            os.environ["PATH"] += f"{os.pathsep}{ROOT / '.cache/uv-tool/bin'}"
            self.engine.start()
            images.ensure_python(self.engine, "3.10")
            (self.folder / "project" / "Dockerfile").write_text(
                "FROM python:3.10-slim-bookworm\nWORKDIR /opt/small\nCOPY tasks tasks\n"
            )
            context = str(self.folder / "project")
            self.engine.docker("build", "--network=none", "--tag", IMAGE, context)
        if self.with_refit:
            self.refitted = refit.make(self.folder / "refit")
        airflow_service.prepare(self.settings)
        self.add(
            "openmldb",
            [str(self.settings.project / ".venv/bin/openmldb-embedded"), "--host", "127.0.0.1",
             "--port", str(self.settings.openmldb_port), "--data", str(self.folder / "openmldb"),
             "--root", str(self.folder)],
            airflow_service.environment(self.settings),
        )  # fmt: skip
        for component in airflow_service.COMPONENTS:
            launch = airflow_service.launch(self.settings, component)
            self.add(component, launch.argv, launch.env)
        self.wait_openmldb()
        with self.openmldb() as api:
            api.execute("bench", "CREATE DATABASE bench")
            for name in ("t", "d"):
                api.execute("bench", f"CREATE TABLE {name}(k string, v int, ts timestamp)")
            job = api.submit(
                "bench",
                f"LOAD DATA INFILE '{self.folder}/rows.parquet' INTO TABLE t "
                "OPTIONS(format='parquet')",
            )
            until(lambda: api.job(job.job_id).state is JobState.FINISHED, "the offline load", 60)
        until(self.sign_in, "Airflow's api-server", 240)
        until(lambda: self.dags() >= len(KINDS), "the DAGs", 240)

    def add(self, name: str, argv: list[str], env: Mapping[str, str]) -> None:
        """Start a service under a name."""
        log = self.folder / "logs" / f"{name}.log"
        service = Service(name, argv, {**env, **INTERVALS}, self.settings.project, log)
        self.services[name] = service
        service.start()

    def stop(self) -> None:
        """Kill all, tasks and the engine too."""
        for service in self.services.values():
            service.kill()
        for folder in self.task_folders():
            if (pid := keeper_pid(folder)) is not None:
                os.kill(pid, signal.SIGKILL)
        for process in psutil.process_iter():  # tasks whose executor's process was killed
            with contextlib.suppress(psutil.Error):
                if process.environ().get("NIGHTSHIFT_HOME") == str(self.settings.home):
                    process.kill()
        if self.with_engine:
            self.engine.stop()

    def bounce(self, name: str) -> None:
        """SIGKILL to a shared component, and its start a second later.

        Idle processes of the executor are started again by the executor itself.
        """
        if name == "idle":
            for process, title in self._executors():
                if "<idle>" in title:
                    process.kill()
            return
        if name == "engine":
            self.engine.kill()
            time.sleep(1.0)
            self.engine.restart()
            return
        service = self.services[name]
        service.kill()
        time.sleep(1.0)
        service.start()

    def revive(self) -> list[str]:
        """Start services that ended by themselves; their names."""
        gone = []
        for service in self.services.values():
            if service.process is not None and service.process.poll() is not None:
                service.start()
                gone.append(service.name)
        return gone

    def openmldb(self) -> OpenMLDBClient:
        """A client."""
        return OpenMLDBClient.of(self.settings)

    def wait_openmldb(self) -> None:
        """Wait for GET /health."""

        def healthy() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{self.settings.openmldb_url}/health").text == "OK"
            return False

        until(healthy, "OpenMLDB", 60)

    # Airflow.

    def sign_in(self) -> bool:
        """Whether the api-server lets us in."""
        with contextlib.suppress(httpx.HTTPError, KeyError, ValueError):
            user = {
                "username": self.settings.airflow_user,
                "password": airflow_service.password(self.settings),
            }
            said = httpx.post(f"{self.settings.airflow_url}/auth/token", json=user)
            self._token = said.json()["access_token"]
            return True
        return False

    def trigger(self, dag_id: str, run_id: str) -> None:
        """Start a run.

        Raises:
            TimeoutError: Airflow did not take it.
        """
        for _ in range(60):
            # SQLite is locked now and then under load; 409 says that an earlier try went through.
            with contextlib.suppress(httpx.TransportError):
                said = httpx.post(
                    f"{self.settings.airflow_url}/api/v2/dags/{dag_id}/dagRuns",
                    json={"dag_run_id": run_id, "logical_date": None},
                    headers={"Authorization": f"Bearer {self._token}"},
                    timeout=60,
                )
                if said.status_code in (200, 409):
                    return
                if said.status_code in (401, 403):
                    self.sign_in()
            time.sleep(1.0)
        raise TimeoutError(f"{dag_id} could not be triggered")

    def pause(self, paused: bool) -> None:
        """Pause all DAGs, or let all go: runs made meanwhile begin at once then.

        A run made by API while tasks start can lock Airflow's SQLite for seconds.
        """

        def done() -> bool:
            with contextlib.suppress(httpx.TransportError):
                said = httpx.patch(
                    f"{self.settings.airflow_url}/api/v2/dags?dag_id_pattern=%25&limit=100",
                    json={"is_paused": paused},
                    headers={"Authorization": f"Bearer {self._token}"},
                    timeout=60,
                )
                if said.status_code in (401, 403):
                    self.sign_in()
                return said.status_code == 200
            return False

        until(done, "pausing the DAGs", 120)

    def query(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        """Rows of Airflow's database."""
        path = airflow_service.database(self.settings)
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def dags(self) -> int:
        """DAGs that the scheduler knows."""
        with contextlib.suppress(sqlite3.Error):
            return int(self.query("SELECT count(*) FROM dag")[0][0])
        return 0

    def worker_of(self, task_instance: str) -> psutil.Process | None:
        """The executor's process that has a task, by its title; from before the task runs."""
        name = str(uuid.UUID(task_instance))
        return next((process for process, title in self._executors() if name in title), None)

    def _executors(self) -> list[tuple[psutil.Process, str]]:
        """The executor's processes and their titles."""
        scheduler = self.services["scheduler"].process
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(scheduler.pid if scheduler else 0).children():
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    title = " ".join(process.cmdline())
                    if "LocalExecutor" in title:
                        found.append((process, title))
        return found

    # Truth.

    def task_folders(self) -> list[Path]:
        """State folders of task processes."""
        root = self.settings.home / "tasks"
        return list(root.iterdir()) if root.is_dir() else []

    def training(self, run_id: str) -> list[int]:
        """Processes of a run's refit that live."""
        mark = str(self.settings.home / "runs" / run_id)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(part.startswith(mark + "/") for part in process.cmdline()):
                    found.append(process.pid)
        return found

    def keepers(self, run_id: str) -> list[int]:
        """Keepers of a run's task that live."""
        found = []
        for folder in self.task_folders():
            with contextlib.suppress(FileNotFoundError):
                labels = json.loads((folder / "spec.json").read_text())["labels"]
                pid = keeper_pid(folder)
                if labels["run_id"] == run_id and pid is not None:
                    found.append(pid)
        return found

    def containers(self, run_id: str = "") -> list[str]:
        """Ids of the containers of a run, or of all, ended ones too.

        Raises:
            ServiceUnavailable: the engine is away.
        """
        label = f"label=nightshift.run_id{f'={run_id}' if run_id else ''}"
        try:
            return self.engine.docker("ps", "-a", "-q", "--no-trunc", "--filter", label).split()
        except RuntimeError as error:
            raise ServiceUnavailable(str(error)) from error

    def steps(self, run_id: str) -> list[str]:
        """`start`, `written` and `end` lines of a run's task."""
        path = self.settings.home / "runs" / run_id / "starts"
        return path.read_text().split() if path.exists() else []

    def exported(self, run_id: str) -> int:
        """Rows of a run's export, which is deleted then."""
        out = self.folder / "out" / run_id
        rows = pq.read_table(out).num_rows if out.exists() else 0
        shutil.rmtree(out, ignore_errors=True)
        return int(rows)

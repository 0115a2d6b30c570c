"""Kill every component at every stage of every operator, and count what got lost or doubled.

    .venv/bin/python bench/kill_matrix.py --kills 5 --out docs/kill_matrix.json

Starts an Airflow of its own (scheduler, triggerer, DAG processor, api-server; LocalExecutor on
SQLite), an embedded OpenMLDB and local task processes in a temporary folder. A trial starts one run of each operator at once, waits until
their tasks are at the wanted stage, sends SIGKILL to one component, starts it again after a
second, and waits for the runs to end.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from nightshift_provider.runners.process import keeper_pid  # noqa: E402

from laptop.services import airflow as airflow_service  # noqa: E402
from nightshift.openmldb import Job, JobState, OpenMLDBClient  # noqa: E402
from nightshift.settings import Settings  # noqa: E402

ROWS = 1_000_000
TASK_S = 8.0
STAGES = ("starting", "waiting", "ending")
RUN_LIMIT_S = 240.0

TASK = """
import json, pathlib, sys, time
result, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])
log = result.parent / "starts"
with log.open("a") as file: file.write("start\\n")
time.sleep(seconds)
result.write_text(json.dumps({"task": "train", "version": 1, "status": "ok"}))
with log.open("a") as file: file.write("end\\n")
"""

DAGS = """
from datetime import timedelta
from airflow.sdk import DAG
from nightshift_provider.operators.openmldb import *
from nightshift_provider.operators.task import NightshiftTaskOperator

FOLDER, ROWS, SECONDS = {folder!r}, {rows}, {seconds}
RETRY = dict(retries=8, retry_delay=timedelta(seconds=1), defer_after_s=0.0)
FAST = dict(poll_interval_s=0.5, settle_s=1.0, outage_s=60.0)
for mode, deferrable in (("deferrable", True), ("blocking", False)):
    with DAG("select_into_" + mode, schedule=None, is_paused_upon_creation=False):
        OpenMLDBSelectIntoOperator(
            task_id="x", database="bench", path=FOLDER + "/out/{{{{ run_id }}}}",
            select="SELECT k, v, count(v) OVER w AS c, sum(v) OVER w AS s FROM t WINDOW w AS "
            "(PARTITION BY k ORDER BY ts ROWS BETWEEN 50 PRECEDING AND CURRENT ROW)",
            deferrable=deferrable, **RETRY, **FAST)
    with DAG("load_online_" + mode, schedule=None, is_paused_upon_creation=False):
        OpenMLDBLoadDataOperator(
            task_id="x", database="bench", mode="online", table="o_{{{{ run_id }}}}",
            path=FOLDER + "/rows.parquet", expect_rows=ROWS,
            count_sql="SELECT count(*) FROM o_{{{{ run_id }}}}",
            delete_sql="TRUNCATE TABLE o_{{{{ run_id }}}}",
            deferrable=deferrable, **RETRY, **FAST)
    with DAG("task_" + mode, schedule=None, is_paused_upon_creation=False):
        run_dir = FOLDER + "/home/runs/{{{{ run_id }}}}"
        NightshiftTaskOperator(
            task_id="x", task="train", run_dir=run_dir, result_path=run_dir + "/result.json",
            arguments=[run_dir + "/result.json", str(SECONDS)], poll_interval_s=0.5,
            outage_s=60.0, deferrable=deferrable, **RETRY)
"""
OPERATORS = [
    f"{what}_{mode}"
    for what in ("select_into", "load_online", "task")
    for mode in ("deferrable", "blocking")
]
COMPONENTS = ("worker", "triggerer", "scheduler", "api-server", "openmldb", "task")


def free_port() -> int:
    """A port of the loopback that nothing listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


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
        """SIGKILL to it and all below it that belongs to it (detached tasks do not)."""
        if self.process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            family = [parent, *(p for p in parent.children(recursive=True) if not detached(p))]
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.send_signal(signal.SIGKILL)
        self.process.wait()


def detached(process: psutil.Process) -> bool:
    """Whether a process is a task's keeper or runs below one: those live on by design."""
    with contextlib.suppress(psutil.NoSuchProcess):
        chain = [process, *process.parents()]
        return any("child.py" in " ".join(p.cmdline()) for p in chain)
    return False


@dataclass
class Outcome:
    """What one kill did to one run."""

    component: str
    stage: str
    operator: str
    state: str
    tries: int
    seconds: float
    doubled: int
    orphans: int
    lost: int
    hit: str = ""


@dataclass
class Bench:
    """The services, and what is asked of them."""

    folder: Path
    settings: Settings = field(init=False)
    services: dict[str, Service] = field(default_factory=dict)
    _token: str = ""

    def __post_init__(self) -> None:
        project = self.folder / "project"
        (project / "dags").mkdir(parents=True)
        (project / "tasks" / "train").mkdir(parents=True)
        (project / "tasks" / "train" / "__main__.py").write_text(TASK)
        for name in (".venv", "include", "plugins", "src"):
            (project / name).symlink_to(ROOT / name)
        source = DAGS.format(folder=str(self.folder), rows=ROWS, seconds=TASK_S)
        (project / "dags" / "matrix.py").write_text(source)
        (self.folder / "logs").mkdir()
        self.settings = Settings(
            project=project,
            home=self.folder / "home",
            airflow_port=free_port(),
            openmldb_port=free_port(),
            database="bench",
            task_python=Path(sys.executable),
        )
        self._write_rows()

    def _write_rows(self) -> None:
        count = range(ROWS)
        table = pa.table(
            {
                "k": pa.array([f"k{n % 997}" for n in count]),
                "v": pa.array(count, pa.int32()),
                "ts": pa.array(count, pa.timestamp("ms")),
            }
        )
        pq.write_table(table, self.folder / "rows.parquet")

    @property
    def env(self) -> dict[str, str]:
        """Airflow's environment, with short intervals so that a death is seen soon."""
        return airflow_service.environment(self.settings) | {
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
            "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        }

    def start(self) -> None:
        """Start everything and load the offline table."""
        airflow_service.prepare(self.settings)
        python = self.settings.project / ".venv/bin"
        self.add(
            "openmldb",
            [str(python / "openmldb-embedded"), "--host", "127.0.0.1",
             "--port", str(self.settings.openmldb_port), "--data", str(self.folder / "openmldb"),
             "--root", str(self.folder)],
        )  # fmt: skip
        for component in airflow_service.COMPONENTS:
            launch = airflow_service.launch(self.settings, component)
            self.add(component, launch.argv)
        self.wait_openmldb()
        with self.openmldb() as api:
            api.execute("bench", "CREATE DATABASE bench")
            api.execute("bench", "CREATE TABLE t(k string, v int, ts timestamp)")
            job = api.submit(
                "bench",
                f"LOAD DATA INFILE '{self.folder}/rows.parquet' INTO TABLE t "
                "OPTIONS(format='parquet')",
            )
            until(lambda: api.job(job.job_id).state is JobState.FINISHED, "the offline load", 60)
        until(self.answers, "Airflow's api-server", 240)
        until(lambda: self.dags() >= len(OPERATORS), "the DAGs", 240)

    def add(self, name: str, argv: list[str]) -> None:
        """Start a service under a name."""
        log = self.folder / "logs" / f"{name}.log"
        service = Service(name, argv, self.env, self.settings.project, log)
        self.services[name] = service
        service.start()

    def stop(self) -> None:
        """Kill all, tasks too."""
        for service in self.services.values():
            service.kill()
        for folder in self.task_folders():
            if (pid := keeper_pid(folder)) is not None:
                os.kill(pid, signal.SIGKILL)

    def openmldb(self) -> OpenMLDBClient:
        """A client."""
        return OpenMLDBClient(self.settings.openmldb_url)

    def wait_openmldb(self) -> None:
        """Wait for GET /health."""

        def healthy() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{self.settings.openmldb_url}/health").text == "OK"
            return False

        until(healthy, "OpenMLDB", 60)

    # Airflow.

    def answers(self) -> bool:
        """Whether the api-server lets us in."""
        with contextlib.suppress(httpx.HTTPError, KeyError, ValueError):
            user = {
                "username": self.settings.airflow_user,
                "password": self.settings.airflow_password,
            }
            said = httpx.post(f"{self.settings.airflow_url}/auth/token", json=user)
            self._token = said.json()["access_token"]
            return True
        return False

    def trigger(self, dag_id: str, run_id: str) -> None:
        """Start a run; for an online load, with a table of its own."""
        if dag_id.startswith("load_online"):
            with self.openmldb() as api:
                table = f"o_{run_id}"
                api.execute(
                    "bench", f"CREATE TABLE IF NOT EXISTS {table}(k string, v int, ts timestamp)"
                )
        for _ in range(30):
            # SQLite is locked now and then under load; 409 says that an earlier try went through.
            with contextlib.suppress(httpx.TransportError):
                self.answers()
                said = httpx.post(
                    f"{self.settings.airflow_url}/api/v2/dags/{dag_id}/dagRuns",
                    json={"dag_run_id": run_id, "logical_date": None},
                    headers={"Authorization": f"Bearer {self._token}"},
                    timeout=60,
                )
                if said.status_code in (200, 409):
                    return
            time.sleep(1.0)
        raise TimeoutError(f"{dag_id} could not be triggered")

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

    def task(self, run_id: str) -> tuple[str, int]:
        """(state, try) of a run's task."""
        found = self.query("SELECT state, try_number FROM task_instance WHERE run_id = ?", run_id)
        return (str(found[0][0]), int(found[0][1])) if found else ("none", 0)

    def run_state(self, run_id: str) -> str:
        """State of a run."""
        found = self.query("SELECT state FROM dag_run WHERE run_id = ?", run_id)
        return str(found[0][0]) if found else "none"

    # Truth.

    def task_folders(self) -> list[Path]:
        """State folders of task processes."""
        root = self.settings.home / "tasks"
        return list(root.iterdir()) if root.is_dir() else []

    def jobs(self, dag_id: str, run_id: str) -> list[Job]:
        """OpenMLDB's jobs of one run."""
        mark = f"/out/{run_id}'" if dag_id.startswith("select_into") else f" o_{run_id} "
        with self.openmldb() as api:
            return [job for job in api.jobs() if mark in job.parameter]

    def starts(self, run_id: str) -> list[str]:
        """`start` and `end` lines of a run's task process."""
        path = self.settings.home / "runs" / run_id / "starts"
        return path.read_text().split() if path.exists() else []

    def at_stage(self, dag_id: str, run_id: str, stage: str) -> bool:
        """Whether a run has come to a stage: its work begins, goes on, or has just ended."""
        if dag_id.startswith("task"):
            said = self.starts(run_id)
            begun, ended = bool(said), "end" in said
        else:
            jobs = self.jobs(dag_id, run_id)
            begun = bool(jobs)
            ended = any(job.state is JobState.FINISHED for job in jobs)
        if stage == "starting":
            return self.task(run_id)[0] == "running" or begun
        if stage == "waiting" and dag_id.endswith("deferrable"):
            return ended or self.task(run_id)[0] == "deferred"
        return begun if stage == "waiting" else ended

    def judge(self, dag_id: str, run_id: str) -> tuple[int, int, int]:
        """(doubled, orphans, lost) of an ended run."""
        good = self.run_state(run_id) == "success"
        if dag_id.startswith("task"):
            said = self.starts(run_id)
            doubled = max(0, said.count("end") - 1)
            result = self.settings.home / "runs" / run_id / "result.json"
            labels = [f / "spec.json" for f in self.task_folders() if keeper_pid(f) is not None]
            orphans = sum(run_id in spec.read_text() for spec in labels)
            return doubled, orphans, int(good and not result.exists())
        jobs = self.jobs(dag_id, run_id)
        sound = [j for j in jobs if j.state is JobState.FINISHED or not j.state.is_terminal]
        orphans = sum(not job.state.is_terminal for job in jobs)
        if dag_id.startswith("select_into"):
            out = self.folder / "out" / run_id
            rows = pq.read_table(out).num_rows if out.exists() else 0
            shutil.rmtree(out, ignore_errors=True)
        else:
            with self.openmldb() as api:
                result = api.execute("bench", f"SELECT count(*) FROM o_{run_id}")
                rows = int(result.rows[0][0]) if result and result.rows else 0
                api.execute("bench", f"DROP TABLE o_{run_id}")
        return max(0, len(sound) - 1), orphans, int(good and rows != ROWS)

    # Kills.

    def strike(self, component: str, runs: dict[str, str]) -> set[str]:
        """SIGKILL; returns the operators whose run was hit (all, unless it is one's own part)."""
        if component == "worker":
            return self._strike_workers(runs)
        if component == "task":
            return self._strike_tasks(runs)
        service = self.services[component]
        service.kill()
        time.sleep(1.0)
        service.start()
        if component == "openmldb":
            self.wait_openmldb()
        return set(runs)

    def _strike_workers(self, runs: dict[str, str]) -> set[str]:
        """The scheduler's executor processes that run a task now, with the task below them."""
        scheduler = self.services["scheduler"].process
        assert scheduler is not None
        busy = {run_id for run_id in runs.values() if self.task(run_id)[0] == "running"}
        for worker in psutil.Process(scheduler.pid).children():
            family = [p for p in worker.children(recursive=True) if not detached(p)]
            if family and "LocalExecutor" in " ".join(worker.cmdline()):
                for member in [worker, *family]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        member.send_signal(signal.SIGKILL)
        return {dag_id for dag_id, run_id in runs.items() if run_id in busy}

    def _strike_tasks(self, runs: dict[str, str]) -> set[str]:
        hit = set()
        for folder in self.task_folders():
            pid = keeper_pid(folder)
            text = (folder / "spec.json").read_text() if (folder / "spec.json").exists() else ""
            for dag_id, run_id in runs.items():
                if pid is not None and run_id in text:
                    os.kill(pid, signal.SIGKILL)
                    hit.add(dag_id)
        return hit

    def trial(self, component: str, stage: str, number: int) -> list[Outcome]:
        """One kill."""
        stamp = f"{component.replace('-', '')}_{stage}_{number}"
        runs = {d: f"r_{stamp}_{n}" for n, d in enumerate(OPERATORS)}
        for dag_id, run_id in runs.items():
            self.trigger(dag_id, run_id)
        lead = random.choice(OPERATORS[-2:] if component == "task" else OPERATORS)
        until(lambda: self.at_stage(lead, runs[lead], stage), f"{lead} is {stage}", 120)
        time.sleep(random.uniform(0.0, 1.5))
        before = {dag_id: self.task(run_id)[0] for dag_id, run_id in runs.items()}
        hit = self.strike(component, runs)
        struck = time.monotonic()
        outcomes = []
        waiting = dict(runs)
        while waiting and time.monotonic() - struck < RUN_LIMIT_S:
            for dag_id, run_id in list(waiting.items()):
                state = self.run_state(run_id)
                if state not in ("success", "failed"):
                    continue
                del waiting[dag_id]
                seconds = round(time.monotonic() - struck, 1)
                if dag_id in hit and before[dag_id] not in ("success", "failed"):
                    outcomes.append(
                        Outcome(component, stage, dag_id, state, self.task(run_id)[1], seconds,
                                *self.judge(dag_id, run_id), hit=before[dag_id])
                    )  # fmt: skip
                else:
                    self.judge(dag_id, run_id)
            time.sleep(0.5)
        outcomes += [
            Outcome(component, stage, d, "stuck", 0, RUN_LIMIT_S, 0, 0, 1, before[d])
            for d in waiting
        ]
        return outcomes


def until(condition: Any, what: str, limit_s: float) -> None:
    """Wait for something."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s:g} s: {what}")
        time.sleep(0.2)


def table(outcomes: list[Outcome]) -> str:
    """Markdown: one line a component and operator."""
    cells: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        cells[outcome.component, outcome.operator].append(outcome)
    lines = [
        (
            "| killed | operator | kills (starting/waiting/ending) | ended well | done twice | "
            "orphans | lost results | seconds to the end: median, worst |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for (component, operator), found in cells.items():
        seconds = sorted(o.seconds for o in found)
        kills = "/".join(str(sum(o.stage == stage for o in found)) for stage in STAGES)
        lines.append(
            f"| {component} | {operator} | {kills} | "
            f"{sum(o.state == 'success' for o in found)} of {len(found)} | "
            f"{sum(o.doubled for o in found)} | {sum(o.orphans for o in found)} | "
            f"{sum(o.lost for o in found)} | {seconds[len(seconds) // 2]}, {seconds[-1]} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the matrix and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=2, help="kills of each component and stage")
    parser.add_argument("--components", nargs="+", default=COMPONENTS, choices=COMPONENTS)
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin no trial after this")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON of every outcome")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(143))
    random.seed(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="nightshift-kill-"))
    bench = Bench(folder)
    outcomes: list[Outcome] = []
    begun = time.monotonic()
    try:
        bench.start()
        print(f"services up after {time.monotonic() - begun:.0f} s in {folder}", flush=True)
        trials = itertools.product(range(options.kills), options.components, STAGES)
        for number, component, stage in trials:
            if time.monotonic() - begun > options.seconds:
                break
            with contextlib.suppress(TimeoutError):
                for outcome in bench.trial(component, stage, number):
                    outcomes.append(outcome)
                    print(json.dumps(vars(outcome)), flush=True)
            if options.out:
                options.out.write_text(json.dumps([vars(o) for o in outcomes], indent=1) + "\n")
    finally:
        bench.stop()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(table(outcomes))
    return int(any(o.doubled or o.orphans or o.lost for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())

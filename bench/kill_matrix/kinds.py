"""What is killed, what it can touch, and the DAGs that run meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

STAGES = ("starting", "waiting", "ending")
IMAGE = "nightshift-bench/small:1"

TASK = '''
"""Writes its result, lingers two seconds (the stage "ending") and ends; each step leaves a line."""
import json, os, pathlib, sys, time

result, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])

def note(word):
    with (result.parent / "starts").open("a") as file:
        file.write(word + "\\n")

note("start")
time.sleep(seconds)
result.write_text(json.dumps({"task": "train", "version": 1, "status": "ok"}))
note("written")
time.sleep(2.0)
note("end")
os._exit(0)
'''

DAGS = '''
"""One DAG a kind of operator; the bench fills in the braces."""
import os, pathlib, time
from datetime import timedelta
from airflow.sdk import DAG
from nightshift_provider.operators.openmldb import *
from nightshift_provider.operators.task import NightshiftTaskOperator

FOLDER, ROWS, SECONDS, IMAGE = {folder!r}, {rows}, {seconds}, {image!r}
PROJECT, TASKS_PYTHON, REFIT = {project!r}, {tasks_python!r}, {refit!r}
RETRY = dict(retries=8, retry_delay=timedelta(seconds=5), defer_after_s=0.0)
FAST = dict(poll_interval_s=0.5, settle_s=1.0, outage_s=60.0)
WINDOW = ("SELECT k, v, count(v) OVER w AS c, sum(v) OVER w AS s FROM t WINDOW w AS "
    "(PARTITION BY k ORDER BY ts ROWS BETWEEN 50 PRECEDING AND CURRENT ROW)")


class ContainerOperator(NightshiftTaskOperator):
    """The task operator as where NIGHTSHIFT_TASK_RUNNER is docker: here both kinds share one Airflow."""

    def execute(self, context):
        os.environ["NIGHTSHIFT_TASK_RUNNER"] = "docker"
        return super().execute(context)

    def execute_complete(self, context, event):
        os.environ["NIGHTSHIFT_TASK_RUNNER"] = "docker"
        return super().execute_complete(context, event)


class RefitOperator(NightshiftTaskOperator):
    """The task operator with the real tasks, of which the others have a short stand-in."""

    def execute(self, context):
        os.environ.update(NIGHTSHIFT_PROJECT=PROJECT, NIGHTSHIFT_TASK_PYTHON=TASKS_PYTHON)
        return super().execute(context)

    def execute_complete(self, context, event):
        os.environ.update(NIGHTSHIFT_PROJECT=PROJECT, NIGHTSHIFT_TASK_PYTHON=TASKS_PYTHON)
        return super().execute_complete(context, event)


def job_of(run_id):
    """The job that the bench submitted for a sensor to wait for."""
    path = pathlib.Path(FOLDER) / "jobs" / run_id
    while not path.exists():
        time.sleep(0.05)
    return path.read_text()


def dag(name):
    return DAG(name, schedule=None, is_paused_upon_creation=False,
               user_defined_macros={{"job_of": job_of}})


for mode, deferrable in (("deferrable", True), ("blocking", False)):
    with dag("select_into_" + mode):
        OpenMLDBSelectIntoOperator(
            task_id="x", database="bench", path=FOLDER + "/out/{{{{ run_id }}}}",
            select=WINDOW, deferrable=deferrable, **RETRY, **FAST)
    with dag("load_online_" + mode):
        OpenMLDBLoadDataOperator(
            task_id="x", database="bench", mode="online", table="o_{{{{ run_id }}}}",
            path=FOLDER + "/rows.parquet", expect_rows=ROWS,
            count_sql="SELECT count(*) FROM o_{{{{ run_id }}}}",
            delete_sql="TRUNCATE TABLE o_{{{{ run_id }}}}",
            deferrable=deferrable, **RETRY, **FAST)
    run_dir = FOLDER + "/home/runs/{{{{ run_id }}}}"
    for name, operator in (("task_", NightshiftTaskOperator), ("container_", ContainerOperator)):
        with dag(name + mode):
            operator(
                task_id="x", task="train", run_dir=run_dir, result_path=run_dir + "/result.json",
                arguments=[run_dir + "/result.json", str(SECONDS)], image=IMAGE,
                poll_interval_s=0.5, outage_s=60.0, stop_grace_s=5.0, deferrable=deferrable,
                **RETRY)
    with dag("refit_" + mode):
        RefitOperator(
            task_id="x", task="ctr.train", run_dir=run_dir, result_path=run_dir + "/result.json",
            arguments=[*REFIT, "--result", run_dir + "/result.json"],
            poll_interval_s=0.5, outage_s=60.0, stop_grace_s=5.0, deferrable=deferrable, **RETRY)
with dag("script_deferrable"):
    OpenMLDBSQLOperator(
        task_id="x", database="bench", deferrable=True, sql=[
            "CREATE TABLE IF NOT EXISTS s_{{{{ run_id }}}}(k string, v int, ts timestamp)",
            f"LOAD DATA INFILE '{{FOLDER}}/rows.parquet' INTO TABLE s_{{{{{{{{ run_id }}}}}}}} "
            "OPTIONS(format='parquet', mode='overwrite')",
            f"SELECT k, v, ts FROM s_{{{{{{{{ run_id }}}}}}}} "
            f"INTO OUTFILE '{{FOLDER}}/out/{{{{{{{{ run_id }}}}}}}}' "
            "OPTIONS(format='parquet', mode='overwrite')"],
        **RETRY, **FAST)
with dag("deploy_blocking"):
    OpenMLDBDeployOperator(
        task_id="x", database="bench", name="dp_{{{{ run_id }}}}",
        select="SELECT k, sum(v) OVER w AS s FROM d WINDOW w AS "
        "(PARTITION BY k ORDER BY ts ROWS BETWEEN 5 PRECEDING AND CURRENT ROW)",
        **RETRY)
with dag("sensor_deferrable"):
    OpenMLDBJobSensor(
        task_id="x", database="bench", job_id="{{{{ job_of(run_id) }}}}", deferrable=True,
        **(RETRY | dict(retries=6)), **FAST)
'''


@dataclass(frozen=True)
class Kind:
    """One operator in one mode; its DAG has the same name."""

    name: str
    family: str
    """`openmldb`, `task` (a process) or `container`: where its work is done."""

    @property
    def deferrable(self) -> bool:
        """Whether it waits in the triggerer."""
        return self.name.endswith("_deferrable")


KINDS = (
    Kind("select_into_deferrable", "openmldb"),
    Kind("select_into_blocking", "openmldb"),
    Kind("load_online_deferrable", "openmldb"),
    Kind("load_online_blocking", "openmldb"),
    Kind("script_deferrable", "openmldb"),
    Kind("sensor_deferrable", "openmldb"),
    Kind("deploy_blocking", "openmldb"),
    Kind("task_deferrable", "task"),
    Kind("task_blocking", "task"),
    Kind("refit_deferrable", "task"),
    Kind("refit_blocking", "task"),
    Kind("container_deferrable", "container"),
    Kind("container_blocking", "container"),
)
COMPONENTS = (
    "worker",
    "idle",
    "triggerer",
    "scheduler",
    "api-server",
    "openmldb",
    "task",
    "container",
    "engine",
)
FAMILY_OF = {
    "openmldb": "openmldb",
    "task": "task",
    "container": "container",
    "engine": "container",
}
OWN = ("worker", "task", "container")
"""Components that each run has of its own; the others are shared by all runs."""


def stages(component: str, kind: Kind) -> tuple[str, ...]:
    """The stages of an operator at which a component can touch it; none where it never does."""
    if FAMILY_OF.get(component, kind.family) != kind.family:
        return ()
    if component == "triggerer" and not kind.deferrable:
        return ()
    if component == "idle":  # what is blocked has a process; what is deferred needs one again
        return STAGES if kind.deferrable else ("starting",)
    if kind.name.startswith("deploy"):
        return ("starting", "ending")  # one call, and no job to wait for
    if component in ("task", "container") and kind.deferrable:
        return ("waiting", "ending")  # by the time that its work has begun it has deferred
    if component == "worker" and kind.deferrable:
        return ("starting", "ending")  # no worker has it while it waits
    return STAGES


def cells(components: tuple[str, ...] = COMPONENTS) -> list[tuple[str, str, str]]:
    """Every (component, stage, operator) that there can be."""
    return [(c, s, k.name) for c in components for k in KINDS for s in stages(c, k)]

"""Parts of runs of the DAG `retrain_jd` in Airflow, without a scheduler; see test_retrain_runs.py.

The end of a night: what comes up to `accept` is set to "success" in Airflow's database, with the
XComs that the later tasks read. From there on Airflow decides and runs: its scheduling decisions,
its task runner, its sweep of answers that are overdue. And the beginning of a night without data.

    python retrain_runs.py DAGS
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from airflow.dag_processing.bundles.manager import DagBundlesManager  # noqa: E402
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db  # noqa: E402
from airflow.jobs.job import Job  # noqa: E402
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner  # noqa: E402
from airflow.models.dagrun import get_or_create_dagrun  # noqa: E402
from airflow.models.hitl import HITLDetail  # noqa: E402
from airflow.models.trigger import handle_event_submit  # noqa: E402
from airflow.models.xcom import XComModel  # noqa: E402
from airflow.sdk import timezone  # noqa: E402
from airflow.sdk.definitions.dag import _run_task  # noqa: E402
from airflow.serialization.serialized_objects import DagSerialization  # noqa: E402
from airflow.triggers.base import TriggerEvent  # noqa: E402
from airflow.utils.db import initdb  # noqa: E402
from airflow.utils.session import create_session  # noqa: E402
from airflow.utils.state import TaskInstanceState as State  # noqa: E402
from airflow.utils.types import DagRunTriggeredByType  # noqa: E402

from nightshift import files, layout, watch  # noqa: E402
from nightshift.gates.base import report  # noqa: E402
from nightshift.pipeline import Pipeline  # noqa: E402
from nightshift.registry import history, leases, pointer  # noqa: E402
from nightshift.settings import Settings  # noqa: E402
from testing.releases import put_release  # noqa: E402

PIPELINE = Pipeline.load(Settings.from_env())
STORE = PIPELINE.store


def started(dag: Any, run_id: str, ds: str) -> None:
    """A run whose candidate has passed every gate, and which is about to ask."""
    folder = put_release(STORE.root, ds)
    run = layout.RunFolder.of(PIPELINE.runs, ds, run_id)
    run.root.mkdir(parents=True)
    leases.renew(
        STORE, run_token=layout.run_token(run_id), run_id=run_id, ds=ds, release_id=folder.id
    )
    plan = {
        "pipeline": "jd", "ds": ds, "run_id": run_id, "run_dir": str(run.root),
        "workspace": "jd_20160411_0",
    }  # fmt: skip
    for gate in PIPELINE.config.gates_run:
        files.write_json(run.reports / f"{gate}.json", report(gate, []))
    folder.verdict_path.unlink()
    with create_session() as session:
        made = triggered(dag, run_id, {"approve": True}, session)
        before = dag.get_task("accept").get_flat_relative_ids(upstream=True)
        for ti in made.get_task_instances(session=session):
            if ti.task_id in before:
                ti.state = State.SUCCESS
        for task, value in (("plan", plan), ("candidate", {"release_id": folder.id})):
            XComModel.set(
                key="return_value", value=value, dag_id=dag.dag_id, task_id=task, run_id=run_id,
                serialize=False, session=session,
            )  # fmt: skip


def triggered(dag: Any, run_id: str, conf: dict[str, Any], session: Any) -> Any:
    """A run as the UI's Trigger makes it."""
    now = timezone.utcnow()
    return get_or_create_dagrun(
        dag=dag, start_date=now, logical_date=now, data_interval=None, run_after=now,
        run_id=run_id, session=session, conf=conf,
        triggered_by=DagRunTriggeredByType.TEST, triggering_user_name="test",
    )  # fmt: skip


def first_task(bag: Any, dag_id: str, name: str, run_id: str, conf: dict[str, Any]) -> str:
    """The state of a task after its first try, in a run with these values."""
    bag_dag = bag.dags[dag_id]
    dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(bag_dag))
    with create_session() as session:
        run = triggered(dag, run_id, conf, session)
        (ti,) = [ti for ti in run.get_task_instances(session=session) if ti.task_id == name]
        ti.task = dag.get_task(name)
        ti.try_number += 1
        session.commit()
        session.expunge(ti)
    with contextlib.suppress(Exception):  # it shows as the state
        _run_task(ti=ti, task=bag_dag.get_task(name))
    return str(getattr(ti.state, "value", ti.state))


def followed(bag_dag: Any, dag: Any, run_id: str, answer: str | None) -> dict[str, str]:
    """Schedule and run what is due until the run ends or `switch` is due; the tasks' states."""
    scheduler = SchedulerJobRunner(job=Job())
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with create_session() as session:
            run = dag_run(dag, run_id, session)
            due, _ = run.update_state(session=session)
            for ti in due:
                ti.try_number += 1
                ti.state = State.SCHEDULED
            session.commit()
            tis = run.get_task_instances(session=session)
            states = {ti.task_id: str(ti.state) for ti in tis}
            due = [ti for ti in tis if ti.state == State.SCHEDULED]
            waiting = [ti for ti in tis if ti.state == State.AWAITING_INPUT]
            if answer is not None:
                for ti in waiting:
                    respond(ti, answer, session)
            session.expunge_all()
        if states["switch"] == "scheduled" or run.state != "running":
            return {**states, "run": str(run.state)}
        if waiting and answer is None:
            scheduler.check_awaiting_input_timeouts()
            time.sleep(0.2)
        for ti in due:
            ti.task = dag.get_task(ti.task_id)
            _run_task(ti=ti, task=bag_dag.get_task(ti.task_id))
    raise AssertionError(f"{run_id} did not end: {states}")


def dag_run(dag: Any, run_id: str, session: Any) -> Any:
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    run = session.scalars(
        select(DagRun).where(DagRun.dag_id == dag.dag_id, DagRun.run_id == run_id)
    ).one()
    run.dag = dag
    return run


def respond(ti: Any, answer: str, session: Any) -> None:
    """What the UI's button does."""
    detail = session.get(HITLDetail, ti.id)
    detail.responded_by = {"id": "1", "name": "ann"}
    detail.responded_at = timezone.utcnow()
    detail.chosen_options = [answer]
    detail.params_input = {}
    event = TriggerEvent(detail.as_resume_event_payload(timedout=False))
    handle_event_submit(event, task_instance=ti, session=session)


def main() -> None:
    initdb()
    dags = Path(sys.argv[1])
    with create_session() as session:
        DagBundlesManager().sync_bundles_to_db(session=session)
        session.commit()
    bag = BundleDagBag(dag_folder=str(dags), bundle_path=dags, bundle_name="dags-folder")
    sync_bag_to_db(bag, "dags-folder", None)
    bag_dag = bag.dags["retrain_jd"]
    dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(bag_dag))
    put_release(STORE.root, "2016-04-10")
    pointer.switch_live(STORE.root, "2016-04-10.001", probe=lambda *_: [])
    found = {}
    for ds, answer in (("2016-04-11", "Reject"), ("2016-04-12", None), ("2016-04-13", "Approve")):
        run_id = f"manual__{ds}"
        started(dag, run_id, ds)
        states = followed(bag_dag, dag, run_id, answer)
        lease = leases.read_all(STORE)[layout.run_token(run_id)]
        (row,) = [row for row in history.rows(STORE.root) if row.ds == ds]
        found[str(answer)] = {
            "states": states, "lease_closed": lease.closed, "state": row.state, "why": row.why,
            "live": pointer.read_live(STORE.root).release_id,  # type: ignore[union-attr]
        }  # fmt: skip
    run_id = "manual__2031-01-01"
    state = first_task(bag, "retrain_jd", "plan", run_id, {"ds": "2031-01-01"})
    (row,) = [row for row in history.rows(STORE.root) if row.ds == "2031-01-01"]
    noted = watch.night_failed(PIPELINE, run_id, ["plan"])
    found["no data"] = {"plan": state, "state": row.state, "why": row.why, "noted": noted}
    slip = {"ds": "2016-04-14", "train_day": 7}
    state = first_task(bag, "retrain_jd", "plan", "manual__slip", slip)
    (row,) = [row for row in history.rows(STORE.root) if row.ds == slip["ds"]]
    # It would go back to the release before the live one.
    first_task(bag, "rollback_jd", "restore", "slip", {"release": "2016-04-11.001"})
    restored = watch.night_failed(PIPELINE, "slip", ["restore"])
    found["unknown Param"] = {"plan": state, "why": row.why, "restore": restored}
    print(json.dumps(found))


if __name__ == "__main__":
    main()

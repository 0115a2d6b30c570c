"""`rollback_<pipeline>`: back to a kept release, in seconds."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from nightshift.pipeline import Pipeline
from nightshift_provider.dags import rollback_id
from nightshift_provider.dags.common import SWITCH_POOL, given_params
from nightshift_provider.notifiers import RunFailureNotifier, TaskFailureNotifier
from nightshift_provider.retries import RETRY_POLICY

DOC = """### {name}: back to a kept release, in seconds.

Restores a release that passed its gates and is kept: its deployment and its model version are
made again if they were retired, the golden examples are compared, the pointer is switched, and
the predict server is seen to answer by it. Until that moment the live release keeps serving,
and it stays kept afterwards.

**By hand**: *Trigger*. `release_id` empty means the one that served before the live one; two
rollbacks go two releases back. `./nightshift releases --pipeline {name}` lists what is kept. A
release that cannot be restored is refused, and the task's log gives each reason.
"""


def rollback_dag(pipeline: Pipeline) -> DAG:
    """The DAG that makes a kept release of a pipeline live again."""
    name = pipeline.name
    with DAG(
        dag_id=rollback_id(name),
        dag_display_name=f"Nightshift: roll back {name}",
        description=f"Make a kept release of {name} live again",
        doc_md=DOC.format(name=name),
        schedule=None,
        start_date=dt.datetime(2016, 1, 1, tzinfo=dt.timezone.utc),
        catchup=False,
        max_active_runs=1,
        params={
            "release_id": Param(
                None,
                type=["null", "string"],
                pattern=r"^(\d{4}-\d{2}-\d{2}\.\d{3})?$",
                title="Release",
                description="Its id, such as 2026-11-19.001. Empty: the one that served before.",
            ),
        },
        tags=["nightshift", name],
        default_args={
            "retries": 2,
            "retry_delay": dt.timedelta(seconds=5),
            "retry_policy": RETRY_POLICY,
            "on_failure_callback": TaskFailureNotifier(name),
        },
        on_failure_callback=RunFailureNotifier(name),
    ) as dag:

        @task(pool=SWITCH_POOL, doc_md="Restore the release, switch the pointer, see it answer.")
        def restore() -> dict[str, Any]:
            from nightshift.pipeline import Pipeline
            from nightshift.release.rollback import roll_back
            from nightshift.settings import Settings

            context = get_current_context()
            run = context["dag_run"]
            user = getattr(run, "triggering_user_name", None)
            return roll_back(
                given_params()["release_id"],
                Pipeline.load(Settings.from_env(), name),
                run_id=run.run_id,
                actor=str(user or run.run_id),
            )

        @task(doc_md="After the grace time take down the release that was replaced.")
        def retire() -> dict[str, Any]:
            from nightshift.pipeline import Pipeline
            from nightshift.release.rollback import retire_rolled_back
            from nightshift.settings import Settings

            return retire_rolled_back(Pipeline.load(Settings.from_env(), name))

        restore() >> retire()
    return dag

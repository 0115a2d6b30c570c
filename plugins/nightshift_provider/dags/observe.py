"""`observe_<pipeline>`: what was served against what training sees, each day."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, CronPartitionTimetable, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from nightshift.pipeline import Pipeline
from nightshift_provider.dags import observe_id
from nightshift_provider.dags.common import ONLINE_POOL, RETRIES, given_params
from nightshift_provider.dags.retrain import schedule_zone

SAMPLE = 20_000
"""Requests of a scheduled run at most."""

DOC = """### {name}: what was served against what training sees.

Replays the logged requests of a day as the online store stood, and compares them with the features
that a night would extract now. Each differing value gets one cause (event late, table not loaded,
request row missing, snapshot changed, same-instant event, code) and each cause its price in AUC,
log loss and calibration. The report is the task's result and a file below `live/{name}/skew/` of
the installation's home.

A run without requests in its days is skipped. A run fails where something was served that the store
cannot have given: the report names the request and the value.

**By hand**: *Trigger* with `from` and `to`, or `./nightshift observe --pipeline {name} --from
2026-11-01 --to 2026-11-03`.
"""


def observe_dag(pipeline: Pipeline) -> DAG:
    """The DAG of a pipeline's skew ledger."""
    name = pipeline.name
    with DAG(
        dag_id=observe_id(name),
        dag_display_name=f"Nightshift: observe {name}",
        description=f"What was served by {name} against what training sees",
        doc_md=DOC.format(name=name),
        schedule=_schedule(pipeline),
        catchup=False,
        max_active_runs=1,
        params={
            "from": Param(
                None,
                type=["null", "string"],
                format="date",
                title="First day",
                description="Empty: the run's day, or yesterday.",
            ),
            "to": Param(
                None,
                type=["null", "string"],
                format="date",
                title="Last day",
                description="Empty: the first day.",
            ),
            "sample": Param(
                SAMPLE,
                type=["null", "integer"],
                minimum=1,
                title="Requests",
                description="So many at most, drawn at random. Empty: all of them.",
            ),
        },
        tags=["nightshift", name],
        default_args=RETRIES,
    ) as dag:

        @task(pool=ONLINE_POOL, doc_md="Replay the logged requests, and name each difference.")
        def observe() -> dict[str, Any]:
            from nightshift import layout
            from nightshift.errors import ContractError
            from nightshift.live.skew import alert, run
            from nightshift.live.skew.ledger import NoRequests
            from nightshift.live.skew.text import as_text
            from nightshift.pipeline import Pipeline
            from nightshift.plan import resolve_date
            from nightshift.settings import Settings

            context = get_current_context()
            given, made = given_params(), context["dag_run"]
            loaded = Pipeline.load(Settings.from_env(), name)
            day = resolve_date(
                param=given["from"],
                partition_key=made.partition_key,
                logical_date=made.logical_date or made.run_after,
                zone=loaded.zone if loaded.config.time_zone else None,
            )
            first = layout.parse_date(day, what="from")
            last = layout.parse_date(given["to"], what="to") if given["to"] else first
            try:
                found = run.observe(loaded, first, last, sample=given["sample"], said=print)
            except NoRequests as error:
                raise AirflowSkipException(str(error)) from error
            run.keep(loaded, found)
            alert.tell(loaded, found)
            print(as_text(found))  # noqa: T201 (the task's log)
            if found["status"] != "explained":
                raise ContractError(
                    f"{found['not_reproduced']} values were served that the store cannot have "
                    f"given, {found['unexplained']} are unexplained; the log above names them"
                )
            return run.summary(found)

        observe()
    return dag


def _schedule(pipeline: Pipeline) -> Any:
    """As the nights', for the same day; none where they have none."""
    config = pipeline.config
    if config.schedule == "off" or pipeline.settings.schedules != "on":
        return None
    if not config.live.log.enabled:
        return None
    return CronPartitionTimetable(
        config.schedule,
        timezone=schedule_zone(config.time_zone),
        run_offset=-1,
        key_format="%Y-%m-%d",
    )

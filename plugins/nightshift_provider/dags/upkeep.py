"""`nightshift_upkeep`: once a day, what grows for ever is cut."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DAG, task

from nightshift_provider.notifiers import UpkeepNotifier

UPKEEP = "nightshift_upkeep"

DOC = """### Once a day: nothing grows for ever.

**records**: records of releases that are older than `NIGHTSHIFT_KEEP_DAYS` and have no model any
more, lines of logs about them, what the nights of that time loaded; logs of tasks older than
`NIGHTSHIFT_KEEP_LOG_DAYS`, services' logs beyond `NIGHTSHIFT_LOG_MAX_MB`.

**database**: rows of runs older than `NIGHTSHIFT_KEEP_LOG_DAYS`, by Airflow's own `db clean`.

A failure that outlasts the retries is told once (incident `upkeep`), until it has worked again.

What serves, what a rollback can restore and what a run at work has made is left alone.
"""


def upkeep_dag() -> DAG:
    """The DAG that bounds an installation; without schedules it is run by hand."""
    from nightshift.settings import Settings

    with DAG(
        dag_id=UPKEEP,
        dag_display_name="Nightshift: upkeep",
        description="Old records, logs and rows of Airflow's database go",
        doc_md=DOC,
        schedule="40 4 * * *" if Settings.from_env().schedules == "on" else None,
        start_date=dt.datetime(2016, 1, 1, tzinfo=dt.timezone.utc),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        dagrun_timeout=dt.timedelta(hours=2),
        tags=["nightshift"],
        default_args={
            # A switch under way, or a server that is being restarted, is over by then.
            "retries": 2,
            "retry_delay": dt.timedelta(minutes=10),
            "on_failure_callback": UpkeepNotifier(failed=True),
            "on_success_callback": UpkeepNotifier(failed=False),
        },
        on_failure_callback=UpkeepNotifier(failed=True),
        on_success_callback=UpkeepNotifier(failed=False),
    ) as dag:

        @task(multiple_outputs=False, doc_md="Records of releases, logs of tasks and services.")
        def records() -> dict[str, Any]:
            from nightshift import upkeep
            from nightshift.errors import ContractError
            from nightshift.settings import Settings

            found = upkeep.run(Settings.from_env())
            if found["problems"]:
                raise ContractError("; ".join(found["problems"]))
            return found

        @task(multiple_outputs=False, doc_md="`airflow db clean` of what is old.")
        def database() -> dict[str, Any]:
            from nightshift.settings import Settings
            from nightshift_provider.database import clean

            before = dt.datetime.now(dt.timezone.utc) - dt.timedelta(
                days=Settings.from_env().keep_log_days
            )
            return clean(before)

        records()
        database()
    return dag

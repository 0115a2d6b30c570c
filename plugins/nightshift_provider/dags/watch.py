"""`nightshift_watch`: every five minutes, what people should know of is told."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DAG, task

WATCH = "nightshift_watch"

DOC = """### Every five minutes: is all well?

Reads each pipeline's log, its promised hour (`live_by`) and the disks, and sends one message an
incident to the targets of `NIGHTSHIFT_NOTIFY_FILE`. Messages that could not be sent are sent
again. It asks no server, so it works while they are down.

Each look writes `heartbeat.json` in the home and calls `NIGHTSHIFT_HEARTBEAT_URL`: where they
grow old, Airflow itself is down, and a monitor outside of it can say so
(`./nightshift watch --max-age 900`).
"""


def watch_dag() -> DAG:
    """The DAG that watches an installation; without schedules it is run by hand."""
    from nightshift.settings import Settings

    with DAG(
        dag_id=WATCH,
        dag_display_name="Nightshift: watch",
        description="Failed nights, promised hours, disks: one message an incident",
        doc_md=DOC,
        schedule="*/5 * * * *" if Settings.from_env().schedules == "on" else None,
        start_date=dt.datetime(2016, 1, 1, tzinfo=dt.timezone.utc),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        dagrun_timeout=dt.timedelta(minutes=10),
        tags=["nightshift"],
    ) as dag:

        @task(multiple_outputs=False, doc_md="One look; new incidents are told.")
        def look() -> dict[str, Any]:
            from dataclasses import asdict

            from nightshift import watch
            from nightshift.settings import Settings

            return asdict(watch.look(Settings.from_env(), airflow=True))

        look()
    return dag

"""`monitor_<pipeline>`: how good is what is served, and what is to be done about it?"""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DAG, get_current_context, task

from nightshift.pipeline import Pipeline
from nightshift_provider.dags import monitor_id

DOC = """### {name}: how good is what is served?

Every ten minutes: the request log against the labels that have come since (AUC, log loss,
calibration, by day, release and slice), live features against training, features that have stopped
to vary. The page *Nightshift live* shows it. `monitor.action` in `pipeline.yaml` says what a breach
does: `report`, `alert`, or `withdraw`: back to the release before, for gross faults and where the
sequential test shows the release to be worse on the same requests. It also promotes a canary whose
hours are over.
"""


def monitor_dag(pipeline: Pipeline) -> DAG:
    """The DAG that watches a pipeline's quality in service."""
    name = pipeline.name
    with DAG(
        dag_id=monitor_id(name),
        dag_display_name=f"Nightshift: monitor {name}",
        description=f"Quality of {name} in service",
        doc_md=DOC.format(name=name),
        schedule="*/10 * * * *" if pipeline.settings.schedules == "on" else None,
        start_date=dt.datetime(2016, 1, 1, tzinfo=dt.timezone.utc),
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=dt.timedelta(hours=1),
        tags=["nightshift", name],
    ) as dag:
        # Not in the pool of switches: a night's switch would wait for the measuring. A withdrawal
        # takes the switch's lock.
        @task(multiple_outputs=False, doc_md="Measure; report, tell or withdraw.")
        def monitor() -> dict[str, Any]:
            from nightshift.monitoring import act
            from nightshift.pipeline import Pipeline
            from nightshift.settings import Settings

            run_id = get_current_context()["dag_run"].run_id
            found = act.try_monitor(Pipeline.load(Settings.from_env(), name), run_id=run_id)
            keys = ("rows", "judged", "warnings", "contests", "action", "why")
            return {key: found.get(key) for key in keys}

        monitor()
    return dag

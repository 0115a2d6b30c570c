"""`score_<pipeline>`: the list of users by items, by the live release."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from airflow.sdk import DAG, Param, task

from nightshift.pipeline import Pipeline
from nightshift_provider.dags import score_id
from nightshift_provider.dags.common import RETRIES, given_params

LOG = logging.getLogger(__name__)

DOC = """### {name}: users by items, scored and ranked by the live release.

The release's own query and model, features as of the day's end. The list appears whole, in
`<home>/lists/{name}/ds=YYYY-MM-DD/`; a run that was killed goes on from its finished files.
`./nightshift score` does the same by hand.
"""


def score_dag(pipeline: Pipeline) -> DAG:
    """The DAG that writes a pipeline's list; the pipeline has the part `score`."""
    name, own = pipeline.name, pipeline.score
    scheduled = own.schedule != "off" and pipeline.settings.schedules == "on"
    with DAG(
        dag_id=score_id(name),
        dag_display_name=f"Nightshift: score {name}",
        description=f"Users by items of {name}, scored by the live release",
        doc_md=DOC.format(name=name),
        schedule=own.schedule if scheduled else None,
        start_date=dt.datetime(2016, 1, 1, tzinfo=dt.timezone.utc),
        catchup=False,
        max_active_runs=1,
        params={
            "ds": Param(
                None,
                type=["null", "string"],
                format="date",
                title="Date",
                description="Features are those at its end. Empty: the live release's date.",
            ),
            "replace": Param(
                False, type="boolean", title="Replace", description="Put an earlier list away."
            ),
        },
        tags=["nightshift", name],
        default_args=RETRIES,
    ) as dag:

        @task(multiple_outputs=False, doc_md="Score every pair and write the files.")
        def score() -> dict[str, Any]:
            from nightshift.lists.job import Request, run
            from nightshift.pipeline import Pipeline
            from nightshift.settings import Settings

            given = given_params()
            found = Pipeline.load(Settings.from_env(), name)
            chosen = found.score
            asked = Request(
                found.lists,
                given["ds"],
                found.list_file(chosen.users),
                found.list_file(chosen.items),
                chosen.top,
                chosen.format,
                bool(given["replace"]),
            )
            made = run(found, asked, tell=LOG.info)
            return {key: made[key] for key in ("release", "users", "items", "rows", "written")}

        score()
    return dag

"""`experiment_<pipeline>`: many ways to train, compared on past nights."""

from __future__ import annotations

import datetime as dt

from airflow.sdk import DAG, Param

from nightshift.pipeline import Pipeline
from nightshift_provider.dags import experiment_id
from nightshift_provider.dags.common import RETRIES
from nightshift_provider.operators.experiment import NightshiftExperimentOperator

DOC = """### {name}: which way to train is worth more?

Trains the configurations of the Param *Experiment* on past nights and compares them with the
pipeline as it is. Triggered by hand; nothing that serves is touched. The table and the plots are in
`<home>/runs/{name}/experiments/named/<experiment>/report.html`; `./nightshift experiment show` and
`apply` read the same. A run with the name of an earlier experiment goes on with it: what is trained
is not trained again.
"""


def experiment_dag(pipeline: Pipeline) -> DAG:
    """The DAG that runs an experiment of a pipeline of the family `ctr`."""
    name = pipeline.name
    with DAG(
        dag_id=experiment_id(name),
        dag_display_name=f"Nightshift: experiment on {name}",
        description=f"Ways to train {name}, compared on past nights",
        doc_md=DOC.format(name=name),
        schedule=None,
        start_date=dt.datetime(2016, 1, 1, tzinfo=dt.timezone.utc),
        catchup=False,
        max_active_runs=1,
        params={
            "name": Param(
                "experiment",
                type="string",
                pattern="^[a-z0-9][a-z0-9_-]{0,49}$",
                title="Name",
                description="The same name goes on with an earlier experiment.",
            ),
            "experiment": Param(
                {},
                type="object",
                title="Experiment",
                description="Keys of an experiment's file (docs/experiments.md), such as "
                '{"vary": {"learning_rate": [0.0005, 0.002]}, "dates": 3, "seeds": [1, 2]}.',
            ),
            "last": Param(
                None,
                type=["null", "string"],
                format="date",
                title="Newest night",
                description="Where dates is a number. Empty: the newest partition's.",
            ),
            "jobs": Param(
                None,
                type=["null", "integer"],
                minimum=1,
                title="Trainings at a time",
                description="Empty: as many as the machine has cores.",
            ),
        },
        tags=["nightshift", name],
        default_args=RETRIES,
    ) as dag:
        # Not in the pool of trainings: a night would wait for an experiment of hours.
        NightshiftExperimentOperator(
            task_id="experiment",
            pipeline=name,
            doc_md="Export the features, train, write the report.",
        )
    return dag

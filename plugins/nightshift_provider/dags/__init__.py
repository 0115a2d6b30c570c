"""The DAGs of a pipeline, made from its folder.

A file in `dags/` calls `pipeline_dags` for one pipeline, so that a broken folder is an import
error of that file alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import DAG


def retrain_id(pipeline: str) -> str:
    """Id of the DAG that makes a pipeline's nights."""
    return f"retrain_{pipeline}"


def rollback_id(pipeline: str) -> str:
    """Id of the DAG that goes back to a kept release."""
    return f"rollback_{pipeline}"


def observe_id(pipeline: str) -> str:
    """Id of the DAG that compares what was served with what training sees."""
    return f"observe_{pipeline}"


def monitor_id(pipeline: str) -> str:
    """Id of the DAG that watches a pipeline's quality in service."""
    return f"monitor_{pipeline}"


def score_id(pipeline: str) -> str:
    """Id of the DAG that writes the list of users by items."""
    return f"score_{pipeline}"


def experiment_id(pipeline: str) -> str:
    """Id of the DAG that compares ways to train on past nights."""
    return f"experiment_{pipeline}"


def pipeline_dags(name: str) -> dict[str, DAG]:
    """The DAGs of a pipeline by their ids.

    Args:
        name: the pipeline.

    Raises:
        ConfigurationError: its folder is not there or broken; names every file, key and fix.
    """
    from nightshift.pipeline import Pipeline
    from nightshift.settings import Settings
    from nightshift_provider.dags.experiment import experiment_dag
    from nightshift_provider.dags.monitor import monitor_dag
    from nightshift_provider.dags.observe import observe_dag
    from nightshift_provider.dags.retrain import retrain_dag
    from nightshift_provider.dags.rollback import rollback_dag

    pipeline = Pipeline.load(Settings.from_env(), name)
    pipeline.check_files()
    dags = [retrain_dag(pipeline), rollback_dag(pipeline)]
    if pipeline.has_features:
        dags += [observe_dag(pipeline), monitor_dag(pipeline), experiment_dag(pipeline)]
    if pipeline.config.score is not None:
        from nightshift_provider.dags.score import score_dag

        dags.append(score_dag(pipeline))
    return {dag.dag_id: dag for dag in dags}

"""DAGs of the pipeline movielens: retrain_movielens and rollback_movielens."""

from airflow.sdk import DAG  # noqa: F401 (Airflow looks for this word in a DAG file)
from nightshift_provider.dags import pipeline_dags

globals().update(pipeline_dags("movielens"))

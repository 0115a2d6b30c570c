"""DAGs of the pipeline criteo: retrain_criteo and rollback_criteo, made from pipelines/criteo/."""

from airflow.sdk import DAG  # noqa: F401 (Airflow looks for this word in a DAG file)
from nightshift_provider.dags import pipeline_dags

globals().update(pipeline_dags("criteo"))

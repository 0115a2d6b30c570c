"""DAGs of the pipeline style: retrain_style and rollback_style, made from pipelines/style/."""

from airflow.sdk import DAG  # noqa: F401 (Airflow looks for this word in a DAG file)
from nightshift_provider.dags import pipeline_dags

globals().update(pipeline_dags("style"))

"""DAGs of the pipeline adclicks: retrain_adclicks and rollback_adclicks, made from pipelines/adclicks/."""

from airflow.sdk import DAG  # noqa: F401 (Airflow looks for this word in a DAG file)
from nightshift_provider.dags import pipeline_dags

globals().update(pipeline_dags("adclicks"))

"""DAGs of the pipeline jd: retrain_jd and rollback_jd, made from pipelines/jd/."""

from airflow.sdk import DAG  # noqa: F401 (Airflow looks for this word in a DAG file)
from nightshift_provider.dags import pipeline_dags

globals().update(pipeline_dags("jd"))

"""DAG of the installation: nightshift_watch, which tells people what goes wrong."""

from airflow.sdk import DAG  # noqa: F401 (Airflow looks for this word in a DAG file)
from nightshift_provider.dags.watch import watch_dag

nightshift_watch = watch_dag()

"""DAGs of the installation: nightshift_watch tells what goes wrong, nightshift_upkeep cleans up."""

from airflow.sdk import DAG  # noqa: F401 (Airflow looks for this word in a DAG file)
from nightshift_provider.dags.upkeep import upkeep_dag
from nightshift_provider.dags.watch import watch_dag

nightshift_watch = watch_dag()
nightshift_upkeep = upkeep_dag()

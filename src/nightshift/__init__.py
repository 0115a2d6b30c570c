"""The contract that Nightshift's DAGs, tasks and predict server share.

Everything here runs on Python 3.10 (the tasks' environment) and on Airflow's, and imports
neither Airflow nor OneFlow.
"""

__version__ = "0.1.0"

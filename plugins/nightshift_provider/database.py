"""Upkeep of Airflow's own database, by its own command."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from nightshift import credentials
from nightshift.errors import ServiceUnavailable

BATCH = 1000
"""Rows of one transaction: a server with SQLite's short patience waits for no more."""

TIMEOUT_S = 3600.0


def clean(before: dt.datetime) -> dict[str, Any]:
    """Run `airflow db clean`: rows of before a moment go; of each DAG the last run stays.

    A task has no access to Airflow's database: the command gets the connection that the installation
    gives for it (`nightshift.credentials.airflow_database`).

    Args:
        before: with a zone.

    Raises:
        AirflowSkipException: no connection is given.
        ServiceUnavailable: the command failed; the end of what it said.
    """
    connection = credentials.airflow_database()
    if connection is None:
        raise AirflowSkipException(
            "NIGHTSHIFT_AIRFLOW_DATABASE is not set, and a task has no other way to Airflow's "
            "tables: set it, or have cron run `airflow db clean`"
        )
    text = before.strftime("%Y-%m-%dT%H:%M:%S+00:00")
    command = [
        *(sys.executable, "-P", "-m", "airflow", "db", "clean", "--yes", "--skip-archive"),
        *("--clean-before-timestamp", text, "--batch-size", str(BATCH)),
        "--error-on-cleanup-failure",
    ]
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
    }
    env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = connection
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        said = (done.stdout + done.stderr).replace(connection, "<the database>")
        raise ServiceUnavailable(f"airflow db clean ended with {done.returncode}: {said[-2000:]}")
    return {"before": text}

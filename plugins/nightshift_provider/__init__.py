"""How Airflow talks to Nightshift's systems: OpenMLDB, and the container tasks.

Airflow finds the package through the entry point `apache_airflow_provider`; it reads this module
while it configures itself, so nothing of Airflow is imported here.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """The provider's description, after Airflow's `provider_info.schema.json`."""
    text = {"type": ["string", "null"]}
    return {
        "package-name": "nightshift",
        "name": "Nightshift",
        "description": "OpenMLDB jobs and container tasks that survive restarts.",
        "hooks": [
            {
                "integration-name": "OpenMLDB",
                "python-modules": [
                    "nightshift_provider.hooks.openmldb",
                    "nightshift_provider.hooks.openmldb_sql",
                ],
            }
        ],
        "operators": [
            {
                "integration-name": "OpenMLDB",
                "python-modules": ["nightshift_provider.operators.openmldb"],
            },
            {
                "integration-name": "Nightshift tasks",
                "python-modules": [
                    "nightshift_provider.operators.task",
                    "nightshift_provider.operators.approval",
                ],
            },
        ],
        "triggers": [
            {
                "integration-name": "OpenMLDB",
                "python-modules": ["nightshift_provider.triggers.openmldb"],
            },
            {
                "integration-name": "Nightshift tasks",
                "python-modules": ["nightshift_provider.triggers.task"],
            },
        ],
        "connection-types": [
            {
                "connection-type": "openmldb",
                "hook-class-name": "nightshift_provider.hooks.openmldb_sql.OpenMLDBSQLHook",
                "hook-name": "OpenMLDB",
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {
                        "host": "API server host",
                        "port": "API server port",
                        "schema": "Default database",
                    },
                    "placeholders": {"host": "127.0.0.1", "port": "9080", "schema": "jd"},
                },
                "conn-fields": {
                    "timeout_s": {
                        "label": "Timeout of one answer (seconds)",
                        "schema": {"type": ["number", "null"], "minimum": 0.1, "default": 60},
                    },
                    "tls": {
                        "label": "HTTPS (a proxy before the API server)",
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                    "zk": {
                        "label": "ZooKeeper (host:port,...): a cluster through OpenMLDB's SDK",
                        "schema": text,
                        "description": "Needs the SDK: uv sync --extra cluster. Leave empty to "
                        "use the API server.",
                    },
                    "zk_path": {"label": "ZooKeeper path", "schema": text},
                },
            }
        ],
        "extra-links": [
            "nightshift_provider.links.openmldb.OpenMLDBJobLogLink",
        ],
    }

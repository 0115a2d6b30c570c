"""The online half of a pair: its deployment in OpenMLDB, and databases of runs."""

from __future__ import annotations

import re

from nightshift.errors import OpenMLDBError
from nightshift.openmldb import SYSTEM_DATABASE, AbstractClient, normalise_sql, quote_name

_THERE = re.compile(r"already exist", re.IGNORECASE)
_GONE = re.compile(r"not? (?:exist|found)|does not exist|not exists", re.IGNORECASE)


def ensure_deployment(client: AbstractClient, database: str, name: str, sql: str) -> bool:
    """Deploy a query under its name if it is not there; return whether it was made.

    The name holds the query's hash, so a deployment of this name is this query. The biases keep
    old event times from expiring: a window's range would become the table's time to live.

    Raises:
        OpenMLDBError: the query does not compile, or a table is missing.
        ServiceUnavailable: the server does not answer.
    """
    if name in client.deployments(database):
        return False
    statement = (
        f"DEPLOY {name} OPTIONS (RANGE_BIAS='inf', ROWS_BIAS='inf', SYNC='true') "
        f"{normalise_sql(sql)}"
    )
    try:
        client.execute(database, statement, mode="onsync")
    except OpenMLDBError as error:
        if not _THERE.search(str(error)):
            raise
        return False
    return True


def drop_deployment(client: AbstractClient, database: str, name: str) -> bool:
    """Drop a deployment; return whether it was there.

    Raises:
        ServiceUnavailable: the server does not answer.
    """
    if database not in client.databases() or name not in client.deployments(database):
        return False
    try:
        client.execute(database, f"DROP DEPLOYMENT {name}", mode="onsync")
    except OpenMLDBError as error:
        if not _GONE.search(str(error)):
            raise
        return False
    return True


def drop_database(client: AbstractClient, name: str) -> bool:
    """Drop a database with all that is in it; return whether it was there.

    Raises:
        OpenMLDBError: a table is in use by a deployment of another database.
        ServiceUnavailable: the server does not answer.
    """
    if name not in client.databases():
        return False
    for deployment in client.deployments(name):
        drop_deployment(client, name, deployment)
    for table in client.tables(name):
        client.execute(name, f"DROP TABLE {quote_name(table)}", mode="onsync")
    client.execute(SYSTEM_DATABASE, f"DROP DATABASE {quote_name(name)}", mode="onsync")
    return True

"""The online half of a pair: its deployment in OpenMLDB, and databases of runs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from nightshift.errors import OpenMLDBError, ServiceUnavailable, StatementTimeout
from nightshift.openmldb import SYSTEM_DATABASE, AbstractClient, normalise_sql, quote_name

_BUSY = re.compile(r"already a task running", re.IGNORECASE)
_INDEXES = re.compile(r"Deploy|AddIndex", re.IGNORECASE)
_THERE = re.compile(r"already exist", re.IGNORECASE)
_GONE = re.compile(r"not? (?:exist|found)|does not exist|not exists", re.IGNORECASE)


DEPLOY_S = 600.0
"""Time limit of a DEPLOY: a cluster takes 6 to 7 s for each index that it adds."""

WAIT_S = 300.0
"""How long other index jobs on the tables, or a DEPLOY that goes on unseen, are waited for."""


EVERLASTING = "RANGE_BIAS='inf', ROWS_BIAS='inf', SYNC='true'"
"""For a database that is dropped soon: what the query reads is kept whatever its age."""

SERVING: dict[str, str | int | float | bool] = {"RANGE_BIAS": "inf", "SKIP_INDEX_CHECK": "true"}
"""For the online tables. Indexes that they declare keep the time to live that they declare, which
`check` and `plan` hold against the query. Of an index that DEPLOY has to make, a window's rows do
not grow too old, and a LAST JOIN keeps its one row of a key: with a bias of rows, a snapshot that
each night loads again would be kept as often."""


def ensure_deployment(
    client: AbstractClient, database: str, name: str, sql: str, *, serving: bool = False
) -> bool:
    """Deploy a query under its name if it is not there; return whether it was made.

    The name holds the query's hash, so a deployment of this name is this query.

    Args:
        client: the API server.
        database: the database.
        name: the deployment.
        sql: the query.
        serving: over the online tables (`SERVING`), not in a database that is dropped soon.

    Raises:
        OpenMLDBError: the query does not compile, or a table is missing.
        ServiceUnavailable: the server does not answer, or other index jobs do not end.
    """
    if name in client.deployments(database):
        client.refresh()  # an earlier try may have made it a moment ago
        return False
    options = EVERLASTING
    if serving:
        options = ", ".join(f"{key}='{value}'" for key, value in SERVING.items()) + ", SYNC='true'"
    statement = f"DEPLOY {name} OPTIONS ({options}) {normalise_sql(sql)}"
    return deploy(client, database, name, statement)


def deploy(
    client: AbstractClient,
    database: str,
    name: str,
    statement: str,
    *,
    wait_s: float = WAIT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Run a DEPLOY so that it happens once; return whether it was made now.

    A cluster makes one index of a table at a time, so other index jobs are waited for first. A
    DEPLOY that reached its timeout goes on: it is looked up before it is sent again. Where no
    answer told of it the API server is made to look, so that the next request finds it.

    Raises:
        OpenMLDBError: the query does not compile, or a table is missing.
        ServiceUnavailable: the server does not answer, or other index jobs do not end.
    """
    until = time.monotonic() + wait_s
    _await_operations(client, database, until, sleep)
    while True:
        try:
            client.execute(
                database, statement, mode="onsync", timeout_s=max(DEPLOY_S, client.timeout_s)
            )
        except OpenMLDBError as error:  # noqa: PERF203
            if not _THERE.search(str(error)):
                raise
            client.refresh()
            return False
        except StatementTimeout:
            if _appears(client, database, name, until, sleep):
                client.refresh()
                return True
            raise
        except ServiceUnavailable as error:
            # An index job that began in between; the answer itself may have been lost, too.
            if not _BUSY.search(str(error)) or time.monotonic() >= until:
                raise
            sleep(1.0)
            _await_operations(client, database, until, sleep)
            if name in client.deployments(database):
                client.refresh()
                return True
        else:
            return True


def _await_operations(
    client: AbstractClient, database: str, until: float, sleep: Callable[[float], None]
) -> None:
    """Return when the name server makes no index in a database.

    Raises:
        ServiceUnavailable: it still does at the end.
    """
    while True:
        busy = [
            job
            for job in client.operations()
            if job.db == database and not job.state.is_terminal and _INDEXES.search(job.job_type)
        ]
        if not busy:
            return
        if time.monotonic() >= until:
            raise ServiceUnavailable(
                f"the name server still makes indexes in {database}: operation "
                f"{busy[0].job_id} on {busy[0].name} is {busy[0].state.value} "
                "(SHOW JOBS FROM NAMESERVER)"
            )
        sleep(1.0)


def _appears(
    client: AbstractClient,
    database: str,
    name: str,
    until: float,
    sleep: Callable[[float], None],
) -> bool:
    """Whether a deployment comes to be that no answer told of; its indexes are waited for."""
    _await_operations(client, database, until, sleep)
    for pause in (0.5, 1.0, 2.0, 4.0, 8.0):
        if name in client.deployments(database):
            _await_operations(client, database, until, sleep)
            return True
        sleep(pause)
    return False


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

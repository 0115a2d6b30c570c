"""Whether what a table answers can be believed.

While a tablet loads its tables a cluster answers partial counts with code 0. So nothing that adds
or removes rows is decided by one answer: the table's status must be good, and two readings equal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from nightshift.errors import ContractError, RetryableError, ServiceUnavailable, StatementTimeout
from nightshift.openmldb.client import AbstractClient

_T = TypeVar("_T")
_TABLE, _DATABASE, _UNALIVE, _WARNINGS = 1, 2, 8, -1


@dataclass(frozen=True)
class Patience:
    """How long to wait for a table to come to rest, in seconds.

    Attributes:
        healthy_s: until it is given up.
        between_s: between the two readings that must agree.
        poll_s: before it is looked at again.
    """

    healthy_s: float = 300.0
    between_s: float = 0.2
    poll_s: float = 1.0


def unhealthy(client: AbstractClient, database: str, table: str) -> str | None:
    """Why a table must not be believed; None where nothing speaks against it.

    Raises:
        ContractError: there is no such table.
    """
    try:
        # Of all its tables: a LIKE would choose databases.
        result = client.execute(database, "SHOW TABLE STATUS", mode="onsync")
    except RetryableError as error:
        return str(error)
    rows = [
        row
        for row in (result.rows if result is not None else [])
        if row[_TABLE] == table and row[_DATABASE] == database
    ]
    if not rows:
        raise ContractError(f"there is no table {table} in database {database}")
    if str(rows[0][_UNALIVE]) not in ("0", "NULL", ""):
        return f"{rows[0][_UNALIVE]} of its partitions are not alive"
    warning = str(rows[0][_WARNINGS] or "").strip()
    return warning if warning not in ("", "NULL") else None


def delete(
    client: AbstractClient,
    database: str,
    statement: str,
    count: Callable[[], int],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Run a DELETE; one that reached its timeout goes on, and is waited for.

    Else it might remove rows that are added after it.

    Args:
        client: the server.
        database: the database.
        statement: the DELETE.
        count: counts the rows that it is to remove.
        sleep: as `time.sleep`.

    Raises:
        StatementTimeout: it went on for longer than half a minute.
    """
    try:
        client.execute(database, statement, mode="onsync")
    except StatementTimeout:
        for pause in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0):
            sleep(pause)
            if not count():
                return
        raise


def settled(
    client: AbstractClient,
    database: str,
    table: str,
    read: Callable[[], _T],
    patience: Patience = Patience(),
    sleep: Callable[[float], None] = time.sleep,
) -> _T:
    """What two readings of a healthy table agree on; of a consistent server one is enough.

    Raises:
        ServiceUnavailable: it did not come to rest in time.
        ContractError: there is no such table.
    """
    until = time.monotonic() + patience.healthy_s
    while True:
        why = unhealthy(client, database, table)
        if why is None:
            try:
                first = read()
                if client.consistent:
                    return first
                sleep(patience.between_s)
                if read() == first and unhealthy(client, database, table) is None:
                    return first
                why = "two readings differ"
            except RetryableError as error:
                why = str(error)
        if time.monotonic() >= until:
            raise ServiceUnavailable(
                f"the online table {database}.{table} did not come to rest within "
                f"{patience.healthy_s:g} s: {why}"
            )
        sleep(patience.poll_s)

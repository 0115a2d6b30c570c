"""A cluster reached through ZooKeeper, with OpenMLDB's own Python SDK.

Only workers come here: a failing connect holds the interpreter's lock for about two seconds, so
triggers always go through the API server.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Final

from nightshift.errors import ConfigurationError, OpenMLDBError, ServiceUnavailable
from nightshift.openmldb import AbstractClient, Request, first_words
from nightshift.openmldb.protocol import REFRESH

_MODES: Final = {
    "offsync": ("offline", "true"),
    "offasync": ("offline", "false"),
    "online": ("online", "false"),
    "onsync": ("online", "true"),
}


class SDKClient(AbstractClient):
    """Statements and jobs over the SDK's DB-API.

    Args:
        zk: `host:port,...` of ZooKeeper.
        zk_path: root node of the cluster.
        login: user, where the cluster has users.
        password: the user's password.
        timeout_s: time limit of one statement.

    Raises:
        ConfigurationError: the SDK is not installed.
        ServiceUnavailable: the cluster cannot be reached.
    """

    def __init__(
        self,
        *,
        zk: str,
        zk_path: str,
        login: str | None = None,
        password: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        self.place = f"the cluster at ZooKeeper {zk}{zk_path}"
        self.timeout_s = timeout_s
        _without_blanks()
        try:
            from openmldb import dbapi
        except ImportError as error:
            raise ConfigurationError(
                f"{self.place} is reached with OpenMLDB's Python SDK, which is not installed: "
                "run `uv sync --extra cluster`, or remove zk and zk_path from the connection to "
                f"use the API server ({error})"
            ) from error
        options: dict[str, Any] = {"zk": zk, "zkPath": zk_path}
        if login:
            options |= {"user": login, "password": password or ""}
        try:
            self._connection = dbapi.connect(**options)
        except Exception as error:  # the SDK raises a bare Exception
            raise ServiceUnavailable(f"{self.place} cannot be reached: {error}") from error
        self._database: str | None = None
        self._mode: str | None = None

    def close(self) -> None:
        """Close the SDK's connection."""
        self._connection.close()

    def health(self) -> None:
        """SHOW DATABASES.

        Raises:
            ServiceUnavailable: the cluster does not answer.
        """
        try:
            self.databases()
        except OpenMLDBError as error:
            raise ServiceUnavailable(str(error)) from error

    def _send(self, request: Request, timeout_s: float) -> Any:
        if request == REFRESH:
            return {"code": 0}  # the SDK looks by itself
        if request.body is None or "sql" not in request.body:
            raise ConfigurationError(
                f"{request.about} goes through the API server; give the connection its host "
                "and port and remove zk and zk_path"
            )
        database = request.path.split("/")[2]
        sql, mode = str(request.body["sql"]), str(request.body["mode"])
        try:
            cursor = self._connection.cursor()
            if mode != self._mode:
                execute_mode, sync_job = _MODES[mode]
                cursor.execute(f"SET @@execute_mode='{execute_mode}'")
                cursor.execute(f"SET @@sync_job={sync_job}")
                cursor.execute(f"SET @@job_timeout={int(timeout_s * 1000)}")
                self._mode = mode
            if database != self._database and database.upper() != "INFORMATION_SCHEMA":
                cursor.execute(f"USE {database}")
                self._database = database
            result = cursor.execute(sql)
            if result is None or cursor.description is None:
                return {"code": 0}
            rows = [list(row) for row in cursor.fetchall()]
        except Exception as error:  # the SDK raises its own DatabaseError and bare exceptions
            raise OpenMLDBError(
                f"OpenMLDB at {self.place} refused {first_words(sql)!r} in database {database}: "
                f"{error}"
            ) from error
        schema = [str(column[1]) for column in cursor.description]
        return {"code": 0, "data": {"schema": schema, "data": rows}}


def _without_blanks() -> None:
    """Take the blanks out of this process's short name.

    OpenMLDB's library reads `/proc/self/stat` as it loads and each second after that. Where the
    name holds a blank, as Airflow gives its processes (`airflow worker -- ...`), loading
    crashes or never ends. The long name, which `ps` shows, stays.
    """
    comm = Path("/proc/self/comm")
    with contextlib.suppress(OSError):
        comm.write_text(comm.read_text().strip().replace(" ", "_"))

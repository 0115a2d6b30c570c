"""DB-API 2.0 (PEP 249) over the API server.

Statements run online unless the connection's mode is `offline`. A statement that starts a job is
followed to the job's end, so `execute` returns when its effect is there. There are no
transactions: `commit` does nothing and `rollback` cannot undo.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from nightshift.errors import ConfigurationError, JobFailed, RetryableError, TerminalError
from nightshift.openmldb import (
    AbstractClient,
    Mode,
    OpenMLDBClient,
    ResultSet,
    basic_authorisation,
    quote_literal,
    split_script,
)
from nightshift.openmldb.following import finish, submit_once
from nightshift_provider.sql.columns import column_names

apilevel: Final = "2.0"
threadsafety: Final = 1
paramstyle: Final = "pyformat"

Parameters = Sequence[Any] | Mapping[str, Any]
_FOLLOWED = re.compile(r"\s*(?:load\s+data\b|select\b.*\binto\s+outfile\b)", re.I | re.S)
_LOAD = re.compile(r"\s*load\s+data\b", re.I)
_INSERT = re.compile(r"\s*(?:--[^\n]*\n\s*)*insert\b", re.I)
_EPOCH = dt.datetime(1970, 1, 1)


class Warning(Exception):  # noqa: A001 (PEP 249's name)
    """A warning of the DB-API."""


class Error(Exception):
    """Root of PEP 249's errors."""


class InterfaceError(Error):
    """The module was used in a wrong way."""


class DatabaseError(Error):
    """The database refused."""


class DataError(DatabaseError):
    """A value is out of its range."""


class OperationalError(DatabaseError):
    """The database is away; the same may succeed later."""


class IntegrityError(DatabaseError):
    """Never raised: OpenMLDB has no constraints."""


class InternalError(DatabaseError):
    """Never raised."""


class ProgrammingError(DatabaseError):
    """The statement or its parameters are wrong."""


class NotSupportedError(DatabaseError):
    """OpenMLDB cannot do that."""


class _TypeGroup(frozenset[str]):
    """A PEP 249 type object: equal to each of its members."""

    def __eq__(self, other: object) -> bool:
        return other in self if isinstance(other, str) else super().__eq__(other)

    __hash__ = frozenset.__hash__


STRING = _TypeGroup({"String"})
NUMBER = _TypeGroup({"Bool", "Int16", "Int32", "Int64", "Float", "Double"})
DATETIME = _TypeGroup({"Date", "Timestamp"})
BINARY: Final = _TypeGroup()
ROWID: Final = _TypeGroup()

Date, Timestamp, Time = dt.date, dt.datetime, dt.time
Binary = bytes


def DateFromTicks(ticks: float) -> dt.date:  # noqa: N802 (PEP 249's name)
    """The UTC date of seconds since the epoch."""
    return (_EPOCH + dt.timedelta(seconds=ticks)).date()


def TimestampFromTicks(ticks: float) -> dt.datetime:  # noqa: N802 (PEP 249's name)
    """The naive UTC time of seconds since the epoch."""
    return _EPOCH + dt.timedelta(seconds=ticks)


def connect(
    host: str = "127.0.0.1",
    port: int = 9080,
    database: str = "",
    *,
    mode: Literal["online", "offline"] = "online",
    timeout_s: float = 60.0,
    job_timeout_s: float = 3600.0,
    client: AbstractClient | None = None,
    login: str = "",
    password: str = "",
) -> Connection:
    """Open a connection to an API server.

    Args:
        host: of the API server.
        port: of the API server.
        database: default database.
        mode: where statements run that can run in both places.
        timeout_s: of one answer.
        job_timeout_s: of one job.
        client: talk through this client instead; it is closed with the connection.
        login: for basic authorisation, which a proxy or the embedded server may demand.
        password: the same.
    """
    if client is None:
        headers = basic_authorisation(login, password) if password else {}
        client = OpenMLDBClient(f"http://{host}:{port}", timeout_s, headers=headers)
    return Connection(client, database, mode, job_timeout_s)


class Connection:
    """A PEP 249 connection."""

    Error, DatabaseError, OperationalError = Error, DatabaseError, OperationalError
    ProgrammingError, InterfaceError, NotSupportedError = (
        ProgrammingError,
        InterfaceError,
        NotSupportedError,
    )

    def __init__(
        self,
        client: AbstractClient,
        database: str,
        mode: Literal["online", "offline"],
        job_timeout_s: float,
    ) -> None:
        if mode not in ("online", "offline"):
            raise InterfaceError(f"mode is {mode!r}; it is online or offline")
        self.client = client
        self.database = database
        self.mode: Literal["online", "offline"] = mode
        self.job_timeout_s = job_timeout_s
        self.closed = False

    def cursor(self) -> Cursor:
        """A new cursor."""
        if self.closed:
            raise InterfaceError("the connection is closed")
        return Cursor(self)

    def commit(self) -> None:
        """Every statement has taken effect already."""

    def rollback(self) -> None:
        """There is nothing that could be undone; statements before it stay in effect."""

    def close(self) -> None:
        """Close the client."""
        self.closed = True
        self.client.close()


class Cursor:
    """A PEP 249 cursor; rows are tuples with Python's own dates (naive, UTC)."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1
        self.job_id: int | None = None
        self._rows: list[tuple[Any, ...]] = []
        self._next = 0

    def execute(self, operation: str, parameters: Parameters | None = None) -> Cursor:
        """Run one statement.

        Args:
            operation: one statement; `%s` or `%(name)s` stand for parameters.
            parameters: values, written into the statement as literals.

        Raises:
            ProgrammingError: the statement is refused, or is more than one.
            OperationalError: no server, or a part behind it is away.
        """
        sql = bind(operation, parameters) if parameters is not None else operation
        statements = split_script(sql)
        if len(statements) != 1:
            raise ProgrammingError(f"one statement at a time; this text has {len(statements)}")
        self.description, self.rowcount, self._rows, self._next = None, -1, [], 0
        try:
            result = self._run(statements[0])
        except RetryableError as error:
            raise OperationalError(str(error)) from error
        except JobFailed as error:
            raise DatabaseError(str(error)) from error
        except TerminalError as error:
            raise ProgrammingError(str(error)) from error
        if result is not None:
            self._take(statements[0], result)
        return self

    def _run(self, sql: str) -> ResultSet | None:
        online = self.connection.mode == "online"
        client = self.connection.client
        if not _FOLLOWED.match(sql) or (online and not _LOAD.match(sql)):
            synchronous: Mode = "onsync" if online else "offsync"
            return client.execute(self.connection.database, sql, synchronous)
        mode: Mode = "online" if online else "offasync"
        job = submit_once(client, self.connection.database, sql, mode)
        self.job_id = job.job_id
        limit = time.time() + self.connection.job_timeout_s
        finish(client, job, limit, poll_s=2.0)
        return None

    def _take(self, sql: str, result: ResultSet) -> None:
        def columns(database: str | None, table: str) -> list[str]:
            try:
                found = self.connection.client.columns(database or self.connection.database, table)
            except (RetryableError, TerminalError):
                return []
            return [name for name, _ in found]

        names = column_names(sql, len(result.schema), columns)
        self.description = [
            (name, kind, None, None, None, None, None)
            for name, kind in zip(names, result.schema, strict=True)
        ]
        kinds = result.schema
        self._rows = [
            tuple(to_python(value, kind) for value, kind in zip(row, kinds, strict=True))
            for row in result.rows
        ]
        self.rowcount = len(self._rows)

    def executemany(self, operation: str, seq_of_parameters: Sequence[Parameters]) -> Cursor:
        """Run a statement once for each of the parameters."""
        for parameters in seq_of_parameters:
            self.execute(operation, parameters)
        self.rowcount = -1
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None."""
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next rows, at most `size`."""
        if self.description is None:
            raise ProgrammingError("the last statement has no rows to fetch")
        begin, self._next = self._next, self._next + (size or self.arraysize)
        return self._rows[begin : self._next]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All remaining rows."""
        return self.fetchmany(max(1, len(self._rows)))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """Nothing to set."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Nothing to set."""

    def close(self) -> None:
        """Forget the rows."""
        self._rows, self.description = [], None


def bind(operation: str, parameters: Parameters) -> str:
    """Write parameters into a statement as literals; `%%` is a per cent sign.

    Raises:
        ProgrammingError: they do not fit the statement's places, or one has no literal.
    """
    values: Any
    stored = _INSERT.match(operation) is not None
    if isinstance(parameters, Mapping):
        values = {name: literal(v, stored=stored) for name, v in parameters.items()}
    else:
        values = tuple(literal(v, stored=stored) for v in parameters)
    try:
        return str(operation % values)
    except (TypeError, KeyError, ValueError) as error:
        raise ProgrammingError(f"the parameters do not fit the statement: {error}") from error


def literal(value: Any, *, stored: bool = False) -> str:
    """A value as a literal of OpenMLDB's SQL.

    Args:
        value: None, bool, int, float, Decimal, str, date or datetime (naive means UTC).
        stored: for INSERT, which takes times as milliseconds and dates as text, and no calls.

    Raises:
        ProgrammingError: there is no literal for it.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | decimal.Decimal):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ProgrammingError(f"{value} has no literal in OpenMLDB's SQL")
        return repr(value)
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(dt.timezone.utc).replace(tzinfo=None)
        ms = (value - _EPOCH) // dt.timedelta(milliseconds=1)
        return str(ms) if stored else f"timestamp({ms})"
    if isinstance(value, dt.date):
        text = quote_literal(value.isoformat())
        return text if stored else f"date({text})"
    if isinstance(value, str):
        return quote_literal(value)
    raise ProgrammingError(f"a {type(value).__name__} has no literal in OpenMLDB's SQL")


def to_python(value: Any, kind: str) -> Any:
    """A cell as Python has it: timestamps are ms, dates are not zero-padded."""
    if value is None:
        return None
    if kind == "Timestamp" and isinstance(value, int):
        return _EPOCH + dt.timedelta(milliseconds=value)
    if kind == "Date" and isinstance(value, str):
        year, month, day = value.split("-")
        return dt.date(int(year), int(month), int(day))
    return value


__all__ = ["ConfigurationError", "Connection", "Cursor", "connect"]

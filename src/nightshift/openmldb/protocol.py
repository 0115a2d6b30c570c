"""The API server's protocol: an operation yields requests and receives the answers' JSON.

It is that of OpenMLDB 0.9 (`src/apiserver/api_server_impl.cc`): HTTP 200 always, an error is a
`code` other than 0, result sets have types but no column names, and only the first statement of a
request runs.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

from nightshift.errors import ConfigurationError, ContractError, OpenMLDBError
from nightshift.openmldb.fatal import check_statement
from nightshift.openmldb.jobs import JOB_COLUMNS, Job
from nightshift.openmldb.text import first_words, normalise_sql, offline_select

Mode = Literal["offsync", "offasync", "online", "onsync"]
"""Execution modes of the API server; `online` is the asynchronous online mode."""

ASYNCHRONOUS_MODES: Final = ("offasync", "online")

SYSTEM_DATABASE: Final = "INFORMATION_SCHEMA"
"""Database named in the path of statements that concern none (SHOW JOBS, SHOW DATABASES)."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class ResultSet:
    """Rows of a statement; `schema` holds the types (`Int32`, `String`, ...), never names."""

    schema: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True)
class DeploymentInfo:
    """What `GET /dbs/{db}/deployments/{name}` tells; schemas are (name, lower-case type)."""

    database: str
    name: str
    sql: str
    input_schema: list[tuple[str, str]]
    output_schema: list[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """One HTTP request, and the words that name it in an error."""

    method: str
    path: str
    about: str
    body: Mapping[str, Any] | None = None


Operation = Generator[Request, Any, _T]
"""A protocol operation: yields requests, receives the answers' JSON, returns its result."""

REFRESH: Final = Request("POST", "/refresh", "POST /refresh", {})
"""Makes the API server hear of tables and deployments at once; else it does within moments."""

_DEFINES: Final = re.compile(r"(?:create|drop|alter|deploy)\b", re.IGNORECASE)


def drive(operation: Operation[_T], send: Callable[[Request], Any]) -> _T:
    """Carry an operation's requests one by one; its result."""
    answer: Any = None
    while True:
        try:
            request = operation.send(answer)
        except StopIteration as stop:
            value: _T = stop.value
            return value
        answer = send(request)


async def drive_async(operation: Operation[_T], send: Callable[[Request], Awaitable[Any]]) -> _T:
    """`drive` in an event loop."""
    answer: Any = None
    while True:
        try:
            request = operation.send(answer)
        except StopIteration as stop:
            value: _T = stop.value
            return value
        answer = await send(request)


def refresh() -> Operation[None]:
    """Make the API server look at what there is."""
    yield REFRESH


def execute(db: str, sql: str, mode: Mode, timeout_s: float) -> Operation[ResultSet | None]:
    """One statement; None where the answer holds no rows.

    A SELECT that is to read offline rows says so itself (see `text.offline_select`).
    After one that defines something the API server is told to look: else the next statement or
    request may not find what was just made.

    Raises:
        ConfigurationError: the statement would end the API server's process.
    """
    check_statement(sql)
    if mode in ("offsync", "offasync"):
        sql = offline_select(sql)
    body = {"mode": mode, "sql": sql, "timeout": int(timeout_s * 1000)}
    about = f"{first_words(sql)!r} in database {db}"
    answer = yield Request("POST", f"/dbs/{_part(db)}", about, body)
    if _DEFINES.match(normalise_sql(sql[:4096]) if len(sql) < 4096 else sql.lstrip()):
        yield REFRESH
    data = answer.get("data")
    if data is None:
        return None
    try:
        return ResultSet(schema=list(data["schema"]), rows=list(data["data"]))
    except (KeyError, TypeError) as error:
        raise ContractError(f"{about}: the answer is not a result set: {data!r}") from error


def _rows(db: str, sql: str, timeout_s: float) -> Operation[list[list[Any]]]:
    result = yield from execute(db, sql, "onsync", timeout_s)
    return result.rows if result is not None else []


def submit(db: str, sql: str, mode: Mode, timeout_s: float) -> Operation[Job]:
    """A statement that starts a job, in an asynchronous mode."""
    if mode not in ASYNCHRONOUS_MODES:
        raise ConfigurationError(
            f"{first_words(sql)!r}: mode {mode!r} runs to its end; "
            f"a job is submitted with one of {', '.join(ASYNCHRONOUS_MODES)}"
        )
    result = yield from execute(db, sql, mode, timeout_s)
    return submitted_job(result, sql)


def submitted_job(result: ResultSet | None, sql: str) -> Job:
    """The job that an asynchronous statement started.

    Raises:
        ContractError: the answer holds no job; the statement is of a kind that starts none.
    """
    if result is None or len(result.rows) != 1 or len(result.rows[0]) != JOB_COLUMNS:
        raise ContractError(
            f"{first_words(sql)!r} started no job; only LOAD DATA, SELECT ... INTO OUTFILE and "
            "offline statements do"
        )
    return Job.from_row(result.rows[0])


def is_job(result: ResultSet | None) -> bool:
    """Whether a statement's answer is the row of a job that it started."""
    return (
        result is not None
        and len(result.rows) == 1
        and len(result.schema) == JOB_COLUMNS
        and isinstance(result.rows[0][0], int)
    )


def job(job_id: int, timeout_s: float, statement: str = "SHOW JOB") -> Operation[Job]:
    """SHOW JOB, or STOP JOB, whose answer is the same row."""
    sql = f"{statement} {int(job_id)}"
    rows = yield from _rows(SYSTEM_DATABASE, sql, timeout_s)
    if len(rows) != 1:
        raise OpenMLDBError(f"{sql!r}: the server answered {len(rows)} rows instead of one", 2000)
    return Job.from_row(rows[0])


def jobs(timeout_s: float) -> Operation[list[Job]]:
    """SHOW JOBS."""
    rows = yield from _rows(SYSTEM_DATABASE, "SHOW JOBS", timeout_s)
    return [Job.from_row(row) for row in rows]


def operations(timeout_s: float) -> Operation[list[Job]]:
    """SHOW JOBS FROM NAMESERVER: what the name server does to tables, such as new indexes."""
    rows = yield from _rows(SYSTEM_DATABASE, "SHOW JOBS FROM NAMESERVER", timeout_s)
    return [Job.from_row(row) for row in rows]


def job_log(job_id: int, timeout_s: float) -> Operation[str]:
    """SHOW JOBLOG."""
    rows = yield from _rows(SYSTEM_DATABASE, f"SHOW JOBLOG {int(job_id)}", timeout_s)
    return "\n".join(str(row[0]) for row in rows)


def first_column(db: str, sql: str, timeout_s: float) -> Operation[list[str]]:
    """The first column of a statement's rows, as SHOW TABLES and SHOW DATABASES give names."""
    rows = yield from _rows(db, sql, timeout_s)
    return [str(row[0]) for row in rows]


def deployments(db: str, timeout_s: float) -> Operation[list[str]]:
    """SHOW DEPLOYMENTS: names of those of `db`."""
    rows = yield from _rows(db, "SHOW DEPLOYMENTS", timeout_s)
    return [str(row[1]) for row in rows if str(row[0]) == db]


def deployment(db: str, name: str) -> Operation[DeploymentInfo]:
    """`GET /dbs/{db}/deployments/{name}`."""
    path = f"/dbs/{_part(db)}/deployments/{_part(name)}"
    about = f"deployment {name} in database {db}"
    answer = yield Request("GET", path, about)
    try:
        data = answer["data"]
        return DeploymentInfo(
            database=db,
            name=str(data["name"]),
            sql=str(data.get("procedure", "")),
            input_schema=_pairs(data["input_schema"]),
            output_schema=_pairs(data["output_schema"]),
        )
    except (KeyError, TypeError) as error:
        raise ContractError(f"{about}: the answer describes no deployment: {answer!r}") from error


def columns(db: str, table: str) -> Operation[list[tuple[str, str]]]:
    """`GET /dbs/{db}/tables/{table}`: (name, type) by column."""
    about = f"table {table} in database {db}"
    answer = yield Request("GET", f"/dbs/{_part(db)}/tables/{_part(table)}", about)
    try:
        columns = answer["table"]["column_desc"]
        return [(str(c["name"]), _PROTO_TYPES[str(c["data_type"])]) for c in columns]
    except (KeyError, TypeError) as error:
        raise ContractError(f"{about}: the answer describes no table: {answer!r}") from error


_PROTO_TYPES: Final = {
    "kBool": "Bool",
    "kSmallInt": "Int16",
    "kInt": "Int32",
    "kBigInt": "Int64",
    "kFloat": "Float",
    "kDouble": "Double",
    "kString": "String",
    "kVarchar": "String",
    "kDate": "Date",
    "kTimestamp": "Timestamp",
}


def deployment_text(db: str, name: str, timeout_s: float) -> Operation[str]:
    """SHOW DEPLOYMENT, as one text."""
    rows = yield from _rows(db, f"SHOW DEPLOYMENT {name}", timeout_s)
    return "\n".join(str(cell) for row in rows for cell in row)


def call(
    db: str, name: str, rows: Sequence[Sequence[Any]], need_schema: bool
) -> Operation[tuple[list[list[Any]], list[tuple[str, str]]]]:
    """`POST /dbs/{db}/deployments/{name}`: (rows, schema), the schema empty unless asked for."""
    path = f"/dbs/{_part(db)}/deployments/{_part(name)}"
    about = f"a call of deployment {name} in database {db}"
    body = {"input": [list(row) for row in rows], "need_schema": need_schema}
    answer = yield Request("POST", path, about, body)
    try:
        data = answer["data"]
        return list(data["data"]), _pairs(data.get("schema", []))
    except (KeyError, TypeError) as error:
        raise ContractError(f"{about}: the answer holds no rows: {answer!r}") from error


def _pairs(columns: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(str(column["name"]), str(column["type"])) for column in columns]


def _part(name: str) -> str:
    return quote(name, safe="")

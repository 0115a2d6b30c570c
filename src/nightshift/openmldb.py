"""Clients of OpenMLDB: statements, jobs and deployments over the API server's HTTP protocol.

`OpenMLDBClient` (blocking) and `AsyncOpenMLDBClient` share every request and every parser: an
operation is a generator that yields `Request`s and receives the server's answers, and a client
only carries them. `AbstractClient` is the seam behind which another transport (OpenMLDB's own
SDK over ZooKeeper) offers the same statements and jobs.

The protocol is that of OpenMLDB 0.9 (`src/apiserver/api_server_impl.cc`): HTTP 200 always, an
error is a `code` other than 0, result sets have types but no column names, and only the first
statement of a request runs, hence `split_script`.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeVar
from urllib.parse import quote

import httpx

from nightshift.errors import (
    ConfigurationError,
    ContractError,
    JobFailed,
    JobLost,
    NightshiftError,
    OpenMLDBError,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from typing_extensions import Self

Mode = Literal["offsync", "offasync", "online", "onsync"]
"""Execution modes of the API server; `online` is the asynchronous online mode."""

ASYNCHRONOUS_MODES: Final = ("offasync", "online")

SYSTEM_DATABASE: Final = "INFORMATION_SCHEMA"
"""Database named in the path of statements that concern none (SHOW JOBS, SHOW DATABASES)."""

JOB_COLUMNS: Final = 14

_T = TypeVar("_T")

# What the API server says, with code -1, 2000 or 2001, when a part behind it is away; the same
# statement may well succeed later.
_AWAY = re.compile(
    r"connection refused|connection reset|timed? ?out|rpc fail|not connected|server error"
    r"|taskmanager client|no taskmanager|no leader|shutting down|host is down",
    re.IGNORECASE,
)


class JobState(str, Enum):
    """State of an offline or import job; components write them in different case."""

    SUBMITTED = "SUBMITTED"
    CONNECTED = "CONNECTED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"
    LOST = "LOST"
    STOPPED = "STOPPED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended (FINISHED may still turn to FAILED shortly after)."""
        return self in _TERMINAL

    @classmethod
    def parse(cls, text: str) -> JobState:
        """Read a state without regard to case; YARN's early states count as submitted."""
        upper = text.strip().upper()
        if upper in _YARN_EARLY:
            return cls.SUBMITTED
        return cls(upper) if upper in cls.__members__ else cls.UNKNOWN


_TERMINAL: Final = frozenset(
    {JobState.FINISHED, JobState.FAILED, JobState.KILLED, JobState.LOST, JobState.STOPPED}
)
_YARN_EARLY: Final = frozenset({"NEW", "NEW_SAVING", "ACCEPTED"})


@dataclass(frozen=True)
class Job:
    """One row of SHOW JOBS; times are milliseconds since the epoch, None where not yet."""

    job_id: int
    job_type: str
    state: JobState
    start_time: int | None
    end_time: int | None
    parameter: str
    cluster: str
    application_id: str
    error: str
    db: str
    name: str
    pid: int
    cur_task: str
    component: str

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Job:
        """Read the protocol's 14 columns.

        Raises:
            ContractError: the row has another shape.
        """
        if len(row) != JOB_COLUMNS or not isinstance(row[0], int):
            raise ContractError(
                f"a job of OpenMLDB has {JOB_COLUMNS} columns and an integer id, "
                f"but the server answered {list(row)!r}"
            )

        def text(value: Any) -> str:
            return "" if value is None else str(value)

        return cls(
            job_id=row[0],
            job_type=text(row[1]),
            state=JobState.parse(text(row[2])),
            start_time=_ms(row[3]),
            end_time=_ms(row[4]),
            parameter=text(row[5]),
            cluster=text(row[6]),
            application_id=text(row[7]),
            error=text(row[8]),
            db=text(row[9]),
            name=text(row[10]),
            pid=int(row[11] or 0),
            cur_task=text(row[12]),
            component=text(row[13]),
        )


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


_HEALTH: Final = Request("GET", "/health", "GET /health")

Operation = Generator[Request, Any, _T]
"""A protocol operation: yields requests, receives the answers' JSON, returns its result."""


# --- SQL text -------------------------------------------------------------------------------


def split_script(script: str) -> list[str]:
    """Split a script at its semicolons; the API server runs only the first statement it gets.

    Quoted text ('..', "..", `..` and their triple forms, backslash escapes) and comments
    (`--`, `#`, `/* */`) hide semicolons; CREATE PROCEDURE ... BEGIN ... END; stays whole.
    Comments around a statement are dropped, those within it stay.

    Raises:
        ConfigurationError: a quote or a comment does not end; the message tells its line.
    """
    statements: list[str] = []
    start = 0
    for kind, begin, end in _scan(script):
        if kind != ";":
            continue
        text = script[start:begin]
        if _PROCEDURE.match(_strip_comments(text)) and not _PROCEDURE_END.search(text):
            continue
        statements.append(text)
        start = end
    statements.append(script[start:])
    trimmed = (_trim(text) for text in statements)
    return [text for text in trimmed if text]


def normalise_sql(sql: str) -> str:
    """One statement without comments, with single spaces, without a final semicolon.

    Quoted text is kept as it is; letters keep their case. Two spellings that normalise to the
    same text mean the same.
    """
    parts: list[str] = []
    position = 0
    for kind, begin, end in _scan(sql):
        parts.append(re.sub(r"\s+", " ", sql[position:begin]))
        parts.append(" " if kind == "comment" else sql[begin:end])
        position = end
    parts.append(re.sub(r"\s+", " ", sql[position:]))
    text = ""
    for part in parts:
        text += part.lstrip(" ") if text.endswith(" ") else part
    return text.strip().rstrip(";").rstrip()


def quote_literal(text: str) -> str:
    """`text` as a string literal of OpenMLDB's SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_name(name: str) -> str:
    """`name` in backquotes.

    Raises:
        ConfigurationError: the name holds a backquote or a control character.
    """
    if not name or "`" in name or not name.isprintable():
        raise ConfigurationError(f"{name!r} cannot be a name in OpenMLDB's SQL")
    return f"`{name}`"


def first_words(sql: str, limit: int = 60) -> str:
    """The beginning of a statement on one line, for messages."""
    text = normalise_sql(sql) if len(sql) < 4096 else re.sub(r"\s+", " ", sql[:4096]).strip()
    return text if len(text) <= limit else text[: limit - 3] + "..."


_TOKEN = re.compile(
    r"""
      (?P<comment>--[^\n]*|\#[^\n]*|/\*.*?\*/)
    | (?P<quoted>'''(?:\\.|.)*?'''|\"\"\"(?:\\.|.)*?\"\"\"
        |'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`)
    | (?P<end>;)
    | (?P<open>['"`]|/\*)
    """,
    re.DOTALL | re.VERBOSE,
)
_PROCEDURE = re.compile(r"\s*create\s+procedure\b", re.IGNORECASE)
_PROCEDURE_END = re.compile(r";\s*end\s*$", re.IGNORECASE)


def _scan(script: str) -> Generator[tuple[str, int, int], None, None]:
    """Yield (`comment` | `quoted` | `;`, begin, end) of what needs care when cutting SQL."""
    for match in _TOKEN.finditer(script):
        if match["open"]:
            line = script.count("\n", 0, match.start()) + 1
            raise ConfigurationError(f"line {line} of the script: {match['open']} does not end")
        kind = "comment" if match["comment"] else "quoted" if match["quoted"] else ";"
        yield kind, match.start(), match.end()


def _strip_comments(text: str) -> str:
    return "".join(
        text[a:b] for a, b in _outside([(s, e) for k, s, e in _scan(text) if k == "comment"], text)
    )


def _outside(holes: list[tuple[int, int]], text: str) -> Generator[tuple[int, int], None, None]:
    position = 0
    for begin, end in holes:
        yield position, begin
        position = end
    yield position, len(text)


def _trim(text: str) -> str:
    """Cut white space and comments from both ends."""
    comments = [(s, e) for k, s, e in _scan(text) if k == "comment"]
    begin, end = 0, len(text)
    for start, stop in comments:
        if text[begin:start].strip():
            break
        begin = stop
    for start, stop in reversed(comments):
        if start < begin or text[stop:end].strip():
            break
        end = start
    return text[begin:end].strip()


# --- protocol operations --------------------------------------------------------------------


def _execute(db: str, sql: str, mode: Mode, timeout_s: float) -> Operation[ResultSet | None]:
    body = {"mode": mode, "sql": sql, "timeout": int(timeout_s * 1000)}
    about = f"{first_words(sql)!r} in database {db}"
    answer = yield Request("POST", f"/dbs/{_part(db)}", about, body)
    data = answer.get("data")
    if data is None:
        return None
    try:
        return ResultSet(schema=list(data["schema"]), rows=list(data["data"]))
    except (KeyError, TypeError) as error:
        raise ContractError(f"{about}: the answer is no result set: {data!r}") from error


def _rows(db: str, sql: str, timeout_s: float) -> Operation[list[list[Any]]]:
    result = yield from _execute(db, sql, "onsync", timeout_s)
    return result.rows if result is not None else []


def _submit(db: str, sql: str, mode: Mode, timeout_s: float) -> Operation[Job]:
    if mode not in ASYNCHRONOUS_MODES:
        raise ConfigurationError(
            f"{first_words(sql)!r}: mode {mode!r} runs to its end; "
            f"a job is submitted with one of {', '.join(ASYNCHRONOUS_MODES)}"
        )
    result = yield from _execute(db, sql, mode, timeout_s)
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


def _job(job_id: int, timeout_s: float, statement: str = "SHOW JOB") -> Operation[Job]:
    sql = f"{statement} {int(job_id)}"
    rows = yield from _rows(SYSTEM_DATABASE, sql, timeout_s)
    if len(rows) != 1:
        raise OpenMLDBError(f"{sql!r}: the server answered {len(rows)} rows instead of one", 2000)
    return Job.from_row(rows[0])


def _jobs(timeout_s: float) -> Operation[list[Job]]:
    rows = yield from _rows(SYSTEM_DATABASE, "SHOW JOBS", timeout_s)
    return [Job.from_row(row) for row in rows]


def _job_log(job_id: int, timeout_s: float) -> Operation[str]:
    rows = yield from _rows(SYSTEM_DATABASE, f"SHOW JOBLOG {int(job_id)}", timeout_s)
    return "\n".join(str(row[0]) for row in rows)


def _first_column(db: str, sql: str, timeout_s: float) -> Operation[list[str]]:
    rows = yield from _rows(db, sql, timeout_s)
    return [str(row[0]) for row in rows]


def _deployments(db: str, timeout_s: float) -> Operation[list[str]]:
    rows = yield from _rows(db, "SHOW DEPLOYMENTS", timeout_s)
    return [str(row[1]) for row in rows if str(row[0]) == db]


def _deployment(db: str, name: str) -> Operation[DeploymentInfo]:
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


def _columns(db: str, table: str) -> Operation[list[tuple[str, str]]]:
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


def _deployment_text(db: str, name: str, timeout_s: float) -> Operation[str]:
    rows = yield from _rows(db, f"SHOW DEPLOYMENT {name}", timeout_s)
    return "\n".join(str(cell) for row in rows for cell in row)


def _call(
    db: str, name: str, rows: Sequence[Sequence[Any]], need_schema: bool
) -> Operation[tuple[list[list[Any]], list[tuple[str, str]]]]:
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


def _ms(value: Any) -> int | None:
    """A time of a job: the API server gives milliseconds, the SDK text or a datetime."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, dt.datetime):
        return int(value.timestamp() * 1000)
    return None


def _raise_code(code: Any, message: str, about: str, place: str) -> NoReturn:
    text = f"OpenMLDB at {place} refused {about}: {message} (code {code})"
    if code in (-1, 2000, 2001) and _AWAY.search(message):
        raise ServiceUnavailable(text)
    raise OpenMLDBError(text, code if isinstance(code, int) else None)


def _parse(response: httpx.Response, request: Request, place: str) -> Any:
    if response.status_code >= 500:
        raise ServiceUnavailable(
            f"{place} answered HTTP {response.status_code} to {request.about}; see its log"
        )
    try:
        answer = json.loads(response.content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "code" not in answer:
        raise OpenMLDBError(
            f"{place} is no OpenMLDB API server: to {request.about} it answered "
            f"HTTP {response.status_code} {response.text[:200]!r}; check host and port"
        )
    if answer["code"] != 0:
        _raise_code(answer["code"], str(answer.get("msg", "")), request.about, place)
    return answer


def _unavailable(error: httpx.TransportError, request: Request, place: str) -> ServiceUnavailable:
    reason = str(error) or type(error).__name__
    return ServiceUnavailable(
        f"OpenMLDB's API server at {place} did not answer {request.about}: {reason}; "
        "is it running there?"
    )


# --- clients --------------------------------------------------------------------------------


class AbstractClient(ABC):
    """Statements and jobs of OpenMLDB, whatever carries them: a client implements `_send`."""

    place: str
    """Where the server is, for messages."""

    timeout_s: float
    """Seconds to wait for one answer; also the statement's own time limit."""

    @abstractmethod
    def health(self) -> None:
        """Return if the server answers.

        Raises:
            ServiceUnavailable: it does not.
        """

    @abstractmethod
    def close(self) -> None:
        """Give connections back; the client is of no use afterwards."""

    @abstractmethod
    def _send(self, request: Request, timeout_s: float) -> Any:
        """Carry one request; return the answer's JSON or what is equal to it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def execute(
        self, db: str, sql: str, mode: Mode = "onsync", *, timeout_s: float | None = None
    ) -> ResultSet | None:
        """Run ONE statement; None when it has no rows to give.

        Raises:
            OpenMLDBError: the server refused the statement.
            ServiceUnavailable: no answer; the statement may or may not have run.
        """
        limit = timeout_s or self.timeout_s
        return self._run(_execute(db, sql, mode, limit), limit)

    def submit(self, db: str, sql: str, mode: Mode = "offasync") -> Job:
        """Start a job and return its row; the call does not wait for the job.

        Raises:
            ContractError: the statement starts no job.
        """
        return self._run(_submit(db, sql, mode, self.timeout_s))

    def job(self, job_id: int) -> Job:
        """SHOW JOB.

        Raises:
            OpenMLDBError: there is no such job (code 2000).
        """
        return self._run(_job(job_id, self.timeout_s))

    def jobs(self) -> list[Job]:
        """SHOW JOBS, by ascending id."""
        return self._run(_jobs(self.timeout_s))

    def stop_job(self, job_id: int) -> Job:
        """STOP JOB; the job's row after it."""
        return self._run(_job(job_id, self.timeout_s, "STOP JOB"))

    def job_log(self, job_id: int) -> str:
        """SHOW JOBLOG: standard output and error of the job."""
        return self._run(_job_log(job_id, self.timeout_s))

    def databases(self) -> list[str]:
        """SHOW DATABASES."""
        return self._run(_first_column(SYSTEM_DATABASE, "SHOW DATABASES", self.timeout_s))

    def tables(self, db: str) -> list[str]:
        """SHOW TABLES."""
        return self._run(_first_column(db, "SHOW TABLES", self.timeout_s))

    def columns(self, db: str, table: str) -> list[tuple[str, str]]:
        """(name, type) of a table's columns; types as in `ResultSet.schema`."""
        return self._run(_columns(db, table))

    def deployments(self, db: str) -> list[str]:
        """Names of the deployments of `db`."""
        return self._run(_deployments(db, self.timeout_s))

    def deployment(self, db: str, name: str) -> DeploymentInfo:
        """Schemas of a deployment, and the text that holds its SELECT.

        Raises:
            OpenMLDBError: there is no such deployment.
        """
        return self._run(_deployment(db, name))

    def deployment_text(self, db: str, name: str) -> str:
        """SHOW DEPLOYMENT: text that holds the deployment's query."""
        return self._run(_deployment_text(db, name, self.timeout_s))

    def call(
        self, db: str, name: str, rows: Sequence[Sequence[Any]], *, need_schema: bool = True
    ) -> tuple[list[list[Any]], list[tuple[str, str]]]:
        """Request mode: features of each row; (rows, schema), the schema empty if not needed."""
        return self._run(_call(db, name, rows, need_schema))

    def _run(self, operation: Operation[_T], timeout_s: float | None = None) -> _T:
        answer: Any = None
        while True:
            try:
                request = operation.send(answer)
            except StopIteration as stop:
                value: _T = stop.value
                return value
            answer = self._send(request, timeout_s or self.timeout_s)


class OpenMLDBClient(AbstractClient):
    """Blocking client of an API server; safe to use from several threads.

    Args:
        base_url: `http://host:port`.
        timeout_s: how long to wait for one answer, and the statement's own time limit.
        headers: sent with every request, e.g. a proxy's authorisation.
        transport: another httpx transport.
    """

    def __init__(
        self,
        base_url: str,
        timeout_s: float = 60.0,
        *,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.place = base_url.rstrip("/")
        self.timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=self.place,
            timeout=_timeout(timeout_s),
            headers=dict(headers or {}),
            transport=transport,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def health(self) -> None:
        """GET /health.

        Raises:
            ServiceUnavailable: no answer, or one other than OK.
        """
        try:
            response = self._http.get("/health")
        except httpx.TransportError as error:
            raise _unavailable(error, _HEALTH, self.place) from error
        _check_health(response, self.place)

    def _send(self, request: Request, timeout_s: float) -> Any:
        try:
            response = self._http.request(
                request.method, request.path, json=request.body, timeout=_timeout(timeout_s)
            )
        except httpx.TransportError as error:
            raise _unavailable(error, request, self.place) from error
        return _parse(response, request, self.place)


class AsyncOpenMLDBClient:
    """The same operations for an event loop: triggers and the predict server.

    Args:
        base_url: `http://host:port`.
        timeout_s: how long to wait for one answer.
        headers: sent with every request.
        max_connections: connections kept to the server.
        transport: another httpx transport.
    """

    def __init__(
        self,
        base_url: str,
        timeout_s: float = 60.0,
        *,
        headers: Mapping[str, str] | None = None,
        max_connections: int = 100,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.place = base_url.rstrip("/")
        self.timeout_s = timeout_s
        self._http = httpx.AsyncClient(
            base_url=self.place,
            timeout=_timeout(timeout_s),
            headers=dict(headers or {}),
            limits=httpx.Limits(
                max_connections=max_connections, max_keepalive_connections=max_connections
            ),
            transport=transport,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def health(self) -> None:
        """GET /health; raises as `OpenMLDBClient.health`."""
        try:
            response = await self._http.get("/health")
        except httpx.TransportError as error:
            raise _unavailable(error, _HEALTH, self.place) from error
        _check_health(response, self.place)

    def execute(
        self, db: str, sql: str, mode: Mode = "onsync", *, timeout_s: float | None = None
    ) -> Awaitable[ResultSet | None]:
        """As `OpenMLDBClient.execute`."""
        limit = timeout_s or self.timeout_s
        return self._run(_execute(db, sql, mode, limit), limit)

    def submit(self, db: str, sql: str, mode: Mode = "offasync") -> Awaitable[Job]:
        """As `OpenMLDBClient.submit`."""
        return self._run(_submit(db, sql, mode, self.timeout_s))

    def job(self, job_id: int) -> Awaitable[Job]:
        """SHOW JOB."""
        return self._run(_job(job_id, self.timeout_s))

    def jobs(self) -> Awaitable[list[Job]]:
        """SHOW JOBS."""
        return self._run(_jobs(self.timeout_s))

    def stop_job(self, job_id: int) -> Awaitable[Job]:
        """STOP JOB."""
        return self._run(_job(job_id, self.timeout_s, "STOP JOB"))

    def job_log(self, job_id: int) -> Awaitable[str]:
        """SHOW JOBLOG."""
        return self._run(_job_log(job_id, self.timeout_s))

    def databases(self) -> Awaitable[list[str]]:
        """SHOW DATABASES."""
        return self._run(_first_column(SYSTEM_DATABASE, "SHOW DATABASES", self.timeout_s))

    def tables(self, db: str) -> Awaitable[list[str]]:
        """SHOW TABLES."""
        return self._run(_first_column(db, "SHOW TABLES", self.timeout_s))

    def deployments(self, db: str) -> Awaitable[list[str]]:
        """Names of the deployments of `db`."""
        return self._run(_deployments(db, self.timeout_s))

    def deployment(self, db: str, name: str) -> Awaitable[DeploymentInfo]:
        """As `OpenMLDBClient.deployment`."""
        return self._run(_deployment(db, name))

    def call(
        self, db: str, name: str, rows: Sequence[Sequence[Any]], *, need_schema: bool = True
    ) -> Awaitable[tuple[list[list[Any]], list[tuple[str, str]]]]:
        """As `OpenMLDBClient.call`."""
        return self._run(_call(db, name, rows, need_schema))

    async def _run(self, operation: Operation[_T], timeout_s: float | None = None) -> _T:
        answer: Any = None
        while True:
            try:
                request = operation.send(answer)
            except StopIteration as stop:
                value: _T = stop.value
                return value
            try:
                response = await self._http.request(
                    request.method,
                    request.path,
                    json=request.body,
                    timeout=_timeout(timeout_s or self.timeout_s),
                )
            except httpx.TransportError as error:
                raise _unavailable(error, request, self.place) from error
            answer = _parse(response, request, self.place)


def _timeout(timeout_s: float) -> httpx.Timeout:
    return httpx.Timeout(timeout_s, connect=min(5.0, timeout_s))


def _check_health(response: httpx.Response, place: str) -> None:
    if response.status_code != 200 or response.text.strip() != "OK":
        raise ServiceUnavailable(
            f"GET {place}/health answered HTTP {response.status_code} {response.text[:80]!r} "
            "instead of OK"
        )


# --- following a job ------------------------------------------------------------------------


@dataclass
class JobWatch:
    """Decides, from each reading of a job, how long to wait for the next one.

    A job may turn from FINISHED to FAILED shortly after (OpenMLDB issues #1104, #1462), so
    FINISHED counts only when it is still there at a second look. The deadline is absolute and
    the watch's own: after a TaskManager's restart a job may look running for ever.

    Args:
        deadline: seconds since the epoch.
        poll_s: seconds between two readings; the first ones follow faster.
        settle_s: seconds between FINISHED and the second look.
        outage_s: how long the server may stay away before the wait is given up.
    """

    deadline: float
    poll_s: float = 5.0
    settle_s: float = 2.0
    outage_s: float = 300.0
    _readings: int = field(default=0, init=False)
    _finished_at: float | None = field(default=None, init=False)
    _away_since: float | None = field(default=None, init=False)

    def after(self, job: Job, now: float) -> float | None:
        """Seconds until the next reading, or None when `job` is final."""
        self._readings += 1
        self._away_since = None
        if job.state is JobState.FINISHED:
            if self._finished_at is None:
                self._finished_at = now
            remaining = self._finished_at + self.settle_s - now
            return remaining if remaining > 0 else None
        self._finished_at = None
        if job.state.is_terminal:
            return None
        return self._pause()

    def away(self, now: float) -> float | None:
        """Seconds until the next try when the server did not answer, or None: give up."""
        if self._away_since is None:
            self._away_since = now
        return None if now - self._away_since >= self.outage_s else self._pause()

    def overdue(self, now: float) -> bool:
        """Whether the deadline has passed."""
        return now >= self.deadline

    def _pause(self) -> float:
        return min(self.poll_s, 0.25 * 2.0 ** min(self._readings, 16))


# Reasons of a failure that lie outside the statement: the same job may pass when run again.
_TRANSIENT = re.compile(
    r"restart|interrupted|server stopped|executor lost|connection (?:refused|reset)"
    r"|no space left|preempt|worker lost",
    re.IGNORECASE,
)


def job_error(job: Job, log_tail: str = "") -> NightshiftError:
    """The error for a job that ended in another state than FINISHED.

    Returns:
        JobLost (retryable) where the job was cut off by something outside it, else JobFailed.
    """
    text = f"job {job.job_id} ({job.job_type}) is {job.state.value}"
    if job.error:
        text += f": {job.error}"
    text += f"; its statement was {first_words(job.parameter, 200)!r}"
    if log_tail:
        text += f"\nEnd of SHOW JOBLOG {job.job_id}:\n{log_tail}"
    if job.state is JobState.LOST or (
        job.state is JobState.FAILED and _TRANSIENT.search(job.error)
    ):
        return JobLost(text)
    return JobFailed(text)


def tail(text: str, lines: int = 20, max_chars: int = 4000) -> str:
    """The last lines of a log, bounded."""
    return "\n".join(text.rstrip().splitlines()[-lines:])[-max_chars:]

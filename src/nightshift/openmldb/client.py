"""Blocking clients, and the seam behind which another transport offers the same."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from nightshift import credentials
from nightshift.errors import ServiceUnavailable
from nightshift.openmldb import protocol, wire
from nightshift.openmldb.jobs import Job
from nightshift.openmldb.protocol import (
    SYSTEM_DATABASE,
    DeploymentInfo,
    Mode,
    Operation,
    Request,
    ResultSet,
)

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from nightshift.settings import Settings

_T = TypeVar("_T")


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

    @property
    def consistent(self) -> bool:
        """Whether the server states that each answer is whole and a job's FINISHED is final.

        A cluster states nothing: while a tablet loads its tables it counts a part of the rows, and
        a job may turn from FINISHED to FAILED.
        """
        return False

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
        return self._run(protocol.execute(db, sql, mode, limit), limit)

    def refresh(self) -> None:
        """Make the API server see what was defined through no answer of its own.

        Raises:
            ServiceUnavailable: the server does not answer.
        """
        self._run(protocol.refresh())

    def submit(self, db: str, sql: str, mode: Mode = "offasync") -> Job:
        """Start a job and return its row; the call does not wait for the job.

        Raises:
            ContractError: the statement starts no job.
        """
        return self._run(protocol.submit(db, sql, mode, self.timeout_s))

    def job(self, job_id: int) -> Job:
        """SHOW JOB.

        Raises:
            OpenMLDBError: there is no such job (code 2000).
        """
        return self._run(protocol.job(job_id, self.timeout_s))

    def jobs(self) -> list[Job]:
        """SHOW JOBS, by ascending id."""
        return self._run(protocol.jobs(self.timeout_s))

    def operations(self) -> list[Job]:
        """SHOW JOBS FROM NAMESERVER: indexes that are being made, and the like."""
        return self._run(protocol.operations(self.timeout_s))

    def stop_job(self, job_id: int) -> Job:
        """STOP JOB; the job's row after it."""
        return self._run(protocol.job(job_id, self.timeout_s, "STOP JOB"))

    def job_log(self, job_id: int) -> str:
        """SHOW JOBLOG: standard output and error of the job."""
        return self._run(protocol.job_log(job_id, self.timeout_s))

    def databases(self) -> list[str]:
        """Names of all databases."""
        return self._run(protocol.first_column(SYSTEM_DATABASE, "SHOW DATABASES", self.timeout_s))

    def tables(self, db: str) -> list[str]:
        """Names of the tables of a database."""
        return self._run(protocol.first_column(db, "SHOW TABLES", self.timeout_s))

    def columns(self, db: str, table: str) -> list[tuple[str, str]]:
        """(name, type) of a table's columns; types as in `ResultSet.schema`."""
        return self._run(protocol.columns(db, table))

    def deployments(self, db: str) -> list[str]:
        """Names of the deployments of `db`."""
        return self._run(protocol.deployments(db, self.timeout_s))

    def deployment(self, db: str, name: str) -> DeploymentInfo:
        """Schemas of a deployment, and the text that holds its SELECT.

        Raises:
            OpenMLDBError: there is no such deployment.
        """
        return self._run(protocol.deployment(db, name))

    def deployment_text(self, db: str, name: str) -> str:
        """SHOW DEPLOYMENT: text that holds the deployment's query."""
        return self._run(protocol.deployment_text(db, name, self.timeout_s))

    def call(
        self, db: str, name: str, rows: Sequence[Sequence[Any]], *, need_schema: bool = True
    ) -> tuple[list[list[Any]], list[tuple[str, str]]]:
        """Request mode: features of each row; (rows, schema), the schema empty if not needed."""
        return self._run(protocol.call(db, name, rows, need_schema))

    def _run(self, operation: Operation[_T], timeout_s: float | None = None) -> _T:
        limit = timeout_s or self.timeout_s
        return protocol.drive(operation, lambda request: self._send(request, limit))


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
        self._consistent: bool | None = None
        self._http = httpx.Client(
            base_url=self.place,
            timeout=wire.limits(timeout_s),
            headers=dict(headers or {}),
            transport=transport,
            trust_env=False,
        )

    @classmethod
    def of(cls, settings: Settings, timeout_s: float = 60.0) -> Self:
        """A client of the installation's API server, with its token where it has one."""
        headers = credentials.openmldb_headers(settings)
        return cls(settings.openmldb_url, timeout_s, headers=headers)

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
            raise wire.unavailable(error, wire.HEALTH, self.place) from error
        wire.check_health(response, self.place)
        self._consistent = response.headers.get(wire.CONSISTENCY) == "strong"

    @property
    def consistent(self) -> bool:
        """As `AbstractClient.consistent`; asked for once, and not believed of a server away."""
        if self._consistent is None:
            with contextlib.suppress(ServiceUnavailable):
                self.health()
        return bool(self._consistent)

    def _send(self, request: Request, timeout_s: float) -> Any:
        try:
            response = self._http.request(
                request.method, request.path, json=request.body, timeout=wire.limits(timeout_s)
            )
        except httpx.TransportError as error:
            raise wire.unavailable(error, request, self.place) from error
        return wire.parse(response, request, self.place)

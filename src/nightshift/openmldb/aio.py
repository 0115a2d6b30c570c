"""The client of an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from nightshift import credentials
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
            timeout=wire.limits(timeout_s),
            headers=dict(headers or {}),
            limits=httpx.Limits(
                max_connections=max_connections, max_keepalive_connections=max_connections
            ),
            transport=transport,
            trust_env=False,
        )

    @classmethod
    def of(cls, settings: Settings, timeout_s: float = 60.0) -> Self:
        """As `OpenMLDBClient.of`."""
        headers = credentials.openmldb_headers(settings)
        return cls(settings.openmldb_url, timeout_s, headers=headers)

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
            raise wire.unavailable(error, wire.HEALTH, self.place) from error
        wire.check_health(response, self.place)

    def execute(
        self, db: str, sql: str, mode: Mode = "onsync", *, timeout_s: float | None = None
    ) -> Awaitable[ResultSet | None]:
        """As `OpenMLDBClient.execute`."""
        limit = timeout_s or self.timeout_s
        return self._run(protocol.execute(db, sql, mode, limit), limit)

    def submit(self, db: str, sql: str, mode: Mode = "offasync") -> Awaitable[Job]:
        """As `OpenMLDBClient.submit`."""
        return self._run(protocol.submit(db, sql, mode, self.timeout_s))

    def job(self, job_id: int) -> Awaitable[Job]:
        """The current state of a job."""
        return self._run(protocol.job(job_id, self.timeout_s))

    def jobs(self) -> Awaitable[list[Job]]:
        """All jobs that the server knows."""
        return self._run(protocol.jobs(self.timeout_s))

    def stop_job(self, job_id: int) -> Awaitable[Job]:
        """Ask the server to stop a job, and return its state after that."""
        return self._run(protocol.job(job_id, self.timeout_s, "STOP JOB"))

    def job_log(self, job_id: int) -> Awaitable[str]:
        """The text of a job's log."""
        return self._run(protocol.job_log(job_id, self.timeout_s))

    def databases(self) -> Awaitable[list[str]]:
        """Names of all databases."""
        return self._run(protocol.first_column(SYSTEM_DATABASE, "SHOW DATABASES", self.timeout_s))

    def tables(self, db: str) -> Awaitable[list[str]]:
        """Names of the tables of a database."""
        return self._run(protocol.first_column(db, "SHOW TABLES", self.timeout_s))

    def deployments(self, db: str) -> Awaitable[list[str]]:
        """Names of the deployments of `db`."""
        return self._run(protocol.deployments(db, self.timeout_s))

    def deployment(self, db: str, name: str) -> Awaitable[DeploymentInfo]:
        """As `OpenMLDBClient.deployment`."""
        return self._run(protocol.deployment(db, name))

    def call(
        self, db: str, name: str, rows: Sequence[Sequence[Any]], *, need_schema: bool = True
    ) -> Awaitable[tuple[list[list[Any]], list[tuple[str, str]]]]:
        """As `OpenMLDBClient.call`."""
        return self._run(protocol.call(db, name, rows, need_schema))

    async def _run(self, operation: Operation[_T], timeout_s: float | None = None) -> _T:
        limits = wire.limits(timeout_s or self.timeout_s)

        async def send(request: Request) -> Any:
            try:
                response = await self._http.request(
                    request.method, request.path, json=request.body, timeout=limits
                )
            except httpx.TransportError as error:
                raise wire.unavailable(error, request, self.place) from error
            return wire.parse(response, request, self.place)

        return await protocol.drive_async(operation, send)

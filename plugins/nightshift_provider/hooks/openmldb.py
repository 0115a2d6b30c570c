"""Airflow's connection to OpenMLDB: the API server over HTTP, or a cluster through its SDK."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from nightshift.errors import (
    ConfigurationError,
    DeadlineExceeded,
    NightshiftError,
    OpenMLDBError,
    RetryableError,
)
from nightshift.openmldb import (
    AbstractClient,
    AsyncOpenMLDBClient,
    Job,
    JobWatch,
    OpenMLDBClient,
    basic_authorisation,
    job_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Connection

DEFAULT_PORT = 9080


@dataclass(frozen=True)
class Endpoint:
    """Where an `openmldb` connection leads, in plain values."""

    url: str | None
    database: str | None = None
    login: str | None = None
    password: str | None = None
    timeout_s: float = 60.0
    zk: str | None = None
    zk_path: str | None = None

    def __post_init__(self) -> None:
        if bool(self.zk) != bool(self.zk_path):
            raise ConfigurationError(
                "an OpenMLDB connection through ZooKeeper needs both zk and zk_path in its extra"
            )
        if not self.url and not self.zk:
            raise ConfigurationError(
                "the OpenMLDB connection has neither a host (API server) nor zk and zk_path "
                "(cluster); fill in one of them under Admin > Connections"
            )
        if self.timeout_s <= 0:
            raise ConfigurationError(f"timeout_s of the OpenMLDB connection is {self.timeout_s}")

    @classmethod
    def of(cls, connection: Connection) -> Endpoint:
        """Read a connection.

        Raises:
            ConfigurationError: it names no server, or a field is of the wrong type.
        """
        extra = connection.extra_dejson
        url = None
        if connection.host:
            host = connection.host
            scheme = "https" if _truth(extra.get("tls")) else "http"
            if "://" in host:
                scheme, host = host.split("://", 1)
            if ":" in host and not host.startswith("["):
                host = f"[{host}]"
            url = f"{scheme}://{host}:{connection.port or DEFAULT_PORT}"
        try:
            timeout_s = float(extra.get("timeout_s") or 60.0)
        except (TypeError, ValueError):
            raise ConfigurationError(
                f"timeout_s in the extra of {connection.conn_id} is {extra['timeout_s']!r}; "
                "it must be a number of seconds"
            ) from None
        return cls(
            url=url,
            database=connection.schema or None,
            login=connection.login or None,
            password=connection.password or None,
            timeout_s=timeout_s,
            zk=extra.get("zk") or None,
            zk_path=extra.get("zk_path") or extra.get("zkPath") or None,
        )

    @property
    def headers(self) -> Mapping[str, str]:
        """Basic authorisation: for a proxy before OpenMLDB's API server, which has none of its own.

        The embedded server takes its token as the password.
        """
        if not self.login:
            return {}
        return basic_authorisation(self.login, self.password or "")

    def client(self) -> AbstractClient:
        """A fresh client; the caller closes it.

        Raises:
            ConfigurationError: the connection needs the SDK and it is not installed.
        """
        if self.zk and self.zk_path:
            from nightshift_provider.hooks.openmldb_sdk import SDKClient

            return SDKClient(
                zk=self.zk,
                zk_path=self.zk_path,
                login=self.login,
                password=self.password,
                timeout_s=self.timeout_s,
            )
        return OpenMLDBClient(str(self.url), self.timeout_s, headers=self.headers)

    def async_client(self) -> AsyncOpenMLDBClient:
        """A client for an event loop, over the API server: the SDK would hold the loop.

        Raises:
            ConfigurationError: the connection has no API server.
        """
        if not self.url:
            raise ConfigurationError(
                "deferrable operators wait through the API server; give the connection its host "
                "and port beside zk and zk_path, or set deferrable=False"
            )
        return AsyncOpenMLDBClient(self.url, self.timeout_s, headers=self.headers)


class OpenMLDBHook(BaseHook):
    """Client of OpenMLDB for tasks.

    Args:
        openmldb_conn_id: an Airflow connection of type `openmldb`.
    """

    conn_name_attr = "openmldb_conn_id"
    default_conn_name = "openmldb_default"
    conn_type = "openmldb"
    hook_name = "OpenMLDB"

    def __init__(self, openmldb_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.openmldb_conn_id = openmldb_conn_id

    @cached_property
    def endpoint(self) -> Endpoint:
        """Where the connection leads."""
        return Endpoint.of(self.get_connection(self.openmldb_conn_id))

    @cached_property
    def client(self) -> AbstractClient:
        """The hook's own client."""
        return self.endpoint.client()

    def get_conn(self) -> AbstractClient:
        """The hook's own client."""
        return self.client

    @classmethod
    async def aendpoint(cls, openmldb_conn_id: str) -> Endpoint:
        """`endpoint` for triggers."""
        return Endpoint.of(await cls.aget_connection(openmldb_conn_id))

    def test_connection(self) -> tuple[bool, str]:
        """Answer the connection form's Test button."""
        try:
            self.client.health()
            databases = self.client.databases()
        except NightshiftError as error:
            return False, str(error)
        except Exception as error:  # the SDK raises bare exceptions
            return False, f"{type(error).__name__}: {error}"
        wanted = self.endpoint.database
        if wanted and wanted not in databases:
            return True, f"{self.client.place} answers; it has no database {wanted} yet"
        return True, f"{self.client.place} answers; databases: {', '.join(databases) or 'none'}"

    def wait(
        self,
        job_id: int,
        watch: JobWatch,
        *,
        cancelled: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> Job:
        """Block until the job is final; returns it in whatever terminal state.

        Raises:
            DeadlineExceeded: the watch's deadline passed; the job still runs.
            ServiceUnavailable: the server stayed away for the watch's `outage_s`.
            OpenMLDBError: the server knows no such job.
        """
        last = ""
        while not cancelled():
            now = clock()
            try:
                job = self.client.job(job_id)
            except RetryableError as error:
                self.log.warning("%s; job %s is asked for again", error, job_id)
                pause = watch.away(now)
                if pause is None:
                    raise
            else:
                if job.summary != last:
                    self.log.info("Job %s is %s", job_id, job.summary)
                    last = job.summary
                pause = watch.after(job, now)
                if pause is None:
                    return job
            if watch.overdue(now):
                raise deadline_error(job_id, watch)
            sleep(min(pause, max(0.05, watch.deadline - now)))
        raise DeadlineExceeded(f"the wait for job {job_id} was cancelled")

    def error_of(self, job: Job) -> NightshiftError:
        """The error for a failed job, with the tail of its log where that can be had."""
        try:
            log = self.client.job_log(job.job_id)
        except NightshiftError as error:
            log = f"(SHOW JOBLOG {job.job_id} failed: {error})"
        return job_error(job, log)

    def stop(self, job_id: int, *, within_s: float = 10.0) -> Job | None:
        """STOP JOB and look until it has stopped; safe in a signal handler: own client.

        Spark in local mode does not hear of it: the job is called STOPPED, goes on, and writes its
        own end over that. So STOPPED alone confirms nothing (see `Job.has_ended`).

        Returns:
            The job at its end, or None if that could not be confirmed.
        """
        client = self.endpoint.client()
        try:
            deadline = time.monotonic() + within_s
            job = client.job(job_id)
            if not job.state.is_terminal:
                job = client.stop_job(job_id)
            while not job.has_ended and time.monotonic() < deadline:
                time.sleep(0.25)
                job = client.job(job_id)
        except (OpenMLDBError, RetryableError) as error:
            self.log.warning("Job %s could not be stopped: %s", job_id, error)
            return None
        finally:
            client.close()
        if not job.has_ended:
            self.log.warning("Job %s was told to stop and is still %s", job_id, job.state.value)
            return None
        self.log.info("Job %s is %s", job_id, job.state.value)
        return job


def deadline_error(job_id: int, watch: JobWatch) -> DeadlineExceeded:
    """The error for a job that did not end in time."""
    when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(watch.deadline))
    return DeadlineExceeded(
        f"job {job_id} had not ended by its deadline, {when}; see job_timeout_s of the operator"
    )


def _truth(value: Any) -> bool:
    return value is True or str(value).lower() in ("1", "true", "yes", "on")

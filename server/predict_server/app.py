"""The HTTP surface: `/v1/pipelines/<name>/<operation>`, and shorter paths for the default one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from nightshift import credentials
from nightshift.serving.probe import PROBE
from nightshift.settings import Settings
from predict_server import documentation, uploads
from predict_server.access import Origins, Tokens
from predict_server.crew import Crew
from predict_server.errors import BackendError, RequestError
from predict_server.exchange import ClientGone, Exchange
from predict_server.families.base import Call, Context, encode_json, overloaded
from predict_server.hosts import LIST_S, LOOK_S, Host, Hosts
from predict_server.metrics import Metrics, PipelineMetrics
from predict_server.openmldb import Deployments
from predict_server.payload import printable
from predict_server.pipelines import ListPipelines, of_installation
from predict_server.triton import AsyncTriton

LOG = logging.getLogger("predict_server")

PREFIX = "/v1/pipelines/"
HTML = "text/html; charset=utf-8"
_PAGE_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    b"connect-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'"
)
"""The page asks this server alone, and nobody may frame it."""

PAGE_HEADERS = (
    (b"content-security-policy", _PAGE_POLICY),
    (b"x-content-type-options", b"nosniff"),
)
DEADLINE = b"x-request-timeout"
"""Header with the seconds after which the client wants no answer any more."""

_GET = frozenset({"schema", "health", "page"})
_KNOWN = frozenset(
    {"predict", "rank", "recommend", "infer", "upload", "events", "page", "schema", "health"}
)
"""Operations that are named in metrics; whatever else is asked for is `other`."""

Handler = Callable[[Exchange], Awaitable[None]]


def create_app(settings: Settings, pipelines: ListPipelines | None = None) -> ASGIApp:
    """The application; it connects to OpenMLDB and Triton when it starts.

    Raises:
        ConfigurationError: the file of tokens is not as it must be.
    """
    app = App(settings, pipelines or of_installation(settings))
    if not app.origins.allowed:
        return app
    return CORSMiddleware(
        app,
        allow_origins=app.origins.allowed,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", "x-request-id", DEADLINE.decode()],
        expose_headers=["x-request-id", "retry-after"],
    )


class App:
    """The ASGI application.

    Args:
        settings: addresses and limits.
        pipelines: lists what to answer for.
    """

    def __init__(self, settings: Settings, pipelines: ListPipelines) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.tokens = Tokens(settings.predict_token_file)
        self.origins = Origins(
            settings.predict_cors_origins,
            proven=bool(settings.predict_token_file or settings.predict_tls_cert),
        )
        self.openmldb = Deployments(
            settings.openmldb_url,
            timeout_s=settings.predict_timeout_s,
            headers=credentials.openmldb_headers(settings),
        )
        self.triton = AsyncTriton(settings.triton_grpc_url)
        self.crew = Crew.from_env(settings.predict_workers)
        # For work that never waits, so that nothing can fill it for good.
        self.threads = ThreadPoolExecutor(2, thread_name_prefix="work")
        self.uploads = uploads.Uploads(settings)
        self.hosts = Hosts(pipelines, self._context, self.metrics.of)
        self._tasks: list[asyncio.Task[None]] = []
        self._fixed: dict[str, Handler] = {
            "/health/live": self._alive,
            "/metrics": self._prometheus,
            "/docs": self._docs,
            "/openapi.json": self._openapi,
            PREFIX.rstrip("/"): self._pipelines,
        }

    def _context(self, metrics: PipelineMetrics) -> Context:
        return Context(self.settings, self.openmldb, self.triton, metrics, self.threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or start and stop with the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(Exchange(scope, receive, send))
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        await self.hosts.refresh()
        # The first request should not pay for it; a release that is not ready is not a reason
        # not to start.
        await asyncio.gather(*(host.follower.live() for host in self.hosts))
        self._tell()
        self.metrics.workers.set(1)
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._list())]

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.crew.leave()
        for host in self.hosts:
            host.close()
        await self.openmldb.close()
        await self.triton.close()
        self.threads.shutdown(wait=False, cancel_futures=True)

    async def _watch(self) -> None:
        """Follow the pointers while nobody asks: the old pair is retired after a grace time."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.hosts.follow()
            self._tell()
            for host in self.hosts:
                live = host.follower.current
                host.metrics.waiting.set(live.waiting_rows if live else 0)

    async def _list(self) -> None:
        while True:
            await asyncio.sleep(LIST_S)
            await self.hosts.refresh()
            self.tokens.refresh()

    def _tell(self) -> None:
        try:
            self.crew.tell({host.ref.name: host.status() for host in self.hosts})
        except OSError as error:
            LOG.warning("the workers' folder cannot be written: %s", error)

    async def _http(self, exchange: Exchange) -> None:
        host: Host | None = None
        operation = ""
        try:
            self.tokens.check(exchange)
            if exchange.method != "POST":
                self.origins.check_host(exchange)
            fixed = self._fixed.get(exchange.path)
            if fixed is not None:
                _allow(exchange, "GET")
                await fixed(exchange)
                return
            if exchange.path.startswith(documentation.ASSETS):
                _allow(exchange, "GET")
                await self._asset(exchange)
                return
            name, operation, table = _route(exchange.path)
            host = self.hosts.get(name)
            if operation in _GET:
                _allow(exchange, "GET")
                await self._get(host, operation, exchange)
            else:
                _allow(exchange, "POST")
                self.origins.check(exchange)
                await self._post(host, operation, table, exchange)
        except (RequestError, BackendError) as error:
            await self._refuse(exchange, error, host, operation)
        except ClientGone:
            self._count(host, operation, 499)
        except Exception:
            LOG.exception("request %s: %s", exchange.request_id.decode(), exchange.path[:200])
            fault = BackendError(500, "internal", "a fault of this server; its log says more")
            await self._refuse(exchange, fault, host, operation)

    def _count(self, host: Host | None, operation: str, status: int) -> None:
        metrics = host.metrics if host is not None else self._unnamed
        metrics.request(operation if operation in _KNOWN else "other", status)

    @cached_property
    def _unnamed(self) -> PipelineMetrics:
        """Where requests are counted that name no pipeline."""
        return self.metrics.of("")

    async def _refuse(
        self,
        exchange: Exchange,
        error: RequestError | BackendError,
        host: Host | None,
        operation: str,
    ) -> None:
        metrics = host.metrics if host is not None else self._unnamed
        metrics.error(error.kind)
        self._count(host, operation, error.status)
        headers = [(b"retry-after", b"1")] if error.status in (429, 503) else []
        if error.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if error.status == 405:
            headers.append((b"allow", b"GET" if operation in _GET or not operation else b"POST"))
        body = {**error.body(), "request_id": exchange.request_id.decode()}
        await exchange.send(error.status, encode_json(body), headers=headers)

    async def _post(self, host: Host, operation: str, table: str, exchange: Exchange) -> None:
        if host.in_flight >= self.settings.predict_queue_rows:
            raise overloaded(host.in_flight)
        host.in_flight += 1
        try:
            if operation == "upload":
                await self.uploads.answer(host, exchange)
            else:
                body = await exchange.body(host.max_body, "NIGHTSHIFT_PREDICT_MAX_BODY")
                call = Call(
                    body,
                    exchange.header(b"content-type").partition(";")[0].strip().lower(),
                    exchange.header(b"accept"),
                    exchange.flag("explain"),
                    self._deadline(exchange),
                    exchange.header(PROBE.encode()).strip() == "1",
                )
                try:
                    if operation == "events":
                        answer = await host.ingest.answer(table, call)
                    else:
                        answer = await host.answer(operation, call)
                except BackendError as error:
                    # Cut off by the client's own time, a part behind this server is not away.
                    own = _given_s(exchange) < self.settings.predict_timeout_s
                    if not own or time.monotonic() < call.deadline or error.kind != "unavailable":
                        raise
                    message = "the request's own deadline passed before there was an answer"
                    raise BackendError(504, "deadline", message) from error
                await exchange.send(200, answer.content, answer.media_type)
        finally:
            host.in_flight -= 1
        self._count(host, operation, 200)
        host.metrics.took(
            operation if operation in _KNOWN else "other", time.perf_counter() - exchange.started
        )

    def _deadline(self, exchange: Exchange) -> float:
        return time.monotonic() + min(self.settings.predict_timeout_s, _given_s(exchange))

    async def _get(self, host: Host, operation: str, exchange: Exchange) -> None:
        if operation == "page":
            try:
                page = (await host.require_live()).page()
            except BackendError as error:
                told = documentation.no_release(host.ref.name, str(error))
                await exchange.send(error.status, told, HTML, headers=PAGE_HEADERS)
                self._count(host, operation, error.status)
                return
            if page is None:
                raise RequestError(
                    404, "no_operation", "pages are of pipelines of tensors; see /docs for this one"
                )
            await exchange.send(200, page, HTML, headers=PAGE_HEADERS)
            self._count(host, operation, 200)
            return
        if operation == "schema":
            live = await host.require_live()
            await exchange.send(200, encode_json(live.schema()))
            self._count(host, operation, 200)
            return
        health = await host.health()
        self._tell()
        body = {**health.body(), "workers": self.crew.workers(host.ref.name)}
        status = 200 if health.ready else 503
        headers = () if health.ready else ((b"retry-after", b"1"),)
        await exchange.send(status, encode_json(body), headers=headers)
        self._count(host, operation, status)

    async def _pipelines(self, exchange: Exchange) -> None:
        listed = [
            {"name": host.ref.name, "family": host.ref.family, **host.status()}
            for host in self.hosts
        ]
        body = {"pipelines": listed, "default": self.hosts.default, "problem": self.hosts.problem}
        await exchange.send(200, encode_json(body))

    async def _alive(self, exchange: Exchange) -> None:
        await exchange.send(200, b'{"status":"alive"}')

    async def _prometheus(self, exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(self.threads, self.metrics.text)
        await exchange.send(200, text, CONTENT_TYPE_LATEST)

    async def _docs(self, exchange: Exchange) -> None:
        await exchange.send(200, documentation.page(), HTML)

    async def _openapi(self, exchange: Exchange) -> None:
        await exchange.send(200, documentation.FILE.read_bytes())

    async def _asset(self, exchange: Exchange) -> None:
        name = exchange.path.removeprefix(documentation.ASSETS)
        found = documentation.asset(name)
        if found is None:
            raise RequestError(404, "not_found", f"no asset {printable(name, 60)!r}")
        await exchange.send(200, *found)


def _route(path: str) -> tuple[str | None, str, str]:
    """Pipeline (None: the default one), operation and, of `events`, the table of a path.

    Raises:
        RequestError: it names neither (404).
    """
    if path.startswith(PREFIX):
        name, _, operation = path[len(PREFIX) :].partition("/")
        operation, _, table = operation.partition("/")
        if name and operation and bool(table) == (operation == "events") and "/" not in table:
            return name, operation, table
    elif path.count("/") == 1 and path[1:] in _KNOWN - {"events"}:
        return None, path[1:], ""
    raise RequestError(404, "not_found", f"nothing at {printable(path, 100)}; see /docs")


def _given_s(exchange: Exchange) -> float:
    """Seconds after which the client wants no answer any more; infinite where it does not say."""
    given = exchange.header(DEADLINE)
    if not given:
        return math.inf
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise RequestError(422, "invalid_request", f"{DEADLINE.decode()} is a number of seconds")
    return seconds


def _allow(exchange: Exchange, method: str) -> None:
    if exchange.method != method:
        raise RequestError(405, "method", f"this path takes {method}")

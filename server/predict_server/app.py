"""The HTTP surface: POST /predict and /rank, GET /schema, /health, /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import nightshift
from nightshift.errors import NightshiftError
from nightshift.openmldb import AsyncOpenMLDBClient
from nightshift.settings import Settings
from predict_server import documentation
from predict_server.errors import BackendError, InvalidRows, Problem, RequestError
from predict_server.live import Follower, Live
from predict_server.metrics import Metrics
from predict_server.rows import EXPECTED, check_rows, parse_json, read_rows
from predict_server.scoring import AsyncTriton
from predict_server.service import Service

HEALTH_TIMEOUT_S = 2.0
DEFAULT_TOP_N = 10

Handler = Callable[[Request], Awaitable[dict[str, Any]]]


def create_app(settings: Settings) -> FastAPI:
    """The application; it connects to OpenMLDB and Triton when it starts."""
    return _App(settings).api


class _App:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.openmldb = AsyncOpenMLDBClient(
            settings.openmldb_url, timeout_s=settings.predict_timeout_s
        )
        self.triton = AsyncTriton(settings.triton_grpc_url, timeout_s=settings.predict_timeout_s)
        self.follower = Follower(
            settings.releases,
            self.openmldb,
            self.triton,
            self.metrics,
            timeout_s=settings.predict_timeout_s,
        )
        self.service = Service(self.follower, self.openmldb, self.triton, self.metrics)
        self.api = FastAPI(
            title="Nightshift predict server",
            version=nightshift.__version__,
            description=documentation.ABOUT,
            lifespan=self._lifespan,
        )
        add = self.api.add_api_route
        predict = documentation.body(documentation.PREDICT_BODY)
        rank = documentation.body(documentation.RANK_BODY)
        errors = documentation.ERRORS
        add("/predict", self.predict, methods=["POST"], openapi_extra=predict, responses=errors)
        add("/rank", self.rank, methods=["POST"], openapi_extra=rank, responses=errors)
        add("/schema", self.schema, methods=["GET"], responses=errors)
        add("/health", self.health, methods=["GET"])
        add("/health/live", self.alive, methods=["GET"])
        add("/metrics", self.prometheus, methods=["GET"])

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        # The first request shall not pay for it; a release that is not ready is no reason
        # not to start.
        await self.follower.live()
        watching = asyncio.create_task(self._watch())
        yield
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await self.openmldb.close()
        await self.triton.close()

    async def _watch(self) -> None:
        """Follow the pointer while nobody asks: the old pair is retired after a grace time."""
        while True:
            await asyncio.sleep(1.0)
            await self.follower.retry()

    async def _answer(self, endpoint: str, request: Request, handler: Handler) -> Response:
        started = time.perf_counter()
        try:
            content = await handler(request)
        except (RequestError, BackendError) as error:
            self.metrics.errors.labels(error.kind).inc()
            self.metrics.requests.labels(endpoint, str(error.status)).inc()
            retry = {"Retry-After": "1"} if error.status == 503 else None
            return JSONResponse(error.body(), error.status, headers=retry)
        except Exception:
            self.metrics.errors.labels("internal").inc()
            self.metrics.requests.labels(endpoint, "500").inc()
            raise
        self.metrics.requests.labels(endpoint, "200").inc()
        self.metrics.seconds.labels(endpoint).observe(time.perf_counter() - started)
        return JSONResponse(content)

    async def _payload(self, request: Request) -> Any:
        limit = self.settings.predict_max_body
        too_big = RequestError(
            413,
            "too_big",
            f"the body has more than {limit} bytes (NIGHTSHIFT_PREDICT_MAX_BODY); split it",
        )
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise too_big
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise too_big
        return parse_json(bytes(body))

    async def predict(self, request: Request, explain: bool = False) -> Response:
        """Scores of one row or many: the probability of an order.

        `explain=true` adds each row's features and ids.
        """

        async def handle(request: Request) -> dict[str, Any]:
            payload = await self._payload(request)
            scored = await self.service.score(
                lambda live: read_rows(
                    payload, live.request_schema, max_rows=self.settings.predict_max_rows
                )
            )
            predictions = [
                scored.prediction(row, explain=explain) for row in range(len(scored.scores))
            ]
            return {"predictions": predictions, **scored.live.names()}

        return await self._answer("predict", request, handle)

    async def rank(self, request: Request, explain: bool = False) -> Response:
        """The `n` best candidates of one user, best first.

        `user` holds the fields that all rows share, each candidate the others.
        """

        async def handle(request: Request) -> dict[str, Any]:
            user, candidates, n = _rank_parts(await self._payload(request))
            rows = _join(user, candidates)
            scored = await self.service.score(
                lambda live: check_rows(
                    rows, live.request_schema, max_rows=self.settings.predict_max_rows
                )
            )
            # Equal scores keep the candidates' own order.
            order = np.argsort(-scored.scores, kind="stable")[:n].tolist()
            ranking = [
                {"rank": place, "candidate": row, **scored.prediction(row, explain=explain)}
                for place, row in enumerate(order, start=1)
            ]
            return {"ranking": ranking, **scored.live.names()}

        return await self._answer("rank", request, handle)

    async def schema(self, request: Request) -> Response:
        """Fields of a request row and columns of a feature row, of the live release."""

        async def handle(_: Request) -> dict[str, Any]:
            live = await self.service.require_live()
            return {
                "request": [
                    {"name": name, "type": kind, "takes": f"{EXPECTED.get(kind, kind)}, or null"}
                    for name, kind in live.request_schema
                ],
                "features": [
                    {"name": f.name, "type": f.type, "kind": f.kind} for f in live.spec.fields
                ],
                "limits": {
                    "rows": self.settings.predict_max_rows,
                    "body_bytes": self.settings.predict_max_body,
                },
                **live.names(),
            }

        return await self._answer("schema", request, handle)

    async def alive(self) -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "alive"}

    async def health(self) -> Response:
        """Readiness, part by part; 503 when a prediction cannot be had now."""
        live, openmldb, triton = await asyncio.gather(
            self.follower.live(), self._openmldb_problem(), self._triton_problem()
        )
        parts = {
            "release": None if live else self.follower.problem,
            "openmldb": openmldb,
            "triton": triton,
        }
        ready = not any(parts.values())
        content = {
            "status": "ready" if ready else "not ready",
            "parts": {name: problem or "ok" for name, problem in parts.items()},
            # A pointer that could not be followed: the release below answers meanwhile.
            "switch_problem": self.follower.problem if live else None,
            **(_names(live)),
        }
        return JSONResponse(content, 200 if ready else 503)

    async def _openmldb_problem(self) -> str | None:
        try:
            await asyncio.wait_for(self.openmldb.health(), HEALTH_TIMEOUT_S)
        except NightshiftError as error:
            return str(error)
        except TimeoutError:
            return f"{self.openmldb.place} does not answer within {HEALTH_TIMEOUT_S:g} s"
        return None

    async def _triton_problem(self) -> str | None:
        live = self.follower.current
        if live is None:
            return await self.triton.live(timeout_s=HEALTH_TIMEOUT_S)
        row = np.zeros((1, len(live.spec.fields)), dtype=np.int64)
        try:
            await asyncio.wait_for(
                self.triton.infer(live.pointer.model, live.pointer.model_version, row),
                HEALTH_TIMEOUT_S,
            )
        except NightshiftError as error:
            return str(error)
        except TimeoutError:
            return f"{self.triton.url} does not answer within {HEALTH_TIMEOUT_S:g} s"
        return None

    async def prometheus(self) -> Response:
        """Metrics in Prometheus' text format."""
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _names(live: Live | None) -> dict[str, Any]:
    return {"release": None} if live is None else live.names()


def _rank_parts(payload: Any) -> tuple[dict[str, Any], list[Any], int]:
    def refuse(why: str) -> RequestError:
        return RequestError(422, "invalid_request", f"{why}; see /docs")

    if not isinstance(payload, dict):
        raise refuse('give {"user": {...}, "candidates": [{...}], "n": 10}')
    unknown = [key for key in payload if key not in ("user", "candidates", "n")]
    if unknown:
        raise refuse(f"unknown key {unknown[0]!r}")
    user = payload.get("user", {})
    candidates = payload.get("candidates")
    n = payload.get("n", DEFAULT_TOP_N)
    if not isinstance(user, dict):
        raise refuse("'user' holds the fields that all rows share, as an object")
    if not isinstance(candidates, list) or not candidates:
        raise refuse("'candidates' is a list of at least one object")
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise refuse("'n' is a whole number of at least 1")
    return user, candidates, n


def _join(user: dict[str, Any], candidates: list[Any]) -> list[dict[str, Any]]:
    rows = []
    for number, candidate in enumerate(candidates):
        if not isinstance(candidate, dict):
            raise InvalidRows([Problem(number, "", "a candidate is an object")])
        both = sorted(user.keys() & candidate.keys())
        if both:
            raise InvalidRows([Problem(number, both[0], "it is in 'user', too; give it once")])
        rows.append({**user, **candidate})
    return rows

"""Deployments of OpenMLDB, called over kept connections.

`nightshift.openmldb` words the requests and the errors; the bytes go through aiohttp and msgspec,
which take a fifth of the processor time of httpx and `json`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import aiohttp
import httpx
import msgspec

from nightshift.errors import ContractError, ServiceUnavailable
from nightshift.openmldb import protocol, wire
from nightshift.openmldb.protocol import DeploymentInfo, Request

_HEADERS = {"Content-Type": "application/json"}
_CUT_OFF = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Deployments:
    """The API server's deployments, from one event loop.

    Args:
        base_url: `http://host:port`.
        timeout_s: limit of one answer where a call gives none.
        headers: sent with each request, e.g. the token that the server demands.
    """

    def __init__(
        self, base_url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> None:
        self.place = base_url.rstrip("/")
        self._headers = {**_HEADERS, **(headers or {})}
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Not limited here: each pipeline limits its own calls, and none waits for another's.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                auto_decompress=False,
                headers=self._headers,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self, db: str, name: str, rows: Sequence[Sequence[Any]], *, timeout_s: float
    ) -> list[list[Any]]:
        """Feature rows of request rows, in their order.

        Args:
            db: the database.
            name: the deployment.
            rows: n request rows in the order of the input schema, n at least 1.
            timeout_s: limit of the answer.

        Raises:
            ServiceUnavailable: the server, or a part behind it, is away.
            OpenMLDBError: it refused the call.
            ContractError: the answer does not hold n rows.
        """
        request = _call_request(db, name)
        body = _encode({"input": rows, "need_schema": False})
        status, content = await self._send(request, body, timeout_s)
        try:
            answer = _decode(content)
            if status == 200 and answer["code"] == 0:
                return _check_rows(answer["data"]["data"], len(rows), name)
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError):
            pass
        # An error, or bare NaN and infinities, which the real server writes.
        answer = wire.parse(_as_httpx(status, content), request, self.place)
        try:
            return _check_rows(answer["data"]["data"], len(rows), name)
        except (KeyError, TypeError) as error:
            raise ContractError(f"{request.about}: the answer holds no rows") from error

    async def describe(self, db: str, name: str) -> DeploymentInfo:
        """The schemas of a deployment.

        Raises:
            ServiceUnavailable: the server does not answer.
            OpenMLDBError: it does not know the deployment.
        """
        return await protocol.drive_async(protocol.deployment(db, name), self._ask)

    async def health(self, *, timeout_s: float) -> None:
        """Return if GET /health is OK; else raise ServiceUnavailable."""
        status, content = await self._send(wire.HEALTH, None, timeout_s)
        wire.check_health(_as_httpx(status, content), self.place)

    async def _ask(self, request: Request) -> Any:
        body = None if request.body is None else _encode(request.body)
        status, content = await self._send(request, body, self._timeout_s)
        return wire.parse(_as_httpx(status, content), request, self.place)

    async def _send(
        self, request: Request, body: bytes | None, timeout_s: float
    ) -> tuple[int, bytes]:
        limits = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(5.0, timeout_s))
        for last in (False, True):
            try:
                async with self._connected().request(
                    request.method, self.place + request.path, data=body, timeout=limits
                ) as response:
                    return response.status, await response.read()
            except _CUT_OFF as error:  # noqa: PERF203
                # The server may close an idle connection at the moment that it is used again.
                # These requests only read, so asking twice is safe.
                if last or isinstance(error, aiohttp.ClientConnectorError):
                    self._unavailable(error, request)
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
                self._unavailable(error, request)
        raise AssertionError("the second try returned or raised")

    def _unavailable(self, error: Exception, request: Request) -> NoReturn:
        reason = str(error) or type(error).__name__
        raise ServiceUnavailable(
            f"OpenMLDB's API server at {self.place} did not answer {request.about}: {reason}; "
            "is it running there?"
        ) from error


def _call_request(db: str, name: str) -> Request:
    return next(protocol.call(db, name, (), need_schema=False))


def _check_rows(rows: list[list[Any]], count: int, name: str) -> list[list[Any]]:
    if len(rows) != count:
        raise ContractError(f"deployment {name} answered {len(rows)} rows to {count}")
    return rows


def _as_httpx(status: int, content: bytes) -> httpx.Response:
    return httpx.Response(status, content=content)

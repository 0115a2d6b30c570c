"""The proxy itself: judges a request, asks the engine whose container it means, passes it on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from socket_proxy import create, mounts, routes, strict_json, wire
from socket_proxy.errors import EngineAway, Refused
from socket_proxy.policy import HOME_LABEL, Policy
from socket_proxy.routes import Route
from socket_proxy.watching import Watch
from socket_proxy.wire import Engine

LOG = logging.getLogger("socket_proxy")
MAX_CONNECTIONS = 256


class Proxy:
    """One proxy before one engine.

    Args:
        engine: its socket.
        policy: what a task container may be.
    """

    def __init__(self, engine: Engine, policy: Policy) -> None:
        self._engine = engine
        self._policy = policy
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        self._open += 1
        what = "a request"
        try:
            if self._open > MAX_CONNECTIONS:
                raise Refused("too many connections at once", 503)
            request = await wire.read_request(reader)
            if request is None:
                return
            what = f"{request.method} {request.target[:300]}"
            status = await self._answer(request, writer)
            if request.method not in ("GET", "HEAD") or status >= 500:
                # What the engine made of it: a 201 and a 409 are not the same news.
                LOG.info("%s passed on: %s", status, what)
        except Refused as refused:
            # The operator looks for a container before it makes one: no news.
            level = logging.DEBUG if refused.status == 404 else logging.WARNING
            LOG.log(level, "refused: %s: %s", what, refused.message)
            await _say(writer, refused.status, refused.message)
        except EngineAway as error:
            LOG.error("%s: %s", what, error)
            await _say(writer, 503, str(error))
        except TimeoutError:
            LOG.warning("%s: took too long", what)
            await _say(writer, 408, "the request or its answer took too long")
        except (ConnectionError, BrokenPipeError):
            pass  # the client went away
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(10.0):
                    await writer.wait_closed()
            writer.transport.abort()  # one who does not read what is left

    async def _answer(self, request: wire.Request, writer: asyncio.StreamWriter) -> int:
        """Judge the request and pass the engine's answer on; the answer's status."""
        route = routes.find(request.method, request.target, self._policy)
        body = None
        if route.kind == "create":
            made = create.rebuild(strict_json.parse(request.body), self._policy)
            body = json.dumps(made).encode()
        elif request.body:
            raise Refused(f"{route.kind} takes no body")
        if not route.container:
            return await self._pass_on(route, "", body, writer)
        found = await self._ours(route)
        container = str(found["Id"])
        if route.kind != "start":
            return await self._pass_on(route, container, body, writer)
        with contextlib.closing(Watch()) as watch:
            self._check_mounts(found, watch)
            return await self._pass_on(
                route, container, body, writer, lambda: self._check_started(found, watch)
            )

    async def _pass_on(
        self,
        route: Route,
        container: str,
        body: bytes | None,
        writer: asyncio.StreamWriter,
        after: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """Ask the engine and pass its answer on; `after` judges what a request has done."""
        answer, reader, upstream = await self._engine.ask(
            route.method, route.path(container), body, route.idle_s
        )
        try:
            if after is not None and answer.status < 300:
                await after()
            head = [f"HTTP/1.1 {answer.status} -", "Connection: close"]
            head += [f"{name}: {value}" for name, value in answer.fields.items()]
            writer.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1"))
            if route.method != "HEAD":
                await wire.pass_on(reader, writer, route.idle_s)
        finally:
            upstream.close()
        return answer.status

    async def _ours(self, route: Route) -> dict[str, Any]:
        """The container that a request means.

        Raises:
            Refused: it is not there, or not this installation's.
        """
        status, body = await self._engine.read(f"{route.version}/containers/{route.container}/json")
        if status == 404:
            raise Refused(f"No such container: {route.container}", 404)
        try:
            found: Any = json.loads(body) if status == 200 else {}
            labels = found["Config"]["Labels"] or {}
            ours = labels.get(HOME_LABEL) == self._policy.home_label and found["Id"].isalnum()
        except (ValueError, KeyError, TypeError, AttributeError):
            raise EngineAway(f"the engine answered {status} to a look at a container") from None
        if not ours:
            raise Refused(f"{route.container} is not a container of this installation")
        return dict(found)

    def _check_mounts(self, found: dict[str, Any], watch: Watch | None = None) -> None:
        """Look at the folders again: one may have become a link since the create."""
        for item in found["HostConfig"].get("Mounts") or []:
            mounts.check(
                str(item.get("Source")),
                read_only=item.get("ReadOnly") is True,
                policy=self._policy,
                watch=watch,
            )

    async def _check_started(self, found: dict[str, Any], watch: Watch) -> None:
        """And once more after the start; then nothing is left of the container.

        Raises:
            Refused: a folder has become a link meanwhile, or was one for a moment.
        """
        try:
            self._check_mounts(found)
            if watch.changed():
                raise Refused("a folder that is mounted was exchanged while the container started")
        except Refused:
            await self._engine.do("DELETE", f"/containers/{found['Id']}?force=1&v=1")
            raise


async def _say(writer: asyncio.StreamWriter, status: int, message: str) -> None:
    whole = message if status == 404 else f"socket proxy: {message}"
    body = json.dumps({"message": whole}).encode()
    head = (
        f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with contextlib.suppress(OSError, TimeoutError):
        writer.write(head.encode() + body)
        async with asyncio.timeout(10.0):
            await writer.drain()


async def listen(host: str, port: int, proxy: Proxy) -> asyncio.Server:
    """Listen; the caller serves and closes."""
    return await asyncio.start_server(proxy.serve, host, port, limit=wire.HEAD_BYTES)

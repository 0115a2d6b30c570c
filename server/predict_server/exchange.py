"""One HTTP request and its answer, over bare ASGI."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from predict_server.errors import RequestError

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_numbers = itertools.count(1)

Headers = tuple[tuple[bytes, bytes], ...]


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class Exchange:
    """A request, and how it is answered.

    Attributes:
        method: GET, POST, ...
        path: decoded.
        request_id: the client's `X-Request-Id`, or one of ours.
        started: of `time.perf_counter()`.
    """

    __slots__ = (
        "_headers",
        "_query",
        "_receive",
        "_send",
        "method",
        "path",
        "request_id",
        "started",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.started = time.perf_counter()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._query: bytes = scope["query_string"]
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._send = send
        given = self._headers.get(b"x-request-id", b"")
        if given and _REQUEST_ID.fullmatch(given):
            self.request_id = given
        else:
            self.request_id = b"%x-%x-%x" % (os.getpid(), time.time_ns() >> 10, next(_numbers))

    def header(self, name: bytes) -> str:
        """A header's value by its lower-case name, or nothing."""
        return self._headers.get(name, b"").decode("latin-1")

    def flag(self, name: str) -> bool:
        """A flag of the query: `?explain=true`.

        Raises:
            RequestError: its value is neither true nor false (422).
        """
        if not self._query:
            return False
        values = parse_qs(self._query.decode("latin-1"), keep_blank_values=True).get(name)
        if not values:
            return False
        word = values[-1].lower()
        if word in ("true", "1", "yes", "on"):
            return True
        if word in ("false", "0", "no", "off"):
            return False
        raise RequestError(422, "invalid_request", f"{name} is true or false")

    async def chunks(self, limit: int, setting: str) -> AsyncIterator[bytes]:
        """The body, piece by piece.

        Raises:
            RequestError: it has more than `limit` bytes (413).
            ClientGone: the client closed the connection.
        """
        too_big = RequestError(
            413, "too_big", f"the body has more than {limit} bytes ({setting}); split it"
        )
        declared = self._headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise too_big
        more, size = True, 0
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGone
            piece: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(piece)
            if size > limit:
                raise too_big
            if piece:
                yield piece

    async def body(self, limit: int, setting: str) -> bytes:
        """The whole body; see `chunks`."""
        pieces = [piece async for piece in self.chunks(limit, setting)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def send(
        self,
        status: int,
        content: bytes,
        media_type: str = "application/json",
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Send a whole answer."""
        await self._start(status, len(content), media_type, headers)
        await self._send({"type": "http.response.body", "body": content})

    async def stream(
        self,
        size: int,
        pieces: Iterable[bytes],
        media_type: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Send a long answer of a known size, piece by piece, as the client takes it."""
        await self._start(200, size, media_type, headers)
        for piece in pieces:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(
        self, status: int, size: int, media_type: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> None:
        start: dict[str, Any] = {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", media_type.encode()),
                (b"content-length", b"%d" % size),
                (b"x-request-id", self.request_id),
                *headers,
            ],
        }
        await self._send(start)

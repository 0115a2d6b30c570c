"""uvicorn's HTTP protocol with an end for requests that do not arrive.

uvicorn limits the pause between two requests of a connection and nothing else: a connection on
which nothing comes, half a head and half a body would stay for ever, and a head may have any size.
As long as an answer is computed, its client may wait.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MIN_RATE = 16 * 1024
"""Bytes of a body that a second must bring, once the time for a small request is over."""
STALL_S = 0.1
"""Wait this long once the time is over: what came while this process was held up is read first."""
MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers."""


def limited(timeout_s: float) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn's ``http``.

    Args:
        timeout_s: seconds for a request to arrive; a long body has more, by its size.
    """
    return type("LimitedProtocol", (LimitedProtocol,), {"timeout_s": timeout_s})


class LimitedProtocol(HttpToolsProtocol):
    """``HttpToolsProtocol`` whose requests must arrive in time."""

    timeout_s = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._came = 0
        self._head = 0
        self._in_head = True
        self._moved = False  # whether a head or a request ended in what came last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a first request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and expect the rest of what it began."""
        self._came += len(data)
        self._moved = False
        super().data_received(data)
        if not self._in_head or self._moved or self.transport.is_closing():
            return
        self._head += len(data)
        if self._head > MAX_HEAD:
            self._refuse("431 Request Header Fields Too Large", "the headers are too large")
        # Empty lines before a request begin none for the parser, and yet the pause is over.
        elif self._timer is None and self._idle():
            self._expect()

    def on_message_begin(self) -> None:
        """Expect the rest of this request."""
        super().on_message_begin()
        self._in_head, self._head = True, 0
        self._came = max(self._came, 1)
        if self._timer is None:
            self._expect()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head, self._moved = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_head, self._head, self._moved, self._came = True, 0, True, 0
        self._cancel()
        super().on_message_complete()

    def _idle(self) -> bool:
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def _expect(self) -> None:
        self._began = self.loop.time()
        self._timer = self.loop.call_later(self.timeout_s, self._late)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = self.loop.call_later(STALL_S, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        left = self._began + self.timeout_s - self.loop.time()
        if not self._in_head:
            left += self._came / MIN_RATE
        if self.pipeline:  # nothing is read while the request before it is answered
            left = self.timeout_s
        if left > 0:
            self._timer = self.loop.call_later(left, self._late)
        elif not self.transport.is_closing():
            if self._came:
                self._refuse("408 Request Timeout", "the request did not arrive in time")
            else:
                self.transport.close()

    def _refuse(self, status: str, message: str) -> None:
        """Answer, unless another answer is under way, and close."""
        self._cancel()
        if self._idle() or (not self._in_head and not self.cycle.response_started):
            body = msgspec.json.encode({"code": -1, "msg": message})
            head = (
                f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

"""uvicorn's HTTP protocol with an end for clients that are slow or stay away.

uvicorn limits the pause between two requests of a connection, and nothing else: half a request,
a connection on which nothing comes, and an answer that nobody reads would stay for ever, and a head
may have any size.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MIN_RATE = 16 * 1024
"""Bytes of a body that a second must bring, once the time for a small request is over."""

STALL_S = 0.1
"""Wait this long once the time is over: what came while this process was held up is read first."""

MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers."""

LINGER_S = 1.0
"""How long a stopping server waits for a request that a kept connection may be about to send."""

_REFUSAL = (
    b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"connection: close\r\n\r\n%s"
)
_LATE = b"408 Request Timeout"
_LATE_BODY = b'{"error":"slow_client","message":"the request did not arrive in time"}'
_LARGE = b"431 Request Header Fields Too Large"
_LARGE_BODY = b'{"error":"too_big","message":"the headers are larger than 64 KiB"}'


def limited(timeout_s: float) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn's `http`.

    Args:
        timeout_s: seconds for a request to arrive, longer bodies by their size; the same for an
            answer to be read on while it waits in this process.
    """
    return type("LimitedProtocol", (LimitedProtocol,), {"timeout_s": timeout_s})


class LimitedProtocol(HttpToolsProtocol):
    """`HttpToolsProtocol` with times."""

    timeout_s = 15.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving: asyncio.TimerHandle | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._received = 0
        self._head = 0
        self._in_head = True
        self._moved = False  # whether a head or a request ended in what came last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a first request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the times."""
        self._cancel()
        if self._leaving is not None:
            self._leaving.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and expect the rest of what it began."""
        self._received += len(data)
        self._moved = False
        super().data_received(data)
        if not self._in_head or self._moved or self.transport.is_closing():
            return
        self._head += len(data)
        if self._head > MAX_HEAD:
            self._cancel()
            if self._is_idle():
                self.transport.write(_REFUSAL % (_LARGE, len(_LARGE_BODY), _LARGE_BODY))
            self.transport.close()
        # Empty lines before a request begin none for the parser, and yet the pause is over.
        elif self._arriving is None and self._is_idle():
            self._expect()

    def on_message_begin(self) -> None:
        """Expect the rest of this request."""
        super().on_message_begin()
        self._in_head, self._head = True, 0
        self._received = max(self._received, 1)
        if self._arriving is None:
            self._expect()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_head, self._head, self._moved, self._received = True, 0, True, 0
        self._cancel()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client reads slower than it is answered."""
        super().pause_writing()
        if self._leaving is None:
            self._leaving = self.loop.call_later(self.timeout_s, self._abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def shutdown(self) -> None:
        """Stop: a request that a kept connection is about to send is answered first."""
        if not self._is_idle():
            super().shutdown()
            return
        # The next answer says `connection: close`; uvicorn takes its default from the scope.
        self._stopping = True
        self.loop.call_later(LINGER_S, self._close_if_idle)

    _stopping = False

    def on_headers_complete(self) -> None:
        """Begin a request; the last one of its connection where the server stops."""
        self._in_head, self._moved = False, True
        super().on_headers_complete()
        if self._stopping and self.cycle is not None:
            self.cycle.keep_alive = False

    def _close_if_idle(self) -> None:
        if self._is_idle() and not self.transport.is_closing():
            self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect(self) -> None:
        self._began = self.loop.time()
        self._arriving = self.loop.call_later(self.timeout_s, self._late)

    def _cancel(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _late(self) -> None:
        self._arriving = self.loop.call_later(STALL_S, self._give_up)

    def _give_up(self) -> None:
        self._arriving = None
        transport = self.transport
        if transport.is_closing():
            return
        body = self.cycle is not None and not self.cycle.response_complete
        if body:
            left = self._began + self.timeout_s + self._received / MIN_RATE - self.loop.time()
            if left > 0:
                self._arriving = self.loop.call_later(left, self._late)
                return
        started = body and self.cycle is not None and self.cycle.response_started
        if self._received and not started:
            transport.write(_REFUSAL % (_LATE, len(_LATE_BODY), _LATE_BODY))
        transport.close()

    def _abort(self) -> None:
        self.transport.abort()

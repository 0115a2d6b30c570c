"""uvicorn's HTTP protocol with an end for requests that do not arrive."""

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

_REFUSAL = (
    b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"connection: close\r\n\r\n%s"
)


class ArrivalProtocol(HttpToolsProtocol):
    """`HttpToolsProtocol` whose requests must arrive in time."""

    timeout_s = 15.0
    """Seconds for a request to arrive; a long body has more, by what came of it."""

    late = b'{"message":"the request did not arrive in time"}'
    """JSON body of the answer 408."""

    large = b'{"message":"the headers are too large"}'
    """JSON body of the answer 431."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving: asyncio.TimerHandle | None = None
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
        """Expect nothing more."""
        self._cancel()
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
            self._refuse(b"431 Request Header Fields Too Large", self.large)
        # Empty lines before a request begin none for the parser, and yet the pause is over.
        elif self._arriving is None and self.is_idle():
            self._expect()

    def on_message_begin(self) -> None:
        """Expect the rest of this request."""
        super().on_message_begin()
        self._in_head, self._head = True, 0
        self._received = max(self._received, 1)
        if self._arriving is None:
            self._expect()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head, self._moved = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_head, self._head, self._moved, self._received = True, 0, True, 0
        self._cancel()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The time of a request that waited behind this answer begins here."""
        self._began = self.loop.time()
        super().on_response_complete()

    def is_idle(self) -> bool:
        """Whether no answer is under way or waits for its turn."""
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def _expect(self) -> None:
        self._began = self.loop.time()
        self._arriving = self.loop.call_later(self.timeout_s, self._look_again)

    def _cancel(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _look_again(self) -> None:
        self._arriving = self.loop.call_later(STALL_S, self._give_up)

    def _give_up(self) -> None:
        self._arriving = None
        if self.transport.is_closing():
            return
        left = self._began + self.timeout_s - self.loop.time()
        if not self._in_head:
            left += self._received / MIN_RATE
        if self.pipeline or (self._in_head and not self.is_idle()):
            left = self.timeout_s  # the request before it is being answered
        if left > 0:
            self._arriving = self.loop.call_later(left, self._look_again)
        elif self._received:
            self._refuse(b"408 Request Timeout", self.late)
        else:
            self.transport.close()

    def _refuse(self, status: bytes, body: bytes) -> None:
        """Answer, unless an answer is under way or was given, and close."""
        self._cancel()
        if self.is_idle() if self._in_head else not self.cycle.response_started:
            self.transport.write(_REFUSAL % (status, len(body), body))
        self.transport.close()


def limited(
    timeout_s: float, protocol: type[ArrivalProtocol] = ArrivalProtocol
) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn's `http`.

    Args:
        timeout_s: seconds for a request to arrive; a long body has more, by what came of it.
        protocol: the class to give this time to.
    """
    return type(protocol.__name__, (protocol,), {"timeout_s": timeout_s})

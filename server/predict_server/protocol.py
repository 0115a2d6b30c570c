"""uvicorn's HTTP protocol with an end for clients that are slow or stay away.

`http_arrival` ends requests that do not arrive; here are answers that nobody reads, and a stop that
answers what is about to come.
"""

from __future__ import annotations

import asyncio
from typing import Any

from http_arrival import ArrivalProtocol

LINGER_S = 1.0
"""How long a stopping server waits for a request that a kept connection may be about to send."""


class ClientProtocol(ArrivalProtocol):
    """`ArrivalProtocol` whose answers must be read on within the same time."""

    late = b'{"error":"slow_client","message":"the request did not arrive in time"}'
    large = b'{"error":"too_big","message":"the headers are larger than 64 KiB"}'

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._leaving: asyncio.TimerHandle | None = None
        self._stopping = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the times."""
        if self._leaving is not None:
            self._leaving.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads slower than it is answered."""
        super().pause_writing()
        if self._leaving is None:
            self._leaving = self.loop.call_later(self.timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def shutdown(self) -> None:
        """Stop: a request that a kept connection is about to send is answered first."""
        if not self.is_idle():
            super().shutdown()
            return
        # The next answer says `connection: close`; uvicorn takes its default from the scope.
        self._stopping = True
        self.loop.call_later(LINGER_S, self._close_if_idle)

    def on_headers_complete(self) -> None:
        """Begin a request; the last one of its connection where the server stops."""
        super().on_headers_complete()
        if self._stopping and self.cycle is not None:
            self.cycle.keep_alive = False

    def _close_if_idle(self) -> None:
        if self.is_idle() and not self.transport.is_closing():
            self.transport.close()

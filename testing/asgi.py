"""uvicorn in a thread, with a small app, for tests of its HTTP protocols over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

import uvicorn

BODY = b"x" * 40
HEAD = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
WHOLE = HEAD % len(BODY) + BODY


class Served:
    """A server whose app answers the length of a body.

    `/unread` is answered before its body has come, `/held` once `release` is set, and `/large` by
    a thousand times the body's length.
    """

    def __init__(self, http: type[asyncio.Protocol]) -> None:
        self.release = threading.Event()
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            http=http,
            ws="none",
            lifespan="off",
            log_level="error",
            timeout_keep_alive=600,
        )
        self.server = uvicorn.Server(config)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address: tuple[str, int] = self.listener.getsockname()
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],))
        self.thread.start()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        length, more = 0, scope["path"] != "/unread"
        while more:
            message = await receive()
            length += len(message.get("body", b""))
            more = message.get("more_body", False)
        if scope["path"] == "/held":
            await asyncio.to_thread(self.release.wait)
        said = b"x" * length * 1000 if scope["path"] == "/large" else b"%d bytes" % length
        head = [(b"content-length", b"%d" % len(said))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": said})

    def connect(self) -> socket.socket:
        """A connection; one that never ends fails its test by a time, not by a hang."""
        return socket.create_connection(self.address, timeout=120)

    def greeted(self) -> socket.socket:
        """A connection whose first request was answered.

        This process may be held up between connecting and sending for longer than the server waits.
        """
        for _ in range(100):
            connection = self.connect()
            with contextlib.suppress(ConnectionError):
                connection.sendall(WHOLE)
                if b" 200 " in until(connection, b"40 bytes"):
                    return connection
            connection.close()
        raise AssertionError("no request is answered")

    def stop(self) -> None:
        """End the server and its thread."""
        self.release.set()
        self.server.should_exit = True
        self.thread.join(60)
        assert not self.thread.is_alive()


def until(connection: socket.socket, end: bytes | None = None) -> bytes:
    """What comes until it ends so, or until the server ends the connection."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            found += piece
            if end is not None and found.endswith(end):
                break
    return found

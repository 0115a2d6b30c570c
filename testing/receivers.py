"""Real servers on this machine that take messages: HTTP and SMTP."""

from __future__ import annotations

import email
import email.policy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class Web:
    """An HTTP server that keeps what it is sent; `status` is what it answers."""

    port: int = 0
    status: int = 200
    got: list[tuple[str, str, Any]] = field(default_factory=list)


@contextmanager
def web_server() -> Iterator[Web]:
    """It, on a free port; requests are (method, path, JSON)."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if web.status < 400:
                web.got.append((self.command, self.path, json.loads(raw) if raw else None))
            self.send_response(web.status)
            self.end_headers()
            self.wfile.write(b"ok")

        do_GET = do_POST  # noqa: N815 (http.server's name)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Mail:
    """An SMTP server that keeps its mail."""

    port: int = 0
    got: list[EmailMessage] = field(default_factory=list)


@contextmanager
def mail_server(port: int = 0) -> Iterator[Mail]:
    """It, on a free port."""
    mail = Mail()

    class Handler:
        async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
            self, server: Any, session: Any, envelope: Any
        ) -> str:
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            mail.got.append(message)
            return "250 OK"

    class OnFreePort(Controller):
        def _trigger_server(self) -> None:
            # Port 0 asks the kernel for a free one; the controller then calls the one it got.
            server: Any = self.server
            self.port = server.sockets[0].getsockname()[1]
            super()._trigger_server()  # type: ignore[no-untyped-call]

    controller = OnFreePort(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    mail.port = controller.port
    try:
        yield mail
    finally:
        controller.stop()

"""`python -m predict_server.worker`: one worker; the supervisor starts it.

It serves on a listening socket that it inherits, and stops with its supervisor, however that ends.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import ssl
import sys
from typing import Any, NoReturn

import uvicorn
from http_arrival import limited

from nightshift.errors import ConfigurationError
from nightshift.settings import Settings
from predict_server.app import create_app
from predict_server.protocol import ClientProtocol

GRACE_S = 10
"""Seconds for requests in flight when the server stops."""

GC_OBJECTS = 50_000
"""New objects after which Python looks for cycles among them; its own 700 are a part of one
ranking's."""


def main() -> int:
    """Serve until SIGTERM; requests in flight are answered first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=int, required=True, help="the listening socket")
    parser.add_argument("--ready", type=int, required=True, help="a pipe to say `ready` on")
    parser.add_argument("--life", type=int, required=True, help="a pipe that ends with its owner")
    options = parser.parse_args()
    try:
        settings = Settings.from_env()
        server = Server(
            uvicorn.Config(create_app(settings), **uvicorn_options(settings)),
            ready=options.ready,
            life=options.life,
        )
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    # uvicorn ends by raising the signal again, which by default is not a clean exit.
    signal.signal(signal.SIGTERM, _end)
    # A rolling restart is the supervisor's matter; a terminal's hang-up ends it, and so this one.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server.run(sockets=[socket.socket(fileno=options.listen)])
    return 0


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn is set up."""
    options: dict[str, Any] = {
        "loop": "uvloop",
        "http": limited(settings.predict_client_timeout_s, ClientProtocol),
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "log_level": "info",
        "timeout_graceful_shutdown": GRACE_S,
        "timeout_keep_alive": 30,
        "backlog": 2048,
    }
    if settings.predict_tls_cert:
        options |= tls_options(settings)
    return options


def tls_options(settings: Settings) -> dict[str, Any]:
    """Uvicorn's options for HTTPS.

    Raises:
        ConfigurationError: a file is not there, or is not a certificate or key.
    """
    options: dict[str, Any] = {
        "ssl_certfile": settings.predict_tls_cert,
        "ssl_keyfile": settings.predict_tls_key,
    }
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.predict_tls_cert, settings.predict_tls_key)
        if settings.predict_tls_client_ca:
            context.load_verify_locations(settings.predict_tls_client_ca)
            options["ssl_ca_certs"] = settings.predict_tls_client_ca
            options["ssl_cert_reqs"] = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        files = f"{settings.predict_tls_cert}, {settings.predict_tls_key}"
        if settings.predict_tls_client_ca:
            files += f", {settings.predict_tls_client_ca}"
        raise ConfigurationError(
            f"NIGHTSHIFT_PREDICT_TLS_...: {files}: {error}; give PEM files"
        ) from error
    return options


class Server(uvicorn.Server):
    """uvicorn's server, which says when it serves and stops when its supervisor is gone."""

    def __init__(self, config: uvicorn.Config, *, ready: int, life: int) -> None:
        super().__init__(config)
        self._ready = ready
        self._life = life

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, then say so."""
        await super().startup(sockets)
        if self.should_exit:
            return
        # What serves stays; a request's rows are thousands of objects and none of them is a cycle.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_OBJECTS, 20, 20)
        asyncio.get_running_loop().add_reader(self._life, self._orphaned)
        os.write(self._ready, b"ready")
        os.close(self._ready)

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._life)
        self.should_exit = True


def _end(*_: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())

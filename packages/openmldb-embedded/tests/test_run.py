"""The server ends half a request, as `--client-timeout` says, in the words of OpenMLDB's API."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from testing.embedded import ServerProcess


def test_half_a_request_ends(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server("--client-timeout", "0.5").start()
    for _ in range(100):
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection,
            contextlib.suppress(ConnectionError),  # held up, this process may come too late
        ):
            connection.sendall(
                b"POST /dbs/db HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 40\r\n\r\n{"
            )
            said = b"".join(iter(lambda: connection.recv(65536), b""))
            if said:
                break
    assert said.startswith(b"HTTP/1.1 408 ")
    assert said.endswith(b'{"code":-1,"msg":"the request did not arrive in time"}')

"""Connections that hold on to the server without a whole request: each ends, others are answered."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from testing.embedded import ServerProcess

STATEMENT = b'{"mode":"onsync","sql":"SHOW DATABASES"}'
HEAD = (
    b"POST /dbs/db HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
)
WHOLE = HEAD % len(STATEMENT) + STATEMENT


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("arrival")
    found = ServerProcess(folder / "data", "--client-timeout", "0.5").start()
    yield found
    assert found.end() == 0


def connect(server: ServerProcess) -> socket.socket:
    # A connection that is never ended fails the test by this time, not by a hang.
    return socket.create_connection(("127.0.0.1", server.port), timeout=120)


def greeted(server: ServerProcess) -> socket.socket:
    """A connection whose first request was answered.

    This process may be held up between connecting and sending for longer than the server waits.
    """
    for _ in range(100):
        connection = connect(server)
        try:
            connection.sendall(WHOLE)
            said = connection.recv(65536)
            while said.startswith(b"HTTP/1.1 200") and not said.endswith(b"}"):
                said += connection.recv(65536)
        except ConnectionError:
            said = b""
        if said.startswith(b"HTTP/1.1 200"):
            return connection
        connection.close()
    raise AssertionError("no request is answered")


def rest(connection: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize(
    "half",
    [b"", b"P", b"POST /dbs/db HTTP/1.1\r\nHost: local", b"\r\n", HEAD % 40, HEAD % 40 + b"{"],
)
def test_half_a_request_ends(server: ServerProcess, half: bytes) -> None:
    with connect(server) as connection:
        try:
            connection.sendall(half)
        except ConnectionError:
            pytest.skip("this process was held up for longer than the server waits")
        said = rest(connection)
    # Ended before it came, it is not answered either.
    assert said == b"" or (half and said.startswith(b"HTTP/1.1 408"))


@pytest.mark.parametrize("half", [b"\r\n", b"GET /health HTTP/1.1\r\nHos", HEAD % 40 + b"{"])
def test_half_a_second_request_ends_after_the_answer_to_the_first(
    server: ServerProcess, half: bytes
) -> None:
    with greeted(server) as connection:
        connection.sendall(half)
        assert rest(connection).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "endless",
    [b"GET /health HTTP/1.1\r\n" + b"X-Filler: 1\r\n" * 10, b"GET /" + b"x" * 100, b"\r\n" * 50],
)
def test_a_head_has_a_size(server: ServerProcess, endless: bytes) -> None:
    sent = 0
    with connect(server) as connection:
        try:
            connection.sendall(endless)
            while sent < 100 * 2**20:
                connection.sendall(endless[-100:] * 100)
                sent += 100 * len(endless[-100:])
        except OSError:
            pass
    assert sent < 100 * 2**20, "the server went on reading"
    greeted(server).close()


def test_many_that_hold_on_keep_nobody_out(server: ServerProcess) -> None:
    held = [connect(server) for _ in range(200)]
    for connection in held:
        with contextlib.suppress(ConnectionError):  # the first may have been ended by now
            connection.sendall(b"POST /dbs/db HTTP/1.1\r\n")
    greeted(server).close()
    for connection in held:
        rest(connection)  # ends
        connection.close()


def test_a_large_body_and_a_slow_statement_are_given_their_time(
    server: ServerProcess,
) -> None:
    # More bytes than one read brings, after whose end the next head begins.
    padded = STATEMENT[:-1] + b" " * 3_000_000 + b"}"
    with greeted(server) as connection:
        for _ in range(3):
            connection.sendall(HEAD % len(padded) + padded)
            said = b""
            while not said.endswith(b"}"):
                piece = connection.recv(65536)
                assert piece, said
                said += piece
            assert said.startswith(b"HTTP/1.1 200"), said

"""Connections that hold on to a real server without a whole request: each ends, others are answered."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from http_arrival import MAX_HEAD, ArrivalProtocol, limited

from testing.asgi import HEAD, Served, until

TIMEOUT_S = 0.5


class Refusing(ArrivalProtocol):
    late = b'{"why":"late"}'
    large = b'{"why":"large"}'


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    found = Served(limited(TIMEOUT_S, Refusing))
    yield found
    found.stop()


@pytest.mark.parametrize(
    "half",
    [b"", b"P", b"POST /echo HTTP/1.1\r\nHost: local", b"\r\n", HEAD % 40, HEAD % 40 + b"{"],
)
def test_half_a_request_ends(server: Served, half: bytes) -> None:
    with server.connect() as connection:
        try:
            connection.sendall(half)
        except ConnectionError:
            pytest.skip("this process was held up for longer than the server waits")
        said = until(connection)
    # Ended before it came, it is not answered either.
    assert said == b"" or (half and said.startswith(b"HTTP/1.1 408"))


@pytest.mark.parametrize(
    "half", [b"\r\n", b"GET /health HTTP/1.1\r\nHos", HEAD % 40, HEAD % 40 + b"{"]
)
def test_half_a_second_request_ends_after_the_answer_to_the_first(
    server: Served, half: bytes
) -> None:
    with server.greeted() as connection:
        began = time.monotonic()
        connection.sendall(half)
        said = until(connection)
    assert time.monotonic() - began >= TIMEOUT_S
    assert said.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert said.endswith(b"content-length: 14\r\nconnection: close\r\n\r\n" + Refusing.late)


def test_a_body_in_slow_pieces_ends_too(server: Served) -> None:
    with server.greeted() as connection:
        connection.sendall(HEAD % 1_000_000)
        connection.settimeout(0.05)
        for _ in range(100_000):  # of the million bytes
            try:
                if connection.recv(4096):
                    return
            except TimeoutError:
                pass
            except ConnectionError:
                return
            with contextlib.suppress(OSError):
                connection.sendall(b" ")
    pytest.fail("the server waited on")


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /health HTTP/1.1\r\n" + b"X-Filler: 1\r\n" * 10,
        b"GET /" + b"x" * 100,
        b"\r\n" * 50,
    ],
)
def test_a_head_has_a_size(server: Served, endless: bytes) -> None:
    sent = 0
    with server.connect() as connection:
        try:
            connection.sendall(endless)
            while sent < 100 * 2**20:
                connection.sendall(endless[-100:] * 100)
                sent += 100 * len(endless[-100:])
        except OSError:
            pass
    assert sent < 100 * 2**20, "the server went on reading"
    server.greeted().close()


def test_a_head_that_is_too_large_is_told_so(server: Served) -> None:
    with server.greeted() as connection:
        # No byte more: a server that closes before it has read all resets the connection.
        connection.sendall(b"GET / HTTP/1.1\r\nX-Filler: ".ljust(MAX_HEAD + 1, b"x"))
        said = until(connection)
    assert said.startswith(b"HTTP/1.1 431 ")
    assert said.endswith(Refusing.large)


def test_many_that_hold_on_keep_nobody_out(server: Served) -> None:
    held = [server.connect() for _ in range(200)]
    for connection in held:
        with contextlib.suppress(ConnectionError):  # the first may have been ended by now
            connection.sendall(b"POST /echo HTTP/1.1\r\n")
    server.greeted().close()
    for connection in held:
        until(connection)  # ends
        connection.close()


def test_a_large_body_is_given_its_time(server: Served) -> None:
    # More bytes than one read brings, after whose end the next head begins.
    with server.greeted() as connection:
        for _ in range(3):
            connection.sendall(HEAD % 3_000_000 + b" " * 3_000_000)
            assert until(connection, b" bytes").endswith(b"3000000 bytes")


@pytest.mark.parametrize("half", [b"GET /echo HTTP/1.1\r\nHos", HEAD % 40 + b"{"])
def test_half_a_request_does_not_end_the_answer_before_it(server: Served, half: bytes) -> None:
    server.release.clear()
    with server.greeted() as connection:
        connection.sendall(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n" + half)
        connection.settimeout(TIMEOUT_S * 4)
        with pytest.raises(TimeoutError):  # nothing comes while the answer is held
            connection.recv(65536)
        connection.settimeout(120)
        server.release.set()
        said = until(connection)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"0 bytesHTTP/1.1 408 " in said


def test_a_request_that_was_answered_before_its_end_has_one_answer(server: Served) -> None:
    with server.greeted() as connection:
        connection.sendall((HEAD % 40).replace(b"/echo", b"/unread") + b"{")
        said = until(connection)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.endswith(b"0 bytes")

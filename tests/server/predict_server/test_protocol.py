"""Clients that do not send, do not read, or are about to ask a server that stops."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from http_arrival import MAX_HEAD, limited
from predict_server import protocol
from predict_server.protocol import ClientProtocol

from testing.asgi import HEAD, WHOLE, Served, until
from testing.serving import listens, wait_until

TIMEOUT_S = 0.5


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    found = Served(limited(TIMEOUT_S, ClientProtocol))
    yield found
    found.stop()


def test_a_slow_client_is_told_so_in_the_predict_servers_form(server: Served) -> None:
    with server.greeted() as connection:
        connection.sendall(HEAD % 40 + b"{")
        said = until(connection)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'{"error":"slow_client","message":"the request did not arrive in time"}' in said


def test_a_head_that_is_too_large_is_told_so(server: Served) -> None:
    with server.greeted() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Filler: ".ljust(MAX_HEAD + 1, b"x"))
        said = until(connection)
    assert said.startswith(b"HTTP/1.1 431 ")
    assert b'"error":"too_big"' in said


def held(server: int, client: int) -> bool:
    """Whether the server's end of a connection is open, as the kernel says; both are ports."""
    ends = f":{server:04X}", f":{client:04X}"
    with Path("/proc/net/tcp").open() as table:
        lines = [line.split() for line in table]
    return any(
        line[1].endswith(ends[0]) and line[2].endswith(ends[1]) and line[3] == "01"
        for line in lines[1:]
    )


def test_a_reader_who_does_not_read_is_cut_off(server: Served) -> None:
    answer = 12 * 2**20
    body = b"x" * (answer // 1000 + 1)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(120)
        client.connect(server.address)
        ports = server.address[1], client.getsockname()[1]
        client.sendall((HEAD % len(body)).replace(b"/echo", b"/large") + body)
        wait_until(lambda: not held(*ports), "the server gives up")
        got = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(1 << 20):
                got += len(piece)
    # Not all of it came: what the server could not send in time, it gave up.
    assert got < answer
    server.greeted().close()


def test_a_reader_who_catches_up_keeps_the_connection(server: Served) -> None:
    body = b"x" * 4000
    for _ in range(20):  # held up while it reads, this process is cut off by right
        with server.greeted() as client, contextlib.suppress(ConnectionError):
            client.sendall((HEAD % len(body)).replace(b"/echo", b"/large") + body)
            got = len(until(client, b"x" * 1000))
            while got < len(body) * 1000 and (piece := client.recv(1 << 20)):
                got += len(piece)
            time.sleep(2 * TIMEOUT_S)
            client.sendall(WHOLE)
            if b" 200 " in until(client, b"40 bytes"):
                return
    pytest.fail("each was cut off")


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], socket.socket]]:
    """Stops a server; gives a connection of it that is kept, whose wait takes so long."""
    with contextlib.ExitStack() as stack:

        def stop(linger_s: float) -> socket.socket:
            monkeypatch.setattr(protocol, "LINGER_S", linger_s)
            served = Served(limited(600.0, ClientProtocol))
            stack.callback(served.stop)
            connection = stack.enter_context(served.greeted())
            served.server.should_exit = True
            wait_until(lambda: not listens(served.address[1]), "it stops")
            return connection

        yield stop


def test_a_server_that_stops_answers_what_a_kept_connection_is_about_to_ask(
    stopping: Callable[[float], socket.socket],
) -> None:
    connection = stopping(600.0)
    connection.sendall(WHOLE)
    said = until(connection)  # until the server ends it
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in said


def test_a_server_that_stops_does_not_wait_for_those_who_ask_nothing(
    stopping: Callable[[float], socket.socket],
) -> None:
    assert until(stopping(0.1)) == b""

"""Workers behind one port: deaths, rolling restarts, switches, slow clients."""

import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest

from testing.serving import wait_until
from tests.server.predict_server.conftest import launch, own_settings, row


@pytest.fixture(scope="module")
def crew(house, tmp_path_factory):
    """A server of two workers."""
    home = tmp_path_factory.mktemp("crew")
    house.switch(house.pairs[0], home / "releases" / "jd")
    settings = own_settings(house, home, predict_workers=2)
    started = launch(settings)
    wait_until(lambda: len(workers(started)) == 2, "both workers serve")
    yield started
    started.http.close()
    assert started.server.stop() == 0


def workers(server):
    """Release by pid; over a connection of its own, which may be one to a worker that dies."""
    try:
        answer = httpx.get(f"{server.settings.predict_url}/health", timeout=30, trust_env=False)
    except httpx.TransportError:
        return {}
    return {line["pid"]: line["release"] for line in answer.json()["workers"]["following"]}


@contextlib.contextmanager
def asking(server, clients=4):
    """Requests all the while, each client over kept connections; yields their failures."""
    stop, failures, count = threading.Event(), [], [0]

    def ask():
        with httpx.Client(base_url=server.settings.predict_url, timeout=30) as http:
            while not stop.is_set():
                try:
                    answer = http.post("/predict", json=row(count[0]))
                except httpx.TransportError as error:
                    failures.append(repr(error))
                else:
                    if answer.status_code != 200:
                        failures.append(answer.text)
                count[0] += 1

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    wait_until(lambda: count[0] > 20, "requests flow")
    try:
        yield failures, count
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_worker_that_dies_costs_what_it_had_in_flight_and_is_replaced(crew):
    before = workers(crew)
    victim = min(before)
    with asking(crew) as (failures, count):
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(workers(crew)) == 2 and victim not in workers(crew), "replaced")
        reached = count[0]
        wait_until(lambda: count[0] > reached + 20, "requests flow on")
    assert len(failures) <= 4, failures
    assert all("RemoteProtocolError" in f or "ReadError" in f for f in failures), failures


def test_a_rolling_restart_fails_no_request(crew):
    before = set(workers(crew))
    with asking(crew) as (failures, _):
        os.kill(crew.server.process.pid, signal.SIGHUP)
        wait_until(
            lambda: len(workers(crew)) == 2 and not before & set(workers(crew)), "all are new"
        )
    assert failures == []


def test_every_worker_follows_a_switch_while_few_ask(house, crew):
    releases = crew.settings.releases_root / "jd"
    for pair in (house.pairs[1], house.pairs[0]):
        house.switch(pair, releases)
        wanted = {pair.release_id}
        wait_until(lambda wanted=wanted: set(workers(crew).values()) == wanted, "all follow")


def test_metrics_speak_for_all_workers(crew):
    def total():
        return crew.metric("nightshift_predict_requests_total", endpoint="predict", status="200")

    before = total()
    for number in range(20):
        with httpx.Client(base_url=crew.settings.predict_url) as http:  # each a new connection
            assert http.post("/predict", json=row(number)).status_code == 200
    assert total() == before + 20
    assert crew.metric("nightshift_predict_workers") == 2


@pytest.fixture(scope="module")
def impatient(house, tmp_path_factory):
    """A server of its own for slow clients, since a held-up client of the others is no slow one."""
    home = tmp_path_factory.mktemp("impatient")
    house.switch(house.pairs[0], home / "releases" / "jd")
    started = launch(own_settings(house, home, predict_client_timeout_s=1.5))
    yield started
    started.http.close()
    assert started.server.stop() == 0


def greeted(server):
    """A connection whose first request was answered; this process may be held up before it."""
    for _ in range(100):
        client = socket.create_connection(("127.0.0.1", server.settings.predict_port), 120)
        with contextlib.suppress(ConnectionError):
            client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            if b" 200 " in client.recv(65536):
                return client
        client.close()
    raise AssertionError("no request is answered")


def raw(server, *pieces):
    """Send pieces of a second request; returns all that comes back until the server closes."""
    with greeted(server) as client:
        for piece in pieces:
            client.sendall(piece)
        return rest(client)


def rest(client):
    got = b""
    while piece := client.recv(65536):
        got += piece
    return got


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"


@pytest.mark.parametrize(
    "pieces",
    [(b"POST /pre",), (HEAD,), (HEAD + b"\r\n", b'{"half": ')],
)
def test_half_a_request_ends_after_a_time(impatient, pieces):
    started = time.monotonic()
    got = raw(impatient, *pieces)
    assert time.monotonic() - started > 1
    assert b" 408 " in got


def test_a_connection_on_which_nothing_comes_ends(impatient):
    address = ("127.0.0.1", impatient.settings.predict_port)
    with socket.create_connection(address, 120) as client:
        assert rest(client) == b""


def test_empty_lines_after_a_request_do_not_keep_a_connection(impatient):
    with greeted(impatient) as client:
        client.sendall(b"\r\n")
        while client.recv(65536):  # ends, by the server
            pass


@pytest.mark.parametrize("endless", [b"X-Filler: 1\r\n", b"x" * 100, b"\r\n"])
def test_a_head_has_a_size(impatient, endless):
    begin = b"" if endless == b"\r\n" else b"GET /health/live HTTP/1.1\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", impatient.settings.predict_port)) as client:
        client.settimeout(120)
        with contextlib.suppress(OSError):
            client.sendall(begin)
            while sent < 100 * 2**20:
                client.sendall(endless * 1000)
                sent += len(endless) * 1000
    assert sent < 100 * 2**20, "the server went on reading"


def test_a_request_in_slow_pieces_ends_too(impatient):
    with greeted(impatient) as client:
        client.sendall(HEAD + b"\r\n")
        client.settimeout(0.2)
        # The 100 bytes of the body are never reached: each takes 0.2 s.
        for _ in range(99):
            try:
                if client.recv(4096) == b"":
                    break
            except TimeoutError:
                pass
            except ConnectionError:
                break
            with contextlib.suppress(OSError):
                client.sendall(b" ")
        else:
            pytest.fail("the server waited on")


def answered(http):
    """Whether a request of ours is answered; a client that is held up may be cut off, too."""
    with contextlib.suppress(httpx.TransportError):
        return http.post("/predict", json=row(1)).status_code == 200
    return False


def held(server, client):
    """Whether the server's end of a connection is open, as the kernel says; both are ports."""
    ends = f":{server:04X}", f":{client:04X}"
    with Path("/proc/net/tcp").open() as table:
        lines = [line.split() for line in table]
    return any(
        line[1].endswith(ends[0]) and line[2].endswith(ends[1]) and line[3] == "01"
        for line in lines[1:]
    )


def test_a_reader_who_does_not_read_is_cut_off(impatient):
    rows = b"[" + b",".join([httpx.Request("POST", "http://x", json=row(1)).content] * 900) + b"]"
    request = b"POST /predict?explain=true HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", impatient.settings.predict_port))
        ports = client.getpeername()[1], client.getsockname()[1]
        with contextlib.suppress(ConnectionError):  # it may end while this is being sent
            client.sendall((request % (len(rows), rows)) * 12)  # megabytes of answers, pipelined
        wait_until(lambda: not held(*ports), "the server gives up")
        client.settimeout(120)
        got = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(1 << 20):
                got += len(piece)
    # Not all of it came: what the server could not send in time, it gave up.
    assert got < 12 * 900 * 300
    with httpx.Client(base_url=impatient.settings.predict_url, timeout=30) as http:
        wait_until(lambda: answered(http), "others are answered")

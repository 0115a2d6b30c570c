"""Deployments over kept connections: outages, cut connections, answers that do not fit."""

import contextlib
import http.server
import json
import os
import signal
import socket
import threading

import numpy as np
import pytest
from predict_server.openmldb import Deployments

from nightshift.errors import ContractError, OpenMLDBError, ServiceUnavailable
from testing.serving import free_ports, wait_until
from tests.server.predict_server.conftest import row


def test_openmldb_that_stops_is_told_and_the_next_request_after_its_return_is_answered(
    house, apart, tmp_path
):
    house.switch(house.pairs[0], tmp_path / "releases" / "jd")
    server = apart()
    assert server.ask(row(1))["release"] == "r1"
    os.kill(house.openmldb_server.process.pid, signal.SIGSTOP)
    try:
        answer = server.ask(row(1), status=503)
        assert (answer["error"], house.settings.openmldb_url in answer["message"]) == (
            "unavailable",
            True,
        )
        assert server.http.get("/health").status_code == 503
    finally:
        os.kill(house.openmldb_server.process.pid, signal.SIGCONT)
    assert server.ask(row(1))["release"] == "r1"


def told_in(mood, house, server):
    """What health says of OpenMLDB in a mood in which nothing is answered."""
    moods = house.settings.home / "moods"
    moods.write_text(mood)
    try:
        answer = server.http.post("/predict", json=row(1))
        health = server.http.get("/health")
    finally:
        moods.unlink()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert (health.status_code, health.headers["retry-after"]) == (503, "1")
    return health.json()["parts"]["openmldb"]


def test_a_tablet_that_is_away_or_loads_is_503_and_health_says_so(house, live_first):
    for mood in ("tablet_away=1000", "tables_loading=1000"):
        assert "tablet" in told_in(mood, house, live_first)
        assert live_first.ask(row(1))["release"] == "r1"
        # A probe is believed for two seconds.
        wait_until(lambda: live_first.http.get("/health").status_code == 200, "it is ready")


def test_calls_that_time_out_behind_the_api_server_are_503_and_health_says_so(house, live_first):
    assert "timeout" in told_in("call_timeouts=1000", house, live_first)
    asked = [row(n) for n in range(7)]
    scores = [one["score"] for one in live_first.ask(asked)["predictions"]]
    np.testing.assert_allclose(scores, house.expected(house.pairs[0], asked), atol=1e-6)
    wait_until(lambda: live_first.http.get("/health").status_code == 200, "it is ready")


def test_an_api_server_that_dies_in_the_middle_of_a_call_costs_503_until_it_is_back(
    house, live_first
):
    moods, server = house.settings.home / "moods", house.openmldb_server
    asked = [row(n) for n in range(7)]
    expected = house.expected(house.pairs[0], asked)
    moods.write_text("call_death=1")
    try:
        answer = live_first.http.post("/predict", json=asked)
        died = server.process.wait(60)
        again = live_first.http.post("/predict", json=asked)
        health = live_first.http.get("/health")
    finally:
        moods.unlink(missing_ok=True)
        server.stop()
        server.start()
    assert died == 70
    for one in (answer, again, health):
        assert (one.status_code, one.headers["retry-after"]) == (503, "1"), one.text
    assert house.settings.openmldb_url in health.json()["parts"]["openmldb"]

    found = []

    def answered():
        found.append(live_first.http.post("/predict", json=asked))
        assert found[-1].status_code in (200, 503), found[-1].text
        return found[-1].status_code == 200

    # Nobody tells it that the server is back.
    wait_until(answered, "it is answered again")
    scores = [one["score"] for one in found[-1].json()["predictions"]]
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    wait_until(lambda: live_first.http.get("/health").status_code == 200, "it is ready")


class CuttingProxy(threading.Thread):
    """Passes bytes to a server; when told to, cuts one connection as its request arrives."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.cut_next = threading.Event()
        self.cuts = 0

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(
                        target=self.pump, args=(source, sink, source is client), daemon=True
                    ).start()

    def pump(self, source, sink, is_request):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_request and self.cut_next.is_set():
                    self.cut_next.clear()
                    self.cuts += 1
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_a_connection_cut_at_the_moment_of_a_request_costs_no_answer(house, apart, tmp_path):
    house.switch(house.pairs[0], tmp_path / "releases" / "jd")
    proxy = CuttingProxy(house.settings.openmldb_port)
    proxy.start()
    server = apart(openmldb_port=proxy.port)
    for number in range(1, 4):
        assert server.ask(row(number))["release"] == "r1"
        proxy.cut_next.set()
        assert server.ask(row(number))["release"] == "r1"
        assert proxy.cuts == number
    proxy.listener.close()


@pytest.fixture
async def deployments(house):
    found = Deployments(house.settings.openmldb_url, timeout_s=30)
    yield found
    await found.close()


async def test_rows_are_answered_in_their_order_and_described(house, deployments):
    rows = [list(row(n).values()) for n in range(7)]
    features = await deployments.call("shop", "shop_a", rows, timeout_s=30)
    assert [line[0] for line in features] == [f"q{n}" for n in range(7)]
    info = await deployments.describe("shop", "shop_a")
    assert [name for name, _ in info.input_schema] == list(row())
    assert len(info.output_schema) == len(features[0])
    await deployments.health(timeout_s=30)


async def test_a_deployment_that_is_not_there_is_a_refusal(deployments):
    with pytest.raises(OpenMLDBError, match="shop_z"):
        await deployments.call("shop", "shop_z", [list(row().values())], timeout_s=30)
    with pytest.raises(OpenMLDBError, match="shop_z"):
        await deployments.describe("shop", "shop_z")


async def test_a_server_that_is_not_there_is_named():
    (port,) = free_ports(1)
    found = Deployments(f"http://127.0.0.1:{port}/", timeout_s=5)
    for asked in (
        found.call("db", "one", [[1]], timeout_s=5),
        found.describe("db", "one"),
        found.health(timeout_s=5),
    ):
        with pytest.raises(ServiceUnavailable, match=rf"http://127.0.0.1:{port} did not answer"):
            await asked
    await found.close()


@pytest.fixture
def canned():
    """Serves a body that a test gives, for what a real server cannot be made to answer."""
    said = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            said["asked"] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said["token"] = self.headers.get("X-Token")
            self.send_response(said.get("status", 200))
            self.send_header("Content-Length", str(len(said["body"])))
            self.end_headers()
            self.wfile.write(said["body"])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        said["url"] = f"http://127.0.0.1:{server.server_port}"
        yield said
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        (b'{"code":0,"data":{"data":[[1]]}}', ContractError, "answered 1 rows to 2"),
        (b'{"code":0,"data":{}}', ContractError, "holds no rows"),
        (b'{"code":0}', ContractError, "holds no rows"),
        (b'{"code":1000,"msg":"deployment is broken"}', OpenMLDBError, "deployment is broken"),
        (b"<html>", Exception, "call"),
    ],
)
async def test_an_answer_that_is_none_says_what_is_wrong(canned, body, error, says):
    found = Deployments(canned["url"], timeout_s=30)
    canned["body"] = body
    with pytest.raises(error, match=says):
        await found.call("db", "one", [[1], [2]], timeout_s=30)
    await found.close()


async def test_bare_nan_and_infinities_are_read_and_headers_sent(canned):
    found = Deployments(canned["url"], timeout_s=30, headers={"X-Token": "secret"})
    canned["body"] = b'{"code":0,"data":{"data":[[NaN, -Infinity, 2]]}}'
    ((nan, low, two),) = await found.call("db", "one", [["a"]], timeout_s=30)
    assert np.isnan(nan)
    assert (low, two) == (-np.inf, 2)
    assert canned["asked"] == {"input": [["a"]], "need_schema": False}
    assert canned["token"] == "secret"
    await found.close()

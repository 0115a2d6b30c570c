"""The predict server over HTTP, between the real OpenMLDB, the real Triton and real models."""

import contextlib
import dataclasses
import http.client
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from nightshift import files
from nightshift.pipeline import Pipeline
from testing.serving import free_ports, wait_until
from tests.server.predict_server.conftest import FEATURES, Pair, launch, row


def test_an_answer_is_the_score_of_the_parts_and_names_its_release(house, live_first):
    answer = live_first.ask(row(3))
    (prediction,) = answer.pop("predictions")
    assert answer.pop("receipt")["release"] == "r1"
    assert answer == {
        "release": "r1",
        "deployment": "shop_a",
        "model": house.model,
        "model_version": 20240304001,
    }
    assert prediction["request_id"] == "q3"
    (expected,) = house.expected(house.pairs[0], [row(3)])
    assert prediction["score"] == pytest.approx(expected, abs=1e-6)
    assert 0 < prediction["score"] < 1


def test_many_rows_are_answered_in_their_order(house, live_first):
    rows = [row(n) for n in range(200)]
    answer = live_first.ask({"rows": rows})["predictions"]
    assert [p["request_id"] for p in answer] == [f"q{n}" for n in range(200)]
    expected = house.expected(house.pairs[0], rows)
    assert [p["score"] for p in answer] == pytest.approx(expected, abs=1e-5)


def test_a_row_as_an_array_and_null_values_are_answered(house, live_first):
    blank = row(1, product=None, ratio=None, rate=None, day=None)
    answer = live_first.ask([list(blank.values())])["predictions"]
    (expected,) = house.expected(house.pairs[0], [blank])
    assert answer[0]["score"] == pytest.approx(expected, abs=1e-6)


def test_explain_shows_the_deployments_features_and_the_ids(house, live_first):
    answer = live_first.ask(row(3), "/predict?explain=true")["predictions"][0]
    info = house.openmldb.deployment("shop", "shop_a")
    (features,) = house.features(house.pairs[0], [row(3)])
    assert list(answer["features"]) == [name for name, _ in info.output_schema]
    assert list(answer["features"].values()) == features
    # u3 was seen half a day ago and 4 days ago; two days of window hold the one, and now.
    assert answer["features"]["count"] == 2
    assert list(answer["ids"]) == list(house.spec.names)
    assert all(-(2**63) <= int(value) < 2**63 for value in answer["ids"].values())


def test_wrong_rows_are_422_and_name_row_and_field(live_first):
    before = live_first.metric("nightshift_predict_errors_total", kind="invalid_rows")
    rows = [row(0), row(1, small=40000, usr="u1")]
    answer = live_first.ask(rows, status=422)
    assert answer["error"] == "invalid_rows"
    assert {(d["row"], d["field"]) for d in answer["detail"]} == {(1, "small"), (1, "usr")}
    assert "did you mean 'user'" in json.dumps(answer)
    after = live_first.metric("nightshift_predict_errors_total", kind="invalid_rows")
    assert after == before + 1


def test_what_the_schema_tells_is_what_a_request_needs(house, live_first):
    schema = live_first.http.get("/schema").json()
    assert [(c["name"], c["type"]) for c in schema["request"]] == (
        house.openmldb.deployment("shop", "shop_a").input_schema
    )
    assert {f["name"] for f in schema["features"]} == set(house.spec.names)
    made = dict.fromkeys(column["name"] for column in schema["request"])
    assert len(live_first.ask(made)["predictions"]) == 1


@pytest.mark.parametrize(
    ("content", "status", "error"),
    [
        (b"{", 400, "no_json"),
        (b"", 400, "no_json"),
        (b"[]", 422, "invalid_request"),
        (b"[" * 50_000, 400, "no_json"),
        (b" " * 5_000_000, 413, "too_big"),
    ],
)
def test_bodies_that_hold_no_request_are_refused(live_first, content, status, error):
    answer = live_first.http.post("/predict", content=content)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_a_body_without_a_declared_length_is_limited_too(live_first):
    chunks = (b" " * 100_000 for _ in range(60))
    answer = live_first.http.post("/predict", content=chunks)
    assert (answer.status_code, answer.json()["error"]) == (413, "too_big")


def test_too_many_rows_are_413(live_first):
    answer = live_first.ask([row(0)] * 1001, status=413)
    assert "1000" in answer["message"]


def test_rank_puts_the_best_candidates_first(house, live_first):
    user = {k: v for k, v in row(1).items() if k not in ("reqId", "product")}
    candidates = [{"reqId": f"c{n}", "product": f"p{n}"} for n in range(20)]
    answer = live_first.ask({"user": user, "candidates": candidates, "n": 5}, "/rank")
    rows = [{key: {**user, **c}[key] for key in row()} for c in candidates]
    scores = house.expected(house.pairs[0], rows)
    best = sorted(range(20), key=lambda n: -scores[n])[:5]
    assert [r["candidate"] for r in answer["ranking"]] == best
    assert [r["rank"] for r in answer["ranking"]] == [1, 2, 3, 4, 5]
    assert [r["request_id"] for r in answer["ranking"]] == [f"c{n}" for n in best]
    assert answer["release"] == "r1"


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ([], "candidates"),
        ({"user": {}}, "candidates"),
        ({"candidates": []}, "candidates"),
        ({"candidates": [{}], "n": 0}, "'n'"),
        ({"candidates": [{}], "top": 3}, "'top'"),
        ({"candidates": [5]}, "object"),
        ({"user": {"reqId": "a"}, "candidates": [{"reqId": "b"}]}, "give it once"),
    ],
)
def test_rank_refuses_in_words_what_it_does_not_understand(live_first, payload, says):
    assert says in json.dumps(live_first.ask(payload, "/rank", status=422))


def test_a_switch_is_followed_at_the_next_request(house, live_first):
    first, second = house.pairs
    assert live_first.ask(row(3))["release"] == "r1"
    house.switch(second)
    answer = live_first.ask(row(3))
    assert (answer["release"], answer["deployment"]) == ("r2", "shop_b")
    (expected,) = house.expected(second, [row(3)])
    assert answer["predictions"][0]["score"] == pytest.approx(expected, abs=1e-6)
    live = live_first.metric("nightshift_predict_live_release_info", release="r2")
    assert (live, live_first.metric("nightshift_predict_live_release_info", release="r1")) == (1, 0)
    house.switch(first)
    assert live_first.ask(row(3))["release"] == "r1"


def test_a_switch_is_followed_while_nobody_asks(house, live_first):
    house.switch(house.pairs[1])
    wait_until(
        lambda: live_first.metric("nightshift_predict_live_release_info", release="r2") == 1,
        "the new release is live",
    )


BROKEN = {
    "a model version that is not served": {"model_version": 20240306001},
    "a deployment that is not there": {"deployment": "shop_z"},
    "another specification": {"spec_hash": "f" * 64},
    "a specification that is gone": {"feature_spec": "/nowhere/feature_spec.yaml"},
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_release_that_is_not_ready_leaves_the_old_one_answering(house, live_first, broken):
    refused = live_first.metric("nightshift_predict_refused_switches_total")
    changes = BROKEN[broken]
    house.switch(house.pairs[1], **changes)
    assert live_first.ask(row(3))["release"] == "r1"
    health = live_first.http.get("/health")
    assert health.status_code == 200
    (value,) = changes.values()
    assert str(value) in health.json()["switch_problem"]
    assert live_first.metric("nightshift_predict_refused_switches_total") > refused


@pytest.mark.parametrize("content", ["", "{", "[]", '{"release_id": "r9"}'])
def test_a_broken_pointer_leaves_the_old_release_answering(house, live_first, content):
    files.write_text(Pipeline.load(house.settings).releases / "live.json", content)
    assert live_first.ask(row(3))["release"] == "r1"
    assert "live.json" in live_first.http.get("/health").json()["switch_problem"]


def test_a_release_that_becomes_ready_later_is_taken_up(house, live_first):
    late = Pair("r3", "shop_late", house.pairs[0].version)
    house.switch(late)
    assert live_first.ask(row(3))["release"] == "r1"
    house.openmldb.execute("shop", f"DEPLOY shop_late {FEATURES.format(days=2)}", "online")
    wait_until(lambda: live_first.ask(row(3))["release"] == "r3", "the late release answers")
    house.switch(house.pairs[0])
    assert live_first.ask(row(3))["release"] == "r1"
    house.openmldb.execute("shop", "DROP DEPLOYMENT shop_late", "online")


def test_no_request_fails_and_no_answer_mixes_two_releases_while_they_switch(house, live_first):
    rows = [row(n) for n in range(14)]
    expected = {pair.release_id: house.expected(pair, rows) for pair in house.pairs}
    stop, answers, failures = threading.Event(), [], []

    def ask():
        with httpx.Client(base_url=house.settings.predict_url, timeout=30) as http:
            while not stop.is_set():
                answer = http.post("/predict", json=rows)
                (answers if answer.status_code == 200 else failures).append(answer.json())

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    for number in range(30):
        house.switch(house.pairs[(number + 1) % 2])
        time.sleep(0.1)
    stop.set()
    for client in clients:
        client.join()
    assert failures == []
    assert {answer["release"] for answer in answers} == {"r1", "r2"}
    for answer in answers:
        pair = house.pairs[answer["release"] == "r2"]
        assert (answer["deployment"], answer["model_version"]) == (pair.deployment, pair.version)
        scores = [p["score"] for p in answer["predictions"]]
        assert scores == pytest.approx(expected[answer["release"]], abs=1e-5)


def test_a_request_that_finds_its_pair_retired_is_answered_by_the_new_one(house, live_first):
    """The old deployment is dropped right after the switch, without a grace time."""
    old = Pair("r8", "shop_old", house.pairs[0].version)
    stop, failures, count = threading.Event(), [], [0]

    def ask():
        with httpx.Client(base_url=house.settings.predict_url, timeout=30) as http:
            while not stop.is_set():
                answer = http.post("/predict", json=[row(n) for n in range(300)])
                count[0] += 1
                if answer.status_code != 200:
                    failures.append(answer.text)

    house.openmldb.execute("shop", f"DEPLOY shop_old {FEATURES.format(days=2)}", "online")
    house.switch(old)
    assert live_first.ask(row(3))["release"] == "r8"
    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    wait_until(lambda: count[0] > 8, "requests flow")
    house.switch(house.pairs[1])
    house.openmldb.execute("shop", "DROP DEPLOYMENT shop_old", "online")
    wait_until(lambda: count[0] > 24, "requests flow on")
    stop.set()
    for client in clients:
        client.join()
    assert failures == []


def test_health_names_each_part(house, live_first):
    answer = live_first.http.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ready"
    assert body["parts"] == {"release": "ok", "openmldb": "ok", "triton": "ok"}
    assert (body["release"], body["switch_problem"]) == ("r1", None)


def test_metrics_count_requests_rows_and_the_time_of_each_stage(live_first):
    def counts():
        return {
            "requests": live_first.metric(
                "nightshift_predict_requests_total", endpoint="predict", status="200"
            ),
            "rows": live_first.metric("nightshift_predict_rows_total", release="r1"),
            **{
                stage: live_first.metric("nightshift_predict_stage_seconds_count", stage=stage)
                for stage in ("features", "encode", "score")
            },
        }

    before = counts()
    live_first.ask([row(0), row(1), row(2)])
    grown = {name: value - before[name] for name, value in counts().items()}
    assert grown == {"requests": 1, "rows": 3, "features": 1, "encode": 1, "score": 1}
    text = live_first.http.get("/metrics").text
    assert "# TYPE nightshift_predict_stage_seconds histogram" in text


@pytest.fixture
def apart(house, tmp_path):
    """A server whose releases, OpenMLDB and Triton a test may take away."""
    started = []

    def start(**changes):
        (port,) = free_ports(1)
        changed = {"home": tmp_path, "predict_port": port, "predict_timeout_s": 3.0, **changes}
        # Derived folders follow the new home.
        settings = dataclasses.replace(house.settings, data=tmp_path / "data", **changed)
        started.append(launch(settings))
        return started[-1]

    yield start
    for server in started:
        server.http.close()
        server.server.stop()


def test_before_the_first_release_the_server_is_up_and_says_so(house, apart, tmp_path):
    server = apart()
    answer = server.http.post("/predict", json=row(1))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["error"] == "no_release"
    health = server.http.get("/health")
    assert health.status_code == 503
    assert "no release is live yet" in health.json()["parts"]["release"]
    assert server.http.get("/schema").status_code == 503
    house.switch(house.pairs[0], tmp_path / "releases" / "jd")
    assert server.ask(row(1))["release"] == "r1"


def test_a_release_that_hangs_while_it_gets_ready_holds_nobody_up(house, apart, tmp_path):
    house.switch(house.pairs[0], tmp_path / "releases" / "jd")
    server = apart()
    assert server.ask(row(1))["release"] == "r1"
    stuck = tmp_path / "feature_spec.yaml"
    os.mkfifo(stuck)  # as a file on a network drive that does not answer
    house.switch(house.pairs[1], tmp_path / "releases" / "jd", feature_spec=str(stuck))
    try:
        assert [server.ask(row(n))["release"] for n in range(20)] == ["r1"] * 20
        wait_until(
            lambda: server.http.get("/health").json()["switch_problem"], "the reason is told"
        )
        assert "not ready within 3 s" in server.http.get("/health").json()["switch_problem"]
        house.switch(house.pairs[1], tmp_path / "releases" / "jd")
        wait_until(lambda: server.ask(row(1))["release"] == "r2", "a sound release is taken up")
    finally:
        os.close(os.open(stuck, os.O_RDWR | os.O_NONBLOCK))


def test_a_backend_that_is_down_is_503_with_its_name(house, apart, tmp_path):
    house.switch(house.pairs[0], tmp_path / "releases" / "jd")
    closed = free_ports(1)[0]
    server = apart(openmldb_port=closed)
    health = server.http.get("/health").json()
    assert str(closed) in health["parts"]["openmldb"]
    assert health["parts"]["triton"] == "ok"
    assert str(closed) in server.ask(row(1), status=503)["message"]


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


def test_triton_that_went_and_came_back_is_found_again_soon(house, live_first):
    house.triton.server.stop()
    try:
        assert live_first.ask(row(1), status=503)["error"] == "unavailable"
        assert "Triton" in live_first.http.get("/health").json()["parts"]["triton"]
        # Long enough for gRPC's own pauses to have grown.
        time.sleep(4)
    finally:
        house.triton.server.start()
        house.triton.wait_live()
        house.triton.control.load(house.model)
    wait_until(
        lambda: live_first.http.post("/predict", json=row(1)).status_code == 200,
        "predictions are answered again",
        timeout_s=60,
    )


def nothing_unread(port, ours):
    """Whether the server of a port has accepted a connection of ours and read what was sent."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, queues = line.split()[:5]
        if (int(local[9:], 16), int(remote[9:], 16)) == (port, ours):
            return state == "01" and int(queues.split(":")[1], 16) == 0
    return False


def test_sigterm_answers_what_is_in_flight_and_ends_with_0(house, apart, tmp_path):
    house.switch(house.pairs[0], tmp_path / "releases" / "jd")
    server = apart()
    assert server.metric("nightshift_predict_requests_total") == 0
    port = server.settings.predict_port
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("POST", "/predict", json.dumps([row(n) for n in range(1000)]))
    wait_until(lambda: nothing_unread(port, client.sock.getsockname()[1]), "the request is read")
    assert server.server.stop() == 0
    assert client.getresponse().status == 200


def test_wrong_settings_are_one_line_and_exit_1(house):
    import subprocess

    from laptop.services.launch import base_env
    from testing.serving import ROOT

    done = subprocess.run(
        [ROOT / ".venv/bin/python", "-P", "-m", "predict_server"],
        env={**base_env(house.settings), "NIGHTSHIFT_PREDICT_PORT": "many"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "NIGHTSHIFT_PREDICT_PORT" in done.stderr
    assert "Traceback" not in done.stderr

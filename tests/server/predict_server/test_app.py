"""The predict server over HTTP, between the real OpenMLDB, the real Triton and real models."""

import http.client
import json
import os
import threading
from pathlib import Path

import httpx
import pytest

from nightshift import files
from nightshift.pipeline import Pipeline
from testing.serving import free_ports, wait_until
from tests.server.predict_server.conftest import FEATURES, Pair, row


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


def test_a_release_with_a_pipe_for_a_file_holds_nobody_up(house, apart, tmp_path):
    house.switch(house.pairs[0], tmp_path / "releases" / "jd")
    server = apart()
    assert server.ask(row(1))["release"] == "r1"
    stuck = tmp_path / "feature_spec.yaml"
    os.mkfifo(stuck)
    house.switch(house.pairs[1], tmp_path / "releases" / "jd", feature_spec=str(stuck))
    try:
        assert [server.ask(row(n))["release"] for n in range(20)] == ["r1"] * 20
        wait_until(
            lambda: server.http.get("/health").json()["switch_problem"], "the reason is told"
        )
        problem = server.http.get("/health").json()["switch_problem"]
        assert f"{stuck} cannot be read: it is not a plain file" in problem
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

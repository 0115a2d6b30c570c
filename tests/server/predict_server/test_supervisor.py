"""Workers behind one port: deaths, rolling restarts, switches."""

import contextlib
import os
import signal
import threading

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

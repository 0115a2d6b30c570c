"""Which requests there are, and what of them reaches the engine."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest
from socket_proxy import routes
from socket_proxy.errors import Refused
from socket_proxy.policy import HOME_LABEL, Policy

POLICY = Policy.from_env(
    {
        "NIGHTSHIFT_HOME": "/srv/home",
        "NIGHTSHIFT_PROJECT": "/srv/project",
        "NIGHTSHIFT_TASK_IMAGE_TRAIN": "x:1",
        "NIGHTSHIFT_TASK_USER": "1:1",
    }
)


@pytest.mark.parametrize(
    ("method", "target", "path"),
    [
        ("GET", "/_ping", "/_ping"),
        ("GET", "/version", "/version"),
        ("GET", "/v1.41/containers/a/json", "/v1.41/containers/ID/json"),
        ("POST", "/v1.47/containers/a/start", "/v1.47/containers/ID/start"),
        ("POST", "/v1.41/containers/a/stop?t=60", "/v1.41/containers/ID/stop?t=60"),
        ("DELETE", "/v1.41/containers/a?v=True&link=False&force=True",
         "/v1.41/containers/ID?v=True&link=False&force=True"),
        ("GET", "/v1.41/containers/a/logs?stderr=1&since=1700000000.5&tail=all",
         "/v1.41/containers/ID/logs?stderr=1&since=1700000000.5&tail=all"),
    ],
)  # fmt: skip
def test_passes(method: str, target: str, path: str) -> None:
    assert routes.find(method, target, POLICY).path("ID") == path


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v1.41/containers/a/start?detachKeys=x"),
        ("POST", "/containers/a/stop?t=-1"),
        ("POST", "/containers/a/stop?t=1&t=2"),
        ("POST", "/containers/a/stop?signal=KILL"),
        ("GET", "/containers/a/logs?tail=all%0d%0aX"),
        ("GET", "/containers/a/logs?%"),
        ("GET", "/containers/a/json#x"),
        ("GET", "/containers/json/json"),
        ("DELETE", "/containers/json"),
        ("DELETE", "/containers/a/json"),
        ("HEAD", "/containers/a/json"),
        ("GET", "/v1.41"),
        ("POST", "/v1.24/containers/a/start"),
        ("POST", "/v1.39/containers/create?name=nightshift-a"),  # NonRecursive is left out
        ("POST", "/v1.40/containers/create?name=nightshift-a"),  # the host's cgroup namespace
        ("GET", "/v1.1000/version"),
        ("GET", "/v1.٤١/version"),
        ("GET", "*"),
    ],
)
def test_refused(method: str, target: str) -> None:
    with pytest.raises(Refused):
        routes.find(method, target, POLICY)


@pytest.mark.parametrize(
    "query", ["", "?all=1", '?filters={"label":["a=b"]}', '?filters={"label":[]}']
)
def test_list_asks_for_our_own_label_whatever_it_was_asked(query: str) -> None:
    path = routes.find("GET", f"/containers/json{query}", POLICY).path()
    filters = json.loads(parse_qs(path.partition("?")[2])["filters"][0])
    assert filters.keys() == {"label"}
    assert f"{HOME_LABEL}={POLICY.home_label}" in filters["label"]

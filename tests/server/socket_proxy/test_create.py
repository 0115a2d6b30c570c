"""The rebuilt body of a create."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from nightshift_provider.runners.base import home_id
from socket_proxy import create, strict_json
from socket_proxy.errors import Refused
from socket_proxy.policy import Policy, PolicyError

from testing.bodies import bodies, create_body

IMAGE = "nightshift/preprocess:0.1.0"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("nightshift") / "home"
    for name in ("runs/2026-01-31/0badcafe", "releases", "runs/ads/2026-01-31/0badcafe"):
        (home / name).mkdir(parents=True)
    return home


@pytest.fixture(scope="module")
def project(home: Path) -> Path:
    project = home.parent / "project"
    (project / "include").mkdir(parents=True)
    return project


def environment(home: Path, project: Path) -> dict[str, str]:
    return {
        "NIGHTSHIFT_HOME": str(home),
        "NIGHTSHIFT_PROJECT": str(project),
        "NIGHTSHIFT_TASK_IMAGE_PREPROCESS": IMAGE,
        "NIGHTSHIFT_TASK_USER": "10001:10001",
    }


@pytest.fixture(scope="module")
def policy(home: Path, project: Path) -> Policy:
    return Policy.from_env(environment(home, project))


def test_operators_body_keeps_what_it_asks_for(policy: Policy, home: Path, project: Path) -> None:
    body = create_body(home, project, IMAGE)
    made = create.rebuild(body, policy)
    for key in ("Image", "Cmd", "Env", "User", "Labels"):
        assert made[key] == body[key]
    for key in ("Memory", "NanoCpus", "PidsLimit", "NetworkMode", "Tmpfs", "LogConfig"):
        assert made["HostConfig"][key] == body["HostConfig"][key]
    assert [(m["Source"], m["ReadOnly"]) for m in made["HostConfig"]["Mounts"]] == [
        (str(project / "include"), True),
        (str(home / "runs" / "2026-01-31" / "0badcafe"), False),
    ]


def test_run_of_a_pipeline_of_its_own_may_be_written_to(
    policy: Policy, home: Path, project: Path
) -> None:
    body = create_body(home, project, IMAGE)
    run = str(home / "runs" / "ads" / "2026-01-31" / "0badcafe")
    body["HostConfig"]["Mounts"][1].update(Source=run, Target=run)
    assert create.rebuild(body, policy)["HostConfig"]["Mounts"][1]["Source"] == run


def test_one_pipelines_releases_and_data_may_be_read_and_not_written(
    policy: Policy, home: Path, project: Path
) -> None:
    for path in ("releases/ads", "data/ads", "data"):
        (home / path).mkdir(parents=True, exist_ok=True)
        body = create_body(home, project, IMAGE)
        where = str(home / path)
        mount = {"Type": "bind", "Source": where, "Target": where, "ReadOnly": True}
        body["HostConfig"]["Mounts"].append(mount)
        create.rebuild(body, policy)
        mount["ReadOnly"] = False
        with pytest.raises(Refused, match="written"):
            create.rebuild(body, policy)
    for path in ("releases/ads/live", "releases/..", "data/A", "data/ads/../..", "model_repo"):
        where = str(home / path)
        mount.update(Source=where, Target=where, ReadOnly=True)
        with pytest.raises(Refused, match="mounted"):
            create.rebuild(body, policy)


def test_true_is_not_one_and_false_is_not_zero(policy: Policy, home: Path, project: Path) -> None:
    for key, value in (("ReadonlyRootfs", 1), ("PidsLimit", True), ("Privileged", 0)):
        body = create_body(home, project, IMAGE)
        body["HostConfig"][key] = value
        with pytest.raises(Refused, match=key):
            create.rebuild(body, policy)


def test_gpu_only_where_it_is_offered(policy: Policy, home: Path, project: Path) -> None:
    body = create_body(home, project, IMAGE)
    one = {"Driver": "", "Count": 1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}
    body["HostConfig"]["DeviceRequests"] = [one]
    with pytest.raises(Refused, match="GPU"):
        create.rebuild(body, policy)
    cuda = Policy.from_env(environment(home, project) | {"NIGHTSHIFT_TASK_DEVICE": "cuda"})
    assert create.rebuild(body, cuda)["HostConfig"]["DeviceRequests"] == [one]
    for change in ({"Count": -1}, {"Driver": "x"}, {"Options": {"a": "b"}}):
        body["HostConfig"]["DeviceRequests"] = [one | change]
        with pytest.raises(Refused, match="GPU"):
            create.rebuild(body, cuda)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(text=bodies())
def test_whatever_comes_is_refused_or_contained(
    policy: Policy, home: Path, project: Path, text: str
) -> None:
    filled = text.replace("@HOME@", str(home)).replace("@PROJECT@", str(project))
    filled = filled.replace("@IMAGE@", IMAGE).replace("@LABEL@", home_id(home))
    try:
        made = create.rebuild(strict_json.parse(filled.encode()), policy)
    except Refused:
        return
    assert made.keys() <= {
        "Image", "Cmd", "User", "Env", "Labels", "AttachStdout", "AttachStderr",
        "NetworkDisabled", "StopSignal", "HostConfig",
    }  # fmt: skip
    host = made["HostConfig"]
    assert host.keys() <= {
        "Mounts", "NetworkMode", "ReadonlyRootfs", "CapDrop", "SecurityOpt", "Memory",
        "MemorySwap", "NanoCpus", "PidsLimit", "LogConfig", "ShmSize", "Tmpfs", "Init",
        "DeviceRequests", "Privileged", "PublishAllPorts", "IpcMode", "CgroupnsMode",
    }  # fmt: skip
    assert (made["Image"], made["User"]) == (IMAGE, "10001:10001")
    assert host["Privileged"] is False and host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] == "none" and host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"] and not host.get("DeviceRequests")
    writable = {m["Source"] for m in host["Mounts"] if m["ReadOnly"] is not True}
    assert writable <= {str(home / "runs" / "2026-01-31" / "0badcafe")}
    json.dumps(made).encode()


@pytest.mark.parametrize(
    "change",
    [
        {"NIGHTSHIFT_HOME": ""},
        {"NIGHTSHIFT_HOME": "relative"},
        {"NIGHTSHIFT_HOME": "/srv/../etc"},
        {"NIGHTSHIFT_HOME": "/"},
        {"NIGHTSHIFT_TASK_USER": ""},
        {"NIGHTSHIFT_TASK_USER": "0:0"},
        {"NIGHTSHIFT_TASK_USER": "10001:0"},
        {"NIGHTSHIFT_TASK_IMAGE_PREPROCESS": ""},
        {"NIGHTSHIFT_TASK_MEMORY": "much"},
        {"NIGHTSHIFT_TASK_CPUS": "nan"},
        {"NIGHTSHIFT_TASK_CPUS": "0"},
    ],
)
def test_policy_that_is_no_policy_stops_the_proxy(
    home: Path, project: Path, change: dict[str, str]
) -> None:
    with pytest.raises(PolicyError):
        Policy.from_env(environment(home, project) | change)

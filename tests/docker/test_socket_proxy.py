"""The socket proxy, before a real engine: the task operator's way passes, and no way round it."""

from __future__ import annotations

import copy
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nightshift_provider.runners.base import Phase, TaskSpec
from nightshift_provider.runners.docker import DockerRunner

from tests.docker import images
from tests.docker.engine import PROJECT, Engine
from tests.docker.production import free_port

pytestmark = pytest.mark.docker

IMAGE = f"nightshift/preprocess:{images.VERSION}"
Body = dict[str, Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "runs" / "2026-01-31" / "0badcafe" / "features").mkdir(parents=True)
    (folder / "releases").mkdir()
    return folder


@pytest.fixture(scope="module")
def proxy(docker_engine: Engine, home: Path) -> Iterator[int]:
    """The proxy's port on the loopback."""
    images.ensure_python(docker_engine, "3.10")
    for name, dockerfile in (
        (f"nightshift/socket-proxy:{images.VERSION}", "docker/socket-proxy/Dockerfile"),
        (IMAGE, "tasks/ctr/preprocess/Dockerfile"),
    ):
        images.build(docker_engine, name, PROJECT / dockerfile)
    settings = {
        "NIGHTSHIFT_HOME": str(home),
        "NIGHTSHIFT_PROJECT": str(PROJECT),
        "NIGHTSHIFT_TASK_IMAGE_PREPROCESS": IMAGE,
        "NIGHTSHIFT_TASK_IMAGE_TRAIN": f"nightshift/train:{images.VERSION}",
        "NIGHTSHIFT_TASK_IMAGE_SCORE": f"nightshift/train:{images.VERSION}",
    }
    port = free_port()
    docker_engine.docker("network", "create", "proxy-test")
    arguments = ["--detach", "--name", "proxy-test", "--network", "proxy-test", "--read-only"]
    arguments += ["--publish", f"127.0.0.1:{port}:2375", "--cap-drop", "ALL"]
    arguments += ["--user", f"10001:{docker_engine.socket.stat().st_gid}"]
    arguments += ["--volume", f"{docker_engine.socket}:/var/run/docker.sock"]
    arguments += [part for k, v in settings.items() for part in ("--env", f"{k}={v}")]
    docker_engine.docker("run", *arguments, f"nightshift/socket-proxy:{images.VERSION}")
    deadline = time.monotonic() + 20
    while True:
        try:
            if request(port, "GET", "/_ping")[0] == 200:
                break
        except OSError:
            pass
        if time.monotonic() > deadline:
            pytest.fail(docker_engine.docker("logs", "proxy-test"))
        time.sleep(0.2)
    yield port
    docker_engine.docker("rm", "--force", "proxy-test")
    docker_engine.docker("network", "rm", "proxy-test")


def request(
    port: int, method: str, path: str, body: str | None = None, **headers: str
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(
            method,
            path,
            None if body is None else body.encode(),
            {"Content-Type": "application/json", **headers},
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def create_body(home: Path) -> Body:
    """A create that the proxy lets through, in the operator's form."""
    run = home / "runs" / "2026-01-31" / "0badcafe"
    include = str(PROJECT / "include")
    return {
        "Image": IMAGE,
        "Cmd": ["python", "-m", "tasks.ctr.preprocess", "--help"],
        "User": "10001:10001",
        "HostConfig": {
            "Mounts": [
                {"Type": "bind", "Source": include, "Target": include, "ReadOnly": True},
                {"Type": "bind", "Source": str(run), "Target": str(run), "ReadOnly": False},
            ],
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
        },
    }


def set_host(**values: Any) -> Callable[[Body], None]:
    return lambda body: body["HostConfig"].update(values)


def set_top(**values: Any) -> Callable[[Body], None]:
    return lambda body: body.update(values)


def drop(*keys: str) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        for key in keys:
            body.pop(key, None)
            body["HostConfig"].pop(key, None)

    return change


def bind(source: str) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        body["HostConfig"]["Mounts"].append({"Type": "bind", "Source": source, "Target": "/x"})

    return change


def below_run(*parts: str) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        run = body["HostConfig"]["Mounts"][1]["Source"]
        bind("/".join((run, *parts)))(body)

    return change


FORBIDDEN: dict[str, Callable[[Body], None]] = {
    "another image": set_top(Image="debian:bookworm-slim"),
    "an image by a longer name": set_top(Image=IMAGE + "-evil"),
    "root": set_top(User="root"),
    "uid 0": set_top(User="0"),
    "uid 0 with a group": set_top(User="0:10001"),
    "uid 00": set_top(User="00"),
    "no user, so the image's": drop("User"),
    "an empty user": set_top(User=""),
    "privileged": set_host(Privileged=True),
    "privileged in another case": set_host(pRiViLeGeD=True),
    "a writable root": set_host(ReadonlyRootfs=False),
    "a root not said to be read-only": drop("ReadonlyRootfs"),
    "the host's network": set_host(NetworkMode="host"),
    "another container's network": set_host(NetworkMode="container:x"),
    "the default network": drop("NetworkMode"),
    "a network by the other key": set_top(NetworkingConfig={"EndpointsConfig": {"x": {}}}),
    "a capability": set_host(CapAdd=["SYS_ADMIN"]),
    "a device": set_host(Devices=[{"PathOnHost": "/dev/vda", "PathInContainer": "/dev/vda"}]),
    "device rules": set_host(DeviceCgroupRules=["a *:* rwm"]),
    "the host's processes": set_host(PidMode="host"),
    "the host's IPC": set_host(IpcMode="host"),
    "the host's users": set_host(UsernsMode="host"),
    "the host's names": set_host(UTSMode="host"),
    "another runtime": set_host(Runtime="other"),
    "another cgroup": set_host(CgroupParent="/"),
    "no seccomp": set_host(SecurityOpt=["seccomp=unconfined"]),
    "no seccomp beside the allowed": set_host(SecurityOpt=["no-new-privileges", "apparmor=x"]),
    "unmasked /proc": set_host(MaskedPaths=[]),
    "another container's volumes": set_host(VolumesFrom=["x"]),
    "the host's root": bind("/"),
    "the engine's socket": bind("/var/run/docker.sock"),
    "a run's subfolder, which may be a link": below_run("features"),
    "a way out of a run": below_run("..", "..", ".."),
    "the host's root as a bind": set_host(Binds=["/:/host"]),
    "the host's root beside an allowed bind": lambda body: body["HostConfig"].update(
        Binds=[f"{PROJECT}/include:/x:ro", "/:/host"]
    ),
    "a volume": set_host(Mounts=[{"Type": "volume", "Source": "x", "Target": "/x"}]),
    "kernel settings": set_host(Sysctls={"kernel.x": "1"}),
}
# Unmasked paths: an empty list is the dangerous one.
SPELLINGS = {
    "a second, bad key after a good one": ('"User": "10001:10001"', '"User": "10001", "User": "0"'),
    "an escaped key": ('"Cmd"', r'"HostConfig": {"\u0050rivileged": true}, "Cmd"'),
    "a key in letters that Go folds": ('"Cmd"', '"HostConfig": {"MaſkedPaths": []}, "Cmd"'),
    "an escaped folded letter": ('"Cmd"', r'"HostConfig": {"Mas\u212aedPaths": []}, "Cmd"'),
    "spaces before the colon": ('"Cmd"', '"hostconfig": {"Privileged" \n : true}, "Cmd"'),
}


def test_operators_own_container_passes(proxy: int, home: Path, docker_engine: Engine) -> None:
    # Given what the task operator asks for, when all of its requests go through the proxy
    run = home / "runs" / "2026-01-31" / "0badcafe"
    spec = TaskSpec(
        name="nightshift-proxy-test", generation=1, command=["python", "-c", "print('it ran')"],
        environment={}, project=str(PROJECT), python="", state_dir=str(home / "tasks" / "x"),
        result_path=str(run / "result.json"), writable=[str(run)],
        readable=[str(PROJECT / "include"), str(home / "runs"), str(home / "releases")], image=IMAGE, user="10001:10001",
        memory="256m", cpus=1.0, device="cpu", deadline=time.time() + 60, stop_grace_s=5.0,
        labels={"home": "proxytest"},
    )  # fmt: skip
    runner = DockerRunner(f"tcp://127.0.0.1:{proxy}")
    runner.start(spec)
    deadline = time.monotonic() + 30
    while (status := runner.status(spec)).phase is not Phase.EXITED:
        assert time.monotonic() < deadline, status
        time.sleep(0.2)

    # Then it runs, is read, listed, stopped and removed
    assert status.exit_code == 0
    assert runner.log_tail(spec, 5) == ["it ran"]
    assert [c["Names"] for c in runner.containers("proxytest")] == [["/nightshift-proxy-test"]]
    runner.stop(spec)
    runner.remove(spec)
    assert runner.status(spec).phase is Phase.ABSENT


def test_create_as_it_should_be_reaches_the_engine(
    proxy: int, home: Path, docker_engine: Engine
) -> None:
    status, answer = request(
        proxy, "POST", "/v1.41/containers/create?name=proxy-good", json.dumps(create_body(home))
    )
    assert status == 201, answer
    docker_engine.docker("rm", "proxy-good")


@pytest.mark.parametrize("what", FORBIDDEN)
def test_forbidden_create_is_refused(proxy: int, home: Path, what: str) -> None:
    body = copy.deepcopy(create_body(home))
    FORBIDDEN[what](body)
    assert request(proxy, "POST", "/containers/create", json.dumps(body))[0] == 403


@pytest.mark.parametrize("what", SPELLINGS)
def test_spelling_does_not_get_round_the_rules(proxy: int, home: Path, what: str) -> None:
    good = json.dumps(create_body(home))
    text = good.replace(*SPELLINGS[what])
    assert text != good
    assert request(proxy, "POST", "/v1.41/containers/create", text)[0] == 403


def test_body_too_long_to_judge_is_refused(proxy: int, home: Path) -> None:
    padded = json.dumps(create_body(home) | {"Labels": {"x": "y" * 70_000}, "User": "0"})
    assert request(proxy, "POST", "/containers/create", padded)[0] == 413


def test_body_without_a_length_is_refused(proxy: int, home: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy, timeout=20)
    parts = iter([json.dumps(create_body(home)).encode()])
    connection.request("POST", "/containers/create", parts, encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/containers/x/exec"),
        ("POST", "/containers/x/kill"),
        ("POST", "/containers/x/wait"),
        ("POST", "/exec/x/start"),
        ("POST", "/containers/x/update"),
        ("POST", "/containers/x/rename"),
        ("POST", "/containers/x/attach"),
        ("POST", "/containers/prune"),
        ("PUT", "/containers/x/archive"),
        ("GET", "/containers/x/archive?path=/"),
        ("GET", "/containers/x/export"),
        ("POST", "/images/create?fromImage=x"),
        ("GET", "/images/json"),
        ("GET", "/images/x/json"),
        ("POST", "/images/load"),
        ("DELETE", "/images/x"),
        ("POST", "/build"),
        ("POST", "/commit"),
        ("GET", "/volumes"),
        ("POST", "/volumes/create"),
        ("GET", "/networks"),
        ("POST", "/networks/create"),
        ("POST", "/swarm/init"),
        ("GET", "/secrets"),
        ("GET", "/info"),
        ("GET", "/events"),
        ("POST", "/plugins/pull"),
        ("POST", "/session"),
        ("POST", "/grpc"),
        ("POST", "/containers/x/../create"),
        ("POST", "/containers/%63reate"),
        ("POST", "//containers/create"),
        ("POST", "/v1.41/v1.41/containers/create"),
    ],
)
def test_everything_else_is_refused(proxy: int, method: str, path: str) -> None:
    assert request(proxy, method, path, "{}" if method == "POST" else None)[0] == 403

"""The socket proxy, before a real engine: the task operator's way passes, and no way round it."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from nightshift_provider.runners.base import Phase, TaskSpec, home_id
from nightshift_provider.runners.docker import DockerRunner

from testing import images
from testing.bodies import bodies, create_body
from testing.engine import PROJECT, Engine
from tests.docker.production import free_port

pytestmark = pytest.mark.docker

IMAGE = f"nightshift/preprocess:{images.VERSION}"
CREATE = "/v1.41/containers/create?name=nightshift-"
Body = dict[str, Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    folder.chmod(0o755)  # the proxy looks into it as its own user
    (folder / "runs" / "2026-01-31" / "0badcafe" / "features").mkdir(parents=True)
    (folder / "releases").mkdir()
    return folder


@pytest.fixture(scope="module")
def proxy(docker_engine: Engine, home: Path) -> Iterator[int]:
    """The proxy's port on the loopback."""
    images.ensure_python(docker_engine, "3.10")
    images.ensure_python(docker_engine, "3.11")
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
        "NIGHTSHIFT_TASK_USER": "10001:10001",
    }
    port = free_port()
    docker_engine.docker("network", "create", "proxy-test")
    arguments = ["--detach", "--name", "proxy-test", "--network", "proxy-test", "--read-only"]
    arguments += ["--publish", f"127.0.0.1:{port}:2375", "--cap-drop", "ALL"]
    arguments += ["--user", "10001:10001"]
    arguments += ["--group-add", str(docker_engine.socket.stat().st_gid)]
    arguments += ["--volume", f"{docker_engine.socket}:/var/run/docker.sock"]
    for folder in (home, PROJECT / "include"):
        arguments += ["--volume", f"{folder}:{folder}:ro"]
    arguments += [part for k, v in settings.items() for part in ("--env", f"{k}={v}")]
    docker_engine.docker("run", *arguments, f"nightshift/socket-proxy:{images.VERSION}")
    deadline = time.monotonic() + 180
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


def good(home: Path) -> Body:
    """A create that the proxy lets through, in the operator's form."""
    return create_body(home, PROJECT, IMAGE)


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


def runs_of(body: Body) -> str:
    run: str = body["HostConfig"]["Mounts"][1]["Source"]
    return str(Path(run).parents[1])


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
    "the engine's group": set_top(User="10001:999"),
    "another user": set_top(User="10002:10001"),
    "a user without a group": set_top(User="10001"),
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
    "a HostConfig beside the judged one": set_top(hostconfig={"Privileged": True}),
    "what must be said, said elsewhere": lambda body: (
        drop("NetworkMode", "ReadonlyRootfs")(body),
        body.update(Elsewhere={"NetworkMode": "none", "ReadonlyRootfs": True}),
    ),
    "another entry point": set_top(Entrypoint=["sh"]),
    "anonymous volumes": set_top(Volumes={"/x": {}}),
    "published ports": set_host(PortBindings={"80/tcp": [{"HostPort": "80"}]}),
    "all ports published": set_host(PublishAllPorts=True),
    "groups": set_host(GroupAdd=["999"]),
    "capabilities kept": drop("CapDrop"),
    "some capabilities kept": set_host(CapDrop=["NET_RAW"]),
    "new privileges": drop("SecurityOpt"),
    "new privileges, said otherwise": set_host(SecurityOpt=["no-new-privileges:false"]),
    "no limit of memory": drop("Memory"),
    "memory without end": set_host(Memory=0),
    "more memory than allowed": set_host(Memory=1 << 40, MemorySwap=1 << 40),
    "swap": set_host(MemorySwap=-1),
    "no limit of CPU": drop("NanoCpus"),
    "no limit of processes": set_host(PidsLimit=-1),
    "a log without end": drop("LogConfig"),
    "a log elsewhere": set_host(LogConfig={"Type": "syslog", "Config": {}}),
    "a tmpfs with setuid files": set_host(Tmpfs={"/tmp": "rw,suid,size=1g,mode=1777"}),
    "a tmpfs over something": set_host(Tmpfs={"/etc": "rw,nosuid,nodev,size=1g,mode=1777"}),
    "a GPU that was not offered": set_host(DeviceRequests=[{"Count": -1}]),
    "a restart policy": set_host(RestartPolicy={"Name": "always"}),
    "a health check": set_top(Healthcheck={"Test": ["CMD", "x"]}),
    "another home's label": set_top(Labels={"nightshift.home": "0" * 12}),
    "no label": drop("Labels"),
    "a foreign label": lambda body: body["Labels"].update({"com.docker.x": "1"}),
    "all runs, writable": lambda body: body["HostConfig"]["Mounts"].append(
        {"Type": "bind", "Source": runs_of(body), "Target": runs_of(body), "ReadOnly": False}
    ),
    "a folder that is not read-only": lambda body: body["HostConfig"]["Mounts"][0].update(
        ReadOnly=False
    ),
    "a folder at another place": lambda body: body["HostConfig"]["Mounts"][0].update(
        Target="/usr/local/lib"
    ),
    "a mount spread to the host": lambda body: body["HostConfig"]["Mounts"][0].update(
        BindOptions={"Propagation": "rshared"}
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
    "something after the document": ('"SIGTERM"}', '"SIGTERM"} {"Privileged": true}'),
    "a number that is none": ('"PidsLimit": 4096', '"PidsLimit": NaN'),
    "a number with a point": ('"PidsLimit": 4096', '"PidsLimit": 4096.0'),
    "half a surrogate pair": ('"--help"', r'"\ud800"'),
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
        labels={"home": home_id(home)},
    )  # fmt: skip
    runner = DockerRunner(f"tcp://127.0.0.1:{proxy}")
    runner.start(spec)
    deadline = time.monotonic() + 180
    while (status := runner.status(spec)).phase is not Phase.EXITED:
        assert time.monotonic() < deadline, status
        time.sleep(0.2)

    # Then it runs, is read, listed, stopped and removed
    assert status.exit_code == 0
    assert runner.log_tail(spec, 5) == ["it ran"]
    assert [c["Names"] for c in runner.containers(home_id(home))] == [["/nightshift-proxy-test"]]
    runner.stop(spec)
    runner.remove(spec)
    assert runner.status(spec).phase is Phase.ABSENT


def test_create_as_it_should_be_reaches_the_engine(
    proxy: int, home: Path, docker_engine: Engine
) -> None:
    status, answer = request(proxy, "POST", CREATE + "proxy-good", json.dumps(good(home)))
    assert status == 201, answer
    docker_engine.docker("rm", "nightshift-proxy-good")


@pytest.mark.parametrize("what", FORBIDDEN)
def test_forbidden_create_is_refused(proxy: int, home: Path, what: str) -> None:
    body = copy.deepcopy(good(home))
    FORBIDDEN[what](body)
    assert request(proxy, "POST", CREATE + "bad", json.dumps(body))[0] == 403


@pytest.mark.parametrize("what", SPELLINGS)
def test_spelling_does_not_get_round_the_rules(proxy: int, home: Path, what: str) -> None:
    plain = json.dumps(good(home))
    text = plain.replace(*SPELLINGS[what])
    assert text != plain
    assert request(proxy, "POST", CREATE + "bad", text)[0] == 403


def test_body_too_long_to_judge_is_refused(proxy: int, home: Path) -> None:
    padded = json.dumps(good(home) | {"Labels": {"x": "y" * 70_000}, "User": "0"})
    assert request(proxy, "POST", CREATE + "bad", padded)[0] == 413


def test_body_without_a_length_is_refused(proxy: int, home: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy, timeout=20)
    parts = iter([json.dumps(good(home)).encode()])
    connection.request("POST", "/containers/create", parts, encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/containers/x/exec"),
        ("POST", "/containers/x/kill"),
        ("GET", "/containers/x/attach/ws"),
        ("GET", "/containers/x/top"),
        ("GET", "/containers/x/stats"),
        ("GET", "/containers/x/changes"),
        ("POST", "/v1.23/containers/x/start"),
        ("POST", "/v1.40/containers/create?name=nightshift-x"),
        ("POST", "/v1.0/containers/x/start"),
        ("POST", "/v1.023/containers/x/start"),
        ("POST", "/v2.41/containers/x/start"),
        ("GET", '/containers/json?filters={"label":[]}&filters={}'),
        ("GET", '/containers/json?filters={"ancestor":["x"]}'),
        ("POST", "/v1.41/containers/create"),
        ("POST", "/v1.41/containers/create?name=postgres"),
        ("POST", "/v1.41/containers/create?name=nightshift-x&platform=linux"),
        ("PATCH", "/containers/json"),
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


# Whose container a request means.


@pytest.fixture
def foreign(docker_engine: Engine) -> Iterator[str]:
    """A running container of somebody else on the same engine, with a secret in its environment."""
    docker_engine.docker(
        "run", "--detach", "--name", "somebodys", "--network", "none", "--env", "PASSWORD=x1y2",
        "--label", "nightshift.home=another", IMAGE, "sleep", "60",
    )  # fmt: skip
    yield "somebodys"
    docker_engine.docker("rm", "--force", "somebodys")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/containers/{}/json"),
        ("GET", "/containers/{}/logs?stdout=1"),
        ("POST", "/v1.41/containers/{}/start"),
        ("POST", "/containers/{}/stop?t=0"),
        ("POST", "/containers/{}/wait"),
        ("DELETE", "/containers/{}?force=1"),
    ],
)
def test_other_peoples_containers_are_out_of_reach(
    proxy: int, docker_engine: Engine, foreign: str, method: str, path: str
) -> None:
    short = docker_engine.docker("inspect", "--format", "{{.Id}}", foreign).strip()[:12]
    for name in (foreign, short):
        status, answer = request(proxy, method, path.format(name))
        assert status == 403
        assert "x1y2" not in answer
    assert docker_engine.docker("inspect", "--format", "{{.State.Running}}", foreign) == "true\n"


def test_list_holds_our_own_containers_alone(
    proxy: int, home: Path, docker_engine: Engine, foreign: str
) -> None:
    assert request(proxy, "POST", CREATE + "listed", json.dumps(good(home)))[0] == 201
    try:
        for query in ("", "?all=1", '?all=1&filters={"label":["nightshift.home"]}'):
            status, answer = request(proxy, "GET", f"/v1.41/containers/json{query}")
            assert status == 200
            names = [name for item in json.loads(answer) for name in item["Names"]]
            assert names == (["/nightshift-listed"] if query else [])
    finally:
        docker_engine.docker("rm", "--force", "nightshift-listed")


# What a start brings with it, and what it finds.


@pytest.mark.parametrize("version", ["", "/v1.23", "/v1.40", "/v1.41"])
def test_start_with_a_host_configuration_is_refused(
    proxy: int, home: Path, docker_engine: Engine, version: str
) -> None:
    assert request(proxy, "POST", CREATE + "plain", json.dumps(good(home)))[0] == 201
    try:
        evil = json.dumps({"Privileged": True, "Binds": ["/:/host"]})
        path = f"{version}/containers/nightshift-plain/start"
        assert request(proxy, "POST", path, evil)[0] == 403
        inspect = docker_engine.docker("inspect", "nightshift-plain")
        assert json.loads(inspect)[0]["State"]["Status"] == "created"
    finally:
        docker_engine.docker("rm", "--force", "nightshift-plain")


def test_link_in_the_place_of_a_folder_is_not_mounted(
    proxy: int, home: Path, docker_engine: Engine
) -> None:
    day = home / "runs" / "2026-02-28"
    day.mkdir(exist_ok=True)
    (day / "linked").symlink_to("/var/run")
    body = good(home)
    run = str(day / "linked")
    body["HostConfig"]["Mounts"][1].update(Source=run, Target=run)
    status, answer = request(proxy, "POST", CREATE + "linked", json.dumps(body))
    assert status == 403
    assert "link" in answer

    # Nor a day's folder that is one, nor a file, nor what is not there
    (home / "runs" / "2026-02-27").symlink_to("2026-01-31")
    (day / "file").write_text("")
    for name in ("2026-02-27/0badcafe", "2026-02-28/file", "2026-02-28/absent"):
        run = str(home / "runs" / name)
        body["HostConfig"]["Mounts"][1].update(Source=run, Target=run)
        assert request(proxy, "POST", CREATE + "linked", json.dumps(body))[0] == 403


def test_folder_that_becomes_a_link_after_the_create_is_not_mounted(
    proxy: int, home: Path, docker_engine: Engine
) -> None:
    run = home / "runs" / "2026-03-01" / "swapped"
    run.mkdir(parents=True)
    body = good(home)
    body["HostConfig"]["Mounts"][1].update(Source=str(run), Target=str(run))
    assert request(proxy, "POST", CREATE + "swapped", json.dumps(body))[0] == 201
    try:
        run.rmdir()
        run.symlink_to("/var/run")
        status, answer = request(proxy, "POST", "/v1.41/containers/nightshift-swapped/start")
        assert status == 403, answer
        inspect = docker_engine.docker("inspect", "nightshift-swapped")
        assert json.loads(inspect)[0]["State"]["Status"] == "created"
    finally:
        docker_engine.docker("rm", "--force", "nightshift-swapped")


def test_a_folder_that_is_swapped_all_the_time_is_never_another_one(
    proxy: int, home: Path, docker_engine: Engine
) -> None:
    # Given somebody who swaps the run's folder for a link and back, as fast as can be
    run = home / "runs" / "2026-03-02" / "flickers"
    run.mkdir(parents=True)
    (run / "mine").touch()
    body = good(home)
    body["HostConfig"]["Mounts"][1].update(Source=str(run), Target=str(run))
    body["Cmd"] = ["python", "-c", f"import os; print(os.listdir({str(run)!r}))"]
    assert request(proxy, "POST", CREATE + "flickers", json.dumps(body))[0] == 201
    over = threading.Event()

    def swap() -> None:
        aside = run.with_name("aside")
        while not over.is_set():
            run.rename(aside)
            run.symlink_to("/etc")
            run.unlink()
            aside.rename(run)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(20):
            status, answer = request(proxy, "POST", "/v1.41/containers/nightshift-flickers/start")
            if status == 404:  # it was removed after a start
                status, _ = request(proxy, "POST", CREATE + "flickers", json.dumps(body))
                assert status in (201, 400, 403)  # the create may meet the link, or nothing
                continue
            # The engine fails where the folder is away at that moment
            assert status in (204, 304, 400, 403, 500), answer
    finally:
        over.set()
        thread.join()
    # What has run and was not removed has seen the folder itself
    listed = docker_engine.docker("ps", "--all", "--filter", "name=nightshift-flickers", "--quiet")
    if listed.strip():
        said = docker_engine.docker("logs", "nightshift-flickers")
        docker_engine.docker("rm", "--force", "nightshift-flickers")
        assert set(said.splitlines()) <= {"['mine']"}


def test_a_container_that_was_let_through_is_contained(
    proxy: int, home: Path, docker_engine: Engine
) -> None:
    # Given a task that tries the way out: the engine's socket, the network, the root
    run = home / "runs" / "2026-01-31" / "0badcafe"
    run.chmod(0o777)
    body = good(home)
    code = (
        "import os, socket\n"
        "print(os.getuid(), os.getgid(), os.getgroups())\n"
        "print(sorted(os.listdir('/sys/class/net')), socket.gethostbyname('localhost'))\n"
        "for path in ('/x', '/usr/x'):\n"
        "    try: open(path, 'w'); print('wrote', path)\n"
        "    except OSError as e: print(e.errno)\n"
        "print([l for l in open('/proc/self/status') if l.startswith(('CapEff', 'NoNewPrivs'))])\n"
    )
    body["Cmd"] = ["python", "-c", code]
    assert request(proxy, "POST", CREATE + "contained", json.dumps(body))[0] == 201
    try:
        assert request(proxy, "POST", "/containers/nightshift-contained/start")[0] == 204
        status, answer = request(proxy, "POST", "/containers/nightshift-contained/wait")
        assert (status, json.loads(answer)["StatusCode"]) == (200, 0)
        said = docker_engine.docker("logs", "nightshift-contained").splitlines()
        assert said[0] in ("10001 10001 [10001]", "10001 10001 []")
        assert said[1] == "['lo'] 127.0.0.1"  # training's processes find each other
        assert said[2:4] == ["30", "30"]  # EROFS
        assert "CapEff:\\t0000000000000000" in said[4]
        assert "NoNewPrivs:\\t1" in said[4]
    finally:
        docker_engine.docker("rm", "--force", "nightshift-contained")


# Odd HTTP.


def raw(port: int, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(text)
        with contextlib.suppress(ConnectionResetError):
            return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET /containers/x/json HTTP/1.1\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n", 403),
        (b"POST /containers/x/start HTTP/1.1\r\nConnection: keep-alive, upgrade\r\n\r\n", 403),
        (b"GET /_ping HTTP/1.0\r\n\r\n", 400),
        (b"GET http://x/_ping HTTP/1.1\r\n\r\n", 400),
        (b"GET  /_ping HTTP/1.1\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nA : b\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\nA: b\n\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: +1\r\n\r\na", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na", 413),
        (b"GET /_ping HTTP/1.1\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    ],
)
def test_oddly_written_requests_are_refused(proxy: int, text: bytes, status: int) -> None:
    assert raw(proxy, text).startswith(b"HTTP/1.1 %d " % status)


def test_a_second_request_in_the_bytes_of_the_first_is_not_heard(proxy: int) -> None:
    twice = b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n" * 2
    assert raw(proxy, twice).count(b"HTTP/1.1 ") == 1


def test_silent_clients_do_not_keep_others_out(proxy: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", proxy), timeout=30) for _ in range(100)]
    try:
        for connection in idle:
            connection.sendall(b"GET /_pi")
        assert request(proxy, "GET", "/_ping") == (200, "OK")
    finally:
        for connection in idle:
            connection.close()


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip
@given(text=bodies())
def test_whatever_body_the_engine_gets_makes_a_contained_container(
    proxy: int, home: Path, docker_engine: Engine, text: str
) -> None:
    filled = text.replace("@HOME@", str(home)).replace("@PROJECT@", str(PROJECT))
    filled = filled.replace("@IMAGE@", IMAGE).replace("@LABEL@", home_id(home))
    status, answer = request(proxy, "POST", CREATE + "fuzz", filled)
    assert status in (201, 400, 403, 413), answer
    if status != 201:
        return
    try:
        made = json.loads(docker_engine.docker("inspect", "nightshift-fuzz"))[0]
        host, config = made["HostConfig"], made["Config"]
        assert config["User"] == "10001:10001"
        assert config["Image"] == IMAGE
        assert config["Entrypoint"] is None and not config["Volumes"]
        assert host["NetworkMode"] == "none" and host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"]
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert host["Privileged"] is False and not host["Devices"] and not host["GroupAdd"]
        assert host["CgroupnsMode"] == "private"
        assert host["PidMode"] == "" and host["IpcMode"] == "private" and host["UTSMode"] == ""
        assert host["UsernsMode"] == "" and not host["Binds"] and not host["VolumesFrom"]
        assert not host["PortBindings"] and host["MaskedPaths"] and host["ReadonlyPaths"]
        assert 0 < host["Memory"] <= 8 << 30 and host["MemorySwap"] == host["Memory"]
        assert 0 < host["NanoCpus"] <= 2 * 10**9 and 0 < host["PidsLimit"] <= 4096
        writable = [m["Source"] for m in host["Mounts"] if not m.get("ReadOnly")]
        assert set(writable) <= {str(home / "runs" / "2026-01-31" / "0badcafe")}
        allowed = {str(home / n) for n in ("runs", "releases")} | {str(PROJECT / "include")}
        assert {m["Source"] for m in host["Mounts"]} <= allowed | set(writable)
        assert not any(Path(m["Source"]).is_symlink() for m in host["Mounts"])
    finally:
        docker_engine.docker("rm", "--force", "nightshift-fuzz")

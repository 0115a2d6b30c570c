"""docker/openmldb/start.sh on a stand-in installation: its `sbin` writes down what is called.

The real installation lives in an image that no registry here has; this holds the script's own
promises: deploy once, never over another installation's data, stop and fail as Docker expects.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from testing.engine import PROJECT
from tests.docker.production import free_port

PARTS = ("zk", "tablet", "nameserver", "apiserver", "taskmanager")
SCRIPT = PROJECT / "docker" / "openmldb" / "start.sh"


@dataclass
class Installation:
    home: Path
    data: Path
    port: int
    zk_port: int

    def pid(self, part: str) -> int:
        """The process that runs as a component now."""
        file = self.home / "bin" / f"{part}.pid"
        wait_for(lambda: file.exists() and file.read_text().strip())
        return int(file.read_text())

    def started_again(self, part: str, old: int) -> None:
        wait_for(lambda: self.pid(part) != old and Path(f"/proc/{self.pid(part)}").exists())

    def calls(self) -> list[str]:
        """What of the installation was called, without the components' own start scripts."""
        return [call for call in self.all_calls() if call not in PARTS and call != "started"]

    def all_calls(self) -> list[str]:
        path = self.home / "calls"
        return path.read_text().split() if path.exists() else []

    def running(self, **env: str) -> subprocess.Popen[str]:
        """Started, and being watched."""
        process = self.start(**env)
        wait_for(lambda: "started" in self.all_calls())
        time.sleep(0.5)
        return process

    def start(self, **env: str) -> subprocess.Popen[str]:
        values = {
            "PATH": os.environ["PATH"],
            "OPENMLDB_HOME": str(self.home),
            "OPENMLDB_DATA": str(self.data),
            "OPENMLDB_APISERVER_PORT": str(self.port),
            "OPENMLDB_ZK_PORT": str(self.zk_port),
            "OPENMLDB_CHECK_SECONDS": "0.2",
            # Far more than a server needs to start on a busy machine; tests of them set less.
            "OPENMLDB_FAILED_CHECKS": "600",
            "OPENMLDB_HUNG_CHECKS": "1000",
            "OPENMLDB_ANSWER_SECONDS": "0.5",
        }
        return subprocess.Popen(
            ["bash", str(SCRIPT)], env=values | env, stderr=subprocess.PIPE, text=True
        )

    def start_and_stop(self, **env: str) -> int:
        process = self.start(**env)
        wait_for(lambda: "started" in self.all_calls()[-1:])
        process.send_signal(signal.SIGTERM)
        code = process.wait(120)
        assert process.stderr is not None
        print(process.stderr.read())  # seen where a test fails
        return code


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    home, data, port, zk_port = tmp_path / "openmldb", tmp_path / "data", free_port(), free_port()
    for folder in ("sbin", "conf", "bin", "www", "tools"):
        (home / folder).mkdir(parents=True)
    data.mkdir()
    (home / "www" / "health").write_text("OK")
    (home / "conf" / "apiserver.flags").write_text("--role=apiserver\n--endpoint=localhost:9080\n")
    (home / "conf" / "openmldb-env.sh").write_text(
        "export OPENMLDB_ZK_CLUSTER=127.0.0.1:2181 OPENMLDB_ZK_ROOT_PATH=/openmldb\n"
    )
    (home / "tools" / "openmldb_ops.py").write_text(
        f"import sys; open({str(home / 'calls')!r}, 'a').write('recover ')\n"
        f"open({str(home / 'recovered')!r}, 'w').write(' '.join(sys.argv[1:]))\n"
    )
    servers = {
        "zk": f"{sys.executable} -m http.server {zk_port} --bind 127.0.0.1 --directory {home}/www",
        "tablet": "sleep 1000",
        "nameserver": "sleep 1000",
        "apiserver": f"{sys.executable} -m http.server {port} --bind 127.0.0.1 --directory {home}/www",
        "taskmanager": "sleep 1000",
    }
    wait_zk = (
        "for i in {1..200}; do "
        f"(exec 3<>/dev/tcp/127.0.0.1/{zk_port}) 2>/dev/null && break; sleep 0.05; done\n"
    )
    scripts = {
        "init.sh": "",
        "deploy-all.sh": f"echo deploy >>{home}/calls; mkdir -p {data}/tablet-1; touch {data}/tablet-1/db",
        "start-all.sh": f"echo start >>{home}/calls\n"
        + "".join(f"bash {home}/sbin/start-{part}s.sh\n" for part in servers)
        + f"echo started >>{home}/calls",
        "stop-all.sh": f"echo stop >>{home}/calls; kill $(cat {home}/bin/*.pid); rm {home}/bin/*.pid",
    } | {
        # As bin/start.sh: nothing where it runs, else a process and its number in bin/.
        f"start-{part}s.sh": f"echo {part} >>{home}/calls; pid={home}/bin/{part}.pid\n"
        f"if [[ -e {home}/broken-{part} ]]; then exit 1; fi\n"
        f"if kill -0 $(cat $pid) 2>/dev/null && [[ {part} != zk ]]; then exit 0; fi\n"
        f"({command} >/dev/null 2>&1 & echo $! >$pid)\n" + (wait_zk if part == "zk" else "")
        for part, command in servers.items()
    }
    for name, text in scripts.items():
        (home / "sbin" / name).write_text(text + "\n")
    return Installation(home, data, port, zk_port)


def wait_for(condition: object, timeout_s: float = 120) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_deploys_once_and_starts_every_time(installation: Installation) -> None:
    assert installation.start_and_stop() == 0
    assert installation.start_and_stop() == 0
    assert installation.calls() == ["deploy", "start", "stop", "start", "stop"]


def test_api_server_is_bound_for_other_containers(installation: Installation) -> None:
    installation.start_and_stop()
    flags = (installation.home / "conf" / "apiserver.flags").read_text()
    assert flags == f"--role=apiserver\n--endpoint=0.0.0.0:{installation.port}\n"


def test_template_of_the_flags_is_set_too(installation: Installation) -> None:
    flags = installation.home / "conf" / "apiserver.flags"
    template = flags.rename(flags.with_suffix(".flags.template"))
    installation.start_and_stop()
    assert f"--endpoint=0.0.0.0:{installation.port}\n" in template.read_text()


def test_what_is_no_installation_is_named(installation: Installation) -> None:
    (installation.home / "conf" / "apiserver.flags").unlink()
    process = installation.start()
    assert process.wait(120) == 1
    assert process.stderr is not None and str(installation.home) in process.stderr.read()


def test_what_it_writes_belongs_to_the_group(installation: Installation) -> None:
    installation.start_and_stop()
    assert (installation.data / "tablet-1" / "db").stat().st_mode & 0o777 == 0o664


def test_process_ids_of_before_a_restart_are_forgotten(installation: Installation) -> None:
    installation.start_and_stop()
    for folder in (installation.home / "bin", installation.data / "tablet-1"):
        (folder / "tablet.pid").write_text("1")
    installation.start_and_stop()
    assert not list(installation.home.rglob("*.pid")) + list(installation.data.rglob("*.pid"))


def test_data_of_another_installation_is_not_deployed_over(installation: Installation) -> None:
    (installation.data / "tablet-1").mkdir()
    process = installation.start()
    assert process.wait(120) == 1
    assert process.stderr is not None and "OPENMLDB_REDEPLOY=yes" in process.stderr.read()
    assert installation.calls() == []

    assert installation.start_and_stop(OPENMLDB_REDEPLOY="yes") == 0
    assert installation.calls() == ["deploy", "start", "stop"]


def end(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0
    assert process.stderr is not None
    return process.stderr.read()


@pytest.mark.parametrize("part", PARTS)
def test_component_that_dies_is_started_again_within_seconds(
    installation: Installation, part: str
) -> None:
    process = installation.running()
    others = {name: installation.pid(name) for name in PARTS if name != part}
    old = installation.pid(part)
    os.kill(old, signal.SIGKILL)
    installation.started_again(part, old)
    # The others are left alone, and a tablet's data is recovered
    assert {name: installation.pid(name) for name in others} == others
    if part == "tablet":
        wait_for(lambda: "recover" in installation.calls())
        said = (installation.home / "recovered").read_text()
        assert "--cmd=recoverdata" in said
        assert "--zk_cluster=127.0.0.1:2181" in said
    else:
        assert "recover" not in installation.calls()
    assert "starting it again" in end(process)
    assert installation.calls()[-1] == "stop"


def test_api_server_that_lives_and_does_not_answer_is_replaced(installation: Installation) -> None:
    process = installation.running(OPENMLDB_HUNG_CHECKS="10")
    old = installation.pid("apiserver")
    os.kill(old, signal.SIGSTOP)
    installation.started_again("apiserver", old)
    assert "does not answer" in end(process)


def test_component_that_does_not_stay_up_ends_the_container_with_an_error(
    installation: Installation,
) -> None:
    process = installation.running(OPENMLDB_RESTARTS="3")
    (installation.home / "broken-nameserver").touch()
    os.kill(installation.pid("nameserver"), signal.SIGKILL)
    assert process.wait(120) == 1
    assert process.stderr is not None and "does not stay up" in process.stderr.read()
    assert installation.calls()[-1] == "stop"
    assert installation.all_calls().count("nameserver") == 1 + 3


def test_text_times_have_openmldbs_zone_and_taskmanagers_port_is_closed(
    installation: Installation,
) -> None:
    properties = installation.home / "conf" / "taskmanager.properties"
    properties.write_text("job.log.path=./logs\nspark.default.conf=spark.executor.cores=2\n")
    template = properties.with_suffix(".properties.template")
    template.write_text("spark.default.conf=\n")
    tools = installation.home / "tools"
    (tools / "iptables").write_text(
        f'#!/bin/sh\necho "$@" >>{installation.home}/rules\n[ "$1" = -I ]\n'
    )
    (tools / "iptables").chmod(0o755)
    for _ in range(2):
        assert installation.start_and_stop(PATH=f"{tools}:{os.environ['PATH']}") == 0
    zone = "spark.sql.session.timeZone=+08:00"
    assert properties.read_text() == (
        f"job.log.path=./logs\nspark.default.conf=spark.executor.cores=2;{zone}\n"
    )
    assert template.read_text().split() == [f"spark.default.conf={zone}"]
    rules = (installation.home / "rules").read_text().splitlines()
    assert rules[1] == "-I INPUT -p tcp --dport 9902 ! -i lo -j DROP"


def test_silent_api_server_ends_the_container_with_an_error(installation: Installation) -> None:
    # As where another program has its port: it runs, and what answers is not OK
    (installation.home / "www" / "health").write_text("no")
    process = installation.start(OPENMLDB_FAILED_CHECKS="15")
    assert process.wait(120) == 1
    assert process.stderr is not None and "no answer" in process.stderr.read()
    assert installation.calls()[-1] == "stop"

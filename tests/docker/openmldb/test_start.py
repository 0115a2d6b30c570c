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

from tests.docker.engine import PROJECT
from tests.docker.production import free_port

SCRIPT = PROJECT / "docker" / "openmldb" / "start.sh"


@dataclass
class Installation:
    home: Path
    data: Path
    port: int

    def calls(self) -> list[str]:
        path = self.home / "calls"
        return path.read_text().split() if path.exists() else []

    def start(self, **env: str) -> subprocess.Popen[str]:
        values = {
            "PATH": os.environ["PATH"],
            "OPENMLDB_HOME": str(self.home),
            "OPENMLDB_DATA": str(self.data),
            "OPENMLDB_APISERVER_PORT": str(self.port),
            "OPENMLDB_CHECK_SECONDS": "0.2",
            "OPENMLDB_FAILED_CHECKS": "15",
        }
        return subprocess.Popen(
            ["bash", str(SCRIPT)], env=values | env, stderr=subprocess.PIPE, text=True
        )

    def start_and_stop(self, **env: str) -> int:
        process = self.start(**env)
        wait_for(lambda: "start" in self.calls()[-1:])
        process.send_signal(signal.SIGTERM)
        return process.wait(20)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    home, data, port = tmp_path / "openmldb", tmp_path / "data", free_port()
    for folder in ("sbin", "conf", "bin", "www"):
        (home / folder).mkdir(parents=True)
    data.mkdir()
    (home / "www" / "health").write_text("OK")
    (home / "conf" / "apiserver.flags").write_text("--role=apiserver\n--endpoint=localhost:9080\n")
    server = f"{sys.executable} -m http.server {port} --bind 127.0.0.1 --directory {home}/www"
    scripts = {
        "deploy-all.sh": f"echo deploy >>{home}/calls; mkdir -p {data}/tablet-1; touch {data}/tablet-1/db",
        "start-all.sh": f"echo start >>{home}/calls; {server} >/dev/null 2>&1 & echo $! >{home}/server",
        "stop-all.sh": f"echo stop >>{home}/calls; kill $(cat {home}/server); rm {home}/server",
    }
    for name, text in scripts.items():
        (home / "sbin" / name).write_text(text + "\n")
    return Installation(home, data, port)


def wait_for(condition: object, timeout_s: float = 20) -> None:
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
    assert process.wait(20) == 1
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
    assert process.wait(20) == 1
    assert process.stderr is not None and "OPENMLDB_REDEPLOY=yes" in process.stderr.read()
    assert installation.calls() == []

    assert installation.start_and_stop(OPENMLDB_REDEPLOY="yes") == 0
    assert installation.calls() == ["deploy", "start", "stop"]


def test_silent_api_server_ends_the_container_with_an_error(installation: Installation) -> None:
    process = installation.start()
    wait_for(lambda: (installation.home / "server").exists())
    os.kill(int((installation.home / "server").read_text()), signal.SIGKILL)
    assert process.wait(30) == 1
    assert installation.calls()[-1] == "stop"

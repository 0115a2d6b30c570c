"""Spark and OpenMLDB's batch engine for the tests, and a standalone cluster of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from laptop.setup import spark
from nightshift.errors import ServiceUnavailable
from nightshift.settings import Settings
from testing.embedded import free_port

ROOT = Path(__file__).resolve().parents[1]


def settings(**more: str) -> dict[str, str]:
    """The engine's settings on this machine; skips where its parts cannot be fetched."""
    try:
        spark.ensure(ROOT, Settings.from_env().maven_url)
    except ServiceUnavailable as error:
        pytest.skip(f"no Spark engine: {error}")
    return {
        **spark.default_properties(ROOT),
        "spark.master": "local[2]",
        "spark.driver.memory": "1g",
        "spark.sql.shuffle.partitions": "8",
        **more,
    }


def arguments(values: dict[str, str]) -> list[str]:
    """The embedded server's command line for these settings."""
    found = ["--offline-engine", "spark"]
    for name, value in values.items():
        found += ["--taskmanager", f"{name}={value}"]
    return found


class Cluster:
    """A standalone cluster: a master and two workers of a core each, on the loopback."""

    def __init__(self, folder: Path) -> None:
        values = settings()
        self._home = Path(values["spark.home"])
        self._env = {
            **os.environ,
            "JAVA_HOME": values["java.home"],
            "SPARK_HOME": str(self._home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
        }
        self.folder = folder
        self.port = free_port()
        self.url = f"spark://127.0.0.1:{self.port}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._run("master.Master", "--host", "127.0.0.1", "--port", str(self.port))
        self._wait(0, "I have been elected leader")
        for _ in range(2):
            self._run("worker.Worker", "-c", "1", "-m", "1200m", self.url)
        for number in (1, 2):
            self._wait(number, "Successfully registered")

    def _run(self, name: str, *given: str) -> None:
        number = len(self.processes)
        work = self.folder / str(number)
        work.mkdir(parents=True)
        more = ["--webui-port", "0"]
        if name.startswith("worker"):
            more += ["--host", "127.0.0.1", "--work-dir", str(work)]
        command = [str(self._home / "bin/spark-class"), f"org.apache.spark.deploy.{name}"]
        with (self.folder / f"{number}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    [*command, *more, *given],
                    env=self._env,
                    cwd=work,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def log(self, number: int) -> str:
        """What a process wrote."""
        return (self.folder / f"{number}.log").read_text()

    def _wait(self, number: int, text: str) -> None:
        deadline = time.monotonic() + 180
        while text not in self.log(number):
            assert self.processes[number].poll() is None, self.log(number)
            assert time.monotonic() < deadline, self.log(number)
            time.sleep(0.05)

    def executors(self, number: int) -> list[str]:
        """The executors that a worker launched."""
        return re.findall(r"Asked to launch executor (\S+)", self.log(number))

    def kill_worker(self, number: int) -> None:
        """Kill a worker and its executor at once."""
        os.killpg(self.processes[number].pid, signal.SIGKILL)
        self.processes[number].wait()

    def end(self) -> None:
        """End all of it."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

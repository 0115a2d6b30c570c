"""The production profile on the tests' engine: write its `.env`, bring it up, look, take it down."""

from __future__ import annotations

import json
import resource
import secrets
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testing.engine import PROJECT, Engine
from testing.serving import free_ports

COMPOSE = "/usr/bin/docker-compose"
EXAMPLE = PROJECT / ".env.example"
UID = 10001
OPTIONAL = ("NIGHTSHIFT_NOTIFY_FILE", "NIGHTSHIFT_HEARTBEAT_URL")
"""What `.env.example` leaves empty because nothing is a good value, too."""


def free_port() -> int:
    """A port of the loopback that nothing listens on just now."""
    return free_ports(1)[0]


def example_env(**values: str) -> str:
    """`.env.example` as a person fills it in: every secret gets a value."""
    lines = []
    for line in EXAMPLE.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            default = value if value or name in OPTIONAL else secrets.token_hex(32)
            line = f"{name}={values.get(name, default)}"
        lines.append(line)
    return "\n".join(lines) + "\n"


@dataclass
class Production:
    """One Compose project of docker-compose.yaml and compose.test.yaml."""

    engine: Engine
    home: Path
    folder: Path
    name: str = "nightshift-test"
    airflow_port: int = field(default_factory=free_port)
    predict_port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(12))

    def __post_init__(self) -> None:
        self.env_file.write_text(
            example_env(
                NIGHTSHIFT_PROJECT=str(PROJECT),
                NIGHTSHIFT_HOME=str(self.home),
                NIGHTSHIFT_AIRFLOW_PORT=str(self.airflow_port),
                NIGHTSHIFT_PREDICT_PORT=str(self.predict_port),
                NIGHTSHIFT_AIRFLOW_PASSWORD=self.password,
                AIRFLOW_FERNET_KEY="cFJ0VHlLcXZ3b1N5cUtUbWJ1Z0xwN3pYQ2RrS2R3aFk=",
                DOCKER_SOCKET=str(self.engine.socket),
                DOCKER_GID=str(self.engine.socket.stat().st_gid),
                OPENMLDB_MEMORY="3g",
                OPENMLDB_CPUS="2",
                OPENMLDB_NOFILE=str(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
                NIGHTSHIFT_TASK_MEMORY="4g",
                NIGHTSHIFT_SCHEDULES="off",
                NIGHTSHIFT_RETIRE_GRACE_S="1",
                AIRFLOW_PARALLELISM="4",
                AIRFLOW_API_WORKERS="1",
            )
        )

    @property
    def env_file(self) -> Path:
        """The `.env` of this project."""
        return self.folder / "env"

    def compose(self, *arguments: str, timeout: float = 900) -> str:
        """Run docker-compose on the project and return its output."""
        command = [COMPOSE, "--project-name", self.name, "--env-file", str(self.env_file)]
        command += ["--project-directory", str(PROJECT), "--ansi", "never"]
        for file in ("docker-compose.yaml", "tests/docker/compose.test.yaml"):
            command += ["--file", str(PROJECT / file)]
        done = subprocess.run(
            [*command, *arguments],
            env=self.engine.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"compose {' '.join(arguments)}: {(done.stdout + done.stderr)[-4000:]}"
            )
        return done.stdout

    def up(self, *services: str) -> None:
        """Start the services and what they depend on; conditions of health are Compose's."""
        self.compose("up", "--detach", "--no-build", *services)

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")

    def inspect(self, service: str) -> dict[str, Any]:
        """The engine's description of a service's container."""
        found: list[dict[str, Any]] = json.loads(
            self.engine.docker("inspect", f"{self.name}_{service}_1")
        )
        return found[0]

    def health(self, service: str) -> str:
        """`starting`, `healthy` or `unhealthy`."""
        return str(self.inspect(service)["State"]["Health"]["Status"])

    def wait_healthy(self, *services: str, timeout_s: float = 240) -> None:
        """Wait until each service is healthy.

        Raises:
            TimeoutError: with the end of the service's log.
        """
        deadline = time.monotonic() + timeout_s
        for service in services:
            while (state := self.health(service)) != "healthy":
                if time.monotonic() > deadline:
                    log = self.compose("logs", "--tail", "60", service)
                    raise TimeoutError(f"{service} is {state}; its log ends:\n{log}")
                time.sleep(1)

"""Tasks as containers on a Docker engine.

The provider's DockerHook makes the connection (URL, TLS, registry login). Its DockerOperator's own
run is not used: it cannot find a container again, keeps every log line in memory, turns `cpus`
into a share instead of a limit, and has no read-only root.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nightshift.errors import ConfigurationError, ServiceUnavailable
from nightshift_provider.runners.base import (
    ENDED_S,
    GRACE_S,
    LogChunk,
    Phase,
    Runner,
    Status,
    TaskSpec,
    home_id,
    leftover,
)

if TYPE_CHECKING:
    from docker import APIClient
    from nightshift.settings import Settings

LABEL = "nightshift."
UNKNOWN_EXIT = 255
"""What an engine says of a container that ended while the engine was down."""
PIDS_LIMIT = 4096
TMP_SIZE = "1g"
SHM_BYTES = 256 * 1024 * 1024
LOG_FILES = {"max-size": "32m", "max-file": "2"}
_API_TIMEOUT_S = 60
_PARTS_AWAY = (
    "containerd.sock",
    "connection refused",
    "connection reset",
    "transport is closing",
    "ttrpc: closed",
    "context canceled",
    "shim disconnected",
    "code = unavailable",
)
"""What an engine says, in lower case, whose containerd or shim has just ended or begins."""

_FRACTION = re.compile(r"\.(\d+)Z?$")


class DockerRunner(Runner):
    """One container per task, found again by its deterministic name.

    Args:
        url: of the engine, e.g. `unix:///var/run/docker.sock` or `tcp://socket-proxy:2375`.
        conn_id: an Airflow connection of type `docker`, for a private registry.
    """

    def __init__(self, url: str, conn_id: str | None = None) -> None:
        self.where = f"the Docker engine at {url}"
        self._url = url
        self._conn_id = conn_id
        self._client: APIClient | None = None

    @classmethod
    def connect(cls, url: str, conn_id: str | None) -> DockerRunner:
        """A runner of the engine at `url`."""
        return cls(url, conn_id)

    @classmethod
    def reap(cls, settings: Settings, now: float, sparing: str) -> list[str]:
        """Remove containers of this home that ended long ago or are past their deadline."""
        runner = cls(settings.docker_url)
        gone = []
        for container in runner.containers(home_id(settings.home)):
            labels = container.get("Labels") or {}
            name = labels.get(LABEL + "name", "")
            if not name or name == sparing:
                continue
            running = container.get("State") in ("running", "restarting", "paused")
            try:
                deadline = float(labels.get(LABEL + "deadline", ""))
            except ValueError:
                deadline = float(container["Created"]) + ENDED_S
            since_creation = now - float(container["Created"])
            if (running and now > deadline + GRACE_S) or (
                not running and since_creation > ENDED_S and now > deadline
            ):
                runner.remove(leftover(settings, name))
                gone.append(name)
        return gone

    def fresh(self) -> DockerRunner:
        """A runner with connections of its own."""
        return DockerRunner(self._url, None)

    @property
    def api(self) -> APIClient:
        """The engine's API.

        Raises:
            ServiceUnavailable: it does not answer.
        """
        if self._client is None:
            from airflow.providers.docker.hooks.docker import DockerHook

            with self._errors("connect"):
                self._client = DockerHook(
                    docker_conn_id=self._conn_id,
                    base_url=self._url,
                    version="auto",
                    timeout=_API_TIMEOUT_S,
                ).api_client
        return self._client

    def status(self, spec: TaskSpec) -> Status:
        """Inspect the container of that name."""
        found = self._inspect(spec.name)
        if found is None:
            return Status(Phase.ABSENT)
        state, labels = found["State"], found["Config"].get("Labels") or {}
        known: dict[str, Any] = {
            "generation": _int(labels.get(LABEL + "generation")),
            "deadline": _float(labels.get(LABEL + "deadline")),
        }
        if state["Status"] == "created":
            return Status(Phase.CREATED, **known)
        if state["Status"] in ("exited", "dead"):
            oom = bool(state.get("OOMKilled"))
            detail = state.get("Error") or ""
            code: int | None = int(state["ExitCode"])
            if code == UNKNOWN_EXIT:
                code, detail = None, detail or "its engine does not know how it ended"
            return Status(Phase.EXITED, code, **known, detail=detail, out_of_memory=oom)
        return Status(Phase.RUNNING, **known)

    def start(self, spec: TaskSpec) -> None:
        """Create the container, unless its name is taken, and start it.

        An engine that was killed while it started a container may refuse to start that one again:
        it is made anew then, once.
        """
        from docker.errors import APIError

        Path(spec.state_dir).mkdir(parents=True, exist_ok=True)
        (Path(spec.state_dir) / "log_position.json").unlink(missing_ok=True)
        give_to_user(spec)
        found = self._make(spec)
        for again in (found, False):
            with self._errors(f"start container {spec.name}"):
                try:
                    self.api.start(spec.name)
                    return
                except APIError as error:
                    if error.status_code == 404:
                        raise ServiceUnavailable(
                            f"container {spec.name} vanished before it started"
                        ) from error
                    self.remove(spec)
                    text = f"{self.where} cannot start {spec.image}: {error.explanation or error}"
                    if _is_passing(text):
                        raise ServiceUnavailable(text) from error
                    if not again:
                        raise ConfigurationError(text) from error
            Path(spec.state_dir).mkdir(parents=True, exist_ok=True)
            self._make(spec)

    def _make(self, spec: TaskSpec) -> bool:
        """Create the container; whether there was one of its name, which stays."""
        from docker.errors import APIError, ImageNotFound

        with self._errors(f"create container {spec.name}"):
            try:
                self._create(spec)
            except ImageNotFound:
                self._pull(spec)
                self._create(spec)
            except APIError as error:
                if error.status_code != 409:
                    raise
                return True
        return False

    def _create(self, spec: TaskSpec) -> None:
        from docker.types import DeviceRequest, LogConfig, Mount

        mounts = [
            Mount(target=path, source=path, type="bind", read_only=read_only)
            for paths, read_only in ((spec.readable, True), (spec.writable, False))
            for path in paths
        ]
        devices = None
        if spec.device == "cuda":
            devices = [DeviceRequest(count=1, capabilities=[["gpu"]])]
        host = self.api.create_host_config(
            mounts=mounts,
            network_mode="none",
            nano_cpus=int(spec.cpus * 1e9),
            mem_limit=spec.memory,
            memswap_limit=spec.memory,
            pids_limit=PIDS_LIMIT,
            shm_size=SHM_BYTES,
            read_only=True,
            tmpfs={"/tmp": f"rw,nosuid,nodev,size={TMP_SIZE},mode=1777"},  # noqa: S108
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            init=True,
            log_config=LogConfig(type=LogConfig.types.JSON, config=LOG_FILES),
            device_requests=devices,
        )
        labels = {
            **spec.labels,
            "generation": str(spec.generation),
            "deadline": f"{spec.deadline:.3f}",
            "name": spec.name,
        }
        self.api.create_container(
            image=spec.image,
            command=spec.command,
            name=spec.name,
            environment={"HOME": "/tmp", **spec.environment},  # noqa: S108
            user=spec.user,
            labels={LABEL + name: value for name, value in labels.items()},
            host_config=host,
            stop_signal="SIGTERM",
        )

    def _pull(self, spec: TaskSpec) -> None:
        from docker.errors import APIError, NotFound

        repository, _, tag = spec.image.rpartition(":")
        if not repository or "/" in tag:
            repository, tag = spec.image, "latest"
        try:
            self.api.pull(repository, tag=tag)
        except (APIError, NotFound) as error:
            raise ConfigurationError(
                f"image {spec.image} is not on {self.where} and cannot be pulled: "
                f"{error.explanation or error}; build it (docs/operators.md) or name another "
                f"with NIGHTSHIFT_TASK_IMAGE_{spec.labels.get('task', '').upper()}"
            ) from error

    def stop(self, spec: TaskSpec) -> None:
        """`docker stop` with the task's grace; nothing to do where there is none."""
        from docker.errors import APIError, NotFound

        with self._errors(f"stop container {spec.name}"), contextlib.suppress(NotFound):
            try:
                grace = max(1, int(spec.stop_grace_s))
                self.api.stop(spec.name, timeout=grace)
            except APIError as error:
                if error.status_code != 304:
                    raise

    def remove(self, spec: TaskSpec) -> None:
        """`docker rm --force --volumes`, and the state folder."""
        from docker.errors import APIError, NotFound

        with self._errors(f"remove container {spec.name}"), contextlib.suppress(NotFound):
            try:
                self.api.remove_container(spec.name, force=True, v=True)
            except APIError as error:
                if error.status_code != 409:  # a removal is already under way
                    raise
        deadline = time.monotonic() + 30.0
        while self._inspect(spec.name) is not None and time.monotonic() < deadline:
            time.sleep(0.2)
        shutil.rmtree(spec.state_dir, ignore_errors=True)

    def read_log(self, spec: TaskSpec, position: str, max_bytes: int) -> LogChunk:
        """Lines after a timestamp of the engine."""
        entries, whole = self._log(spec.name, position, "all", max_bytes)
        if not whole:
            entries, _ = self._log(spec.name, position, 1000, 4 * max_bytes)
        if not entries:
            return LogChunk([], position)
        return LogChunk([line for _, line in entries], entries[-1][0], not whole)

    def log_tail(self, spec: TaskSpec, lines: int) -> list[str]:
        """The last lines."""
        return [line for _, line in self._log(spec.name, "", lines, 1 << 20)[0]]

    def _log(
        self, name: str, position: str, lines: int | Literal["all"], max_bytes: int
    ) -> tuple[list[tuple[str, str]], bool]:
        """(timestamp, line) of each log entry; False if `max_bytes` cut it short."""
        from docker.errors import NotFound

        entries: list[tuple[str, str]] = []
        size = 0
        since = _seconds(position) if position else None
        with self._errors(f"read the log of {name}"), contextlib.suppress(NotFound):
            stream = self.api.logs(
                name, stdout=True, stderr=True, stream=True, follow=False, timestamps=True,
                tail=lines, since=since,
            )  # fmt: skip
            with contextlib.closing(stream):
                for raw in stream:
                    when, _, line = raw.decode(errors="replace").rstrip("\n").partition(" ")
                    if when <= position:
                        continue
                    size += len(raw)
                    if size > max_bytes:
                        return entries, False
                    entries.append((when, line))
        return entries, True

    def containers(self, home: str) -> list[dict[str, Any]]:
        """All containers that Nightshift started for one home folder, ended ones too."""
        with self._errors("list containers"):
            label = f"{LABEL}home={home}"
            return list(self.api.containers(all=True, filters={"label": label}))

    def _inspect(self, name: str) -> dict[str, Any] | None:
        from docker.errors import NotFound

        with self._errors(f"inspect container {name}"):
            try:
                return dict(self.api.inspect_container(name))
            except NotFound:
                return None

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        from airflow.sdk.exceptions import AirflowException
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except APIError as error:
            text = f"{self.where} refused to {action}: {error.explanation or error}"
            if error.status_code is not None and error.status_code < 500:
                raise ConfigurationError(text) from error
            raise ServiceUnavailable(text) from error
        except (AirflowException, DockerException, RequestException, HTTPError) as error:
            self._client = None
            raise ServiceUnavailable(
                f"{self.where} did not answer ({action}): {error}; is it running?"
            ) from error


def give_to_user(spec: TaskSpec) -> None:
    """Let the container's user write where it must, when this worker is root."""
    if os.geteuid() != 0:
        return
    uid, _, gid = spec.user.partition(":")
    if not uid.isdigit() or not gid.isdigit() or int(uid) == 0:
        return
    for root in spec.writable:
        for folder, _, names in os.walk(root):
            os.chown(folder, int(uid), int(gid))
            for name in names:
                os.chown(os.path.join(folder, name), int(uid), int(gid), follow_symlinks=False)  # noqa: PTH118


def _is_passing(text: str) -> bool:
    """Whether a refusal to start tells of the engine's own parts, which come and go."""
    return any(word in text.lower() for word in _PARTS_AWAY)


def _seconds(position: str) -> float:
    """Just before an engine's timestamp (nanoseconds, more than a float holds)."""
    whole = datetime.fromisoformat(_FRACTION.sub("", position.rstrip("Z")) + "+00:00")
    fraction = _FRACTION.search(position)
    return whole.timestamp() + (float("0." + fraction[1]) if fraction else 0.0) - 1e-5


def _int(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _float(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


TaskRunner = DockerRunner

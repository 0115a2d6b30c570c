"""A Docker engine of the tests' own: private socket, private data, gone when they end.

No image registry is needed: `images.py` makes the base images. The engine's data folder is
`.cache/docker` in the project, so a second run finds its images and build cache again; only one
engine at a time may use it, and a lock sees to that.

By hand: `python -m testing.engine COMMAND...` runs a command with `DOCKER_HOST` set to such
an engine, with the task images built.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from testing import debian

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("docker.io", "docker-compose", "debootstrap", "iptables")
DOCKER = "/usr/bin/docker"  # Debian's 20.10: builds with BuildKit and needs no buildx plugin
STOP_S = 60.0


class EngineUnavailable(Exception):
    """No engine can be had on this machine; the message says why."""


def install_packages() -> None:
    """Install Debian's engine where it is missing.

    Raises:
        EngineUnavailable: not root, or not a Debian with these packages.
    """
    if os.geteuid() != 0:
        raise EngineUnavailable("starting a Docker engine needs root")
    tools = ("/usr/sbin/dockerd", DOCKER, "/usr/bin/docker-compose", "/usr/sbin/debootstrap")
    try:
        debian.ensure(*PACKAGES, tools=tools)
    except debian.PackagesUnavailable as error:
        raise EngineUnavailable(f"no Docker engine here; {error}") from error


@dataclass
class Engine:
    """One dockerd with its containerd; `start` and `stop`, or use it in a `with` statement."""

    data_root: Path
    _process: subprocess.Popen[bytes] | None = None
    _lock: IO[str] | None = None
    _run: Path = field(init=False)

    def __post_init__(self) -> None:
        # A Unix socket's path may have 107 characters, so sockets do not live in the data folder.
        token = hashlib.sha256(str(self.data_root).encode()).hexdigest()[:10]
        self._run = Path("/tmp") / f"nightshift-docker-{token}"

    @property
    def url(self) -> str:
        """What `DOCKER_HOST` and `NIGHTSHIFT_DOCKER_URL` want."""
        return f"unix://{self.socket}"

    @property
    def socket(self) -> Path:
        """The engine's socket."""
        return self._run / "docker.sock"

    @property
    def log(self) -> Path:
        """What dockerd said."""
        return self.data_root.parent / "dockerd.log"

    @property
    def pid(self) -> int:
        """dockerd's process id."""
        if self._process is None:
            raise EngineUnavailable("the engine is not running")
        return self._process.pid

    @property
    def env(self) -> dict[str, str]:
        """An environment in which docker and docker-compose use this engine."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER", "COMPOSE"))}
        return inherited | {
            "DOCKER_HOST": self.url,
            "DOCKER_BUILDKIT": "1",
            "DOCKER_CONFIG": str(self._run / "config"),  # no credentials of the person's
        }

    def start(self) -> None:
        """Start dockerd and wait until it answers.

        Raises:
            EngineUnavailable: it ended or did not answer; the message holds its log's end.
        """
        install_packages()
        self.data_root.mkdir(parents=True, exist_ok=True)
        self._lock = (self.data_root.parent / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._sweep()  # the lock is ours: whatever still runs here was left by a killed run
        self._run.mkdir(mode=0o700, exist_ok=True)
        self._launch()
        stale = self.docker("ps", "--all", "--quiet").split()
        if stale:
            self.docker("rm", "--force", "--volumes", *stale)
        self.docker("network", "prune", "--force")
        # Images that a newer build took the name of, and cache that nobody asked for in a week.
        self.docker("image", "prune", "--force")
        self.docker("builder", "prune", "--force", "--filter", "until=168h")

    def _launch(self) -> None:
        command = ["/usr/sbin/dockerd", "--host", self.url]
        command += ["--data-root", str(self.data_root), "--exec-root", str(self._run / "exec")]
        command += ["--pidfile", str(self._run / "pid"), "--config-file", str(self._run / "none")]
        # No NAT and no default bridge: the host's network stays untouched. Containers of one
        # network reach each other, published ports go through the userland proxy, and a build
        # that needs a registry uses the host's network.
        command += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        command += ["--ip-forward=false", "--ip-masq=false"]
        (self._run / "none").write_text("{}")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 180
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-1500:]
                self.stop()
                raise EngineUnavailable(f"dockerd did not start; the end of {self.log}:\n{tail}")
            time.sleep(0.1)

    def answers(self) -> bool:
        """Whether the engine answers on its socket."""
        done = subprocess.run(
            [DOCKER, "version", "--format", "{{.Server.Version}}"],
            env=self.env,
            capture_output=True,
            check=False,
            timeout=30,
        )
        return done.returncode == 0

    def kill(self) -> None:
        """SIGKILL the engine and its containerd, as a crash of the host's engine would."""
        os.killpg(self.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_S)

    def restart(self) -> None:
        """Start it again on the same socket and data after `kill`."""
        (self._run / "pid").unlink(missing_ok=True)
        # Where nothing reaps orphans the killed containerd stays as a zombie, and dockerd would
        # wait for it to answer.
        (self._run / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)
        self._launch()

    def stop(self) -> None:
        """Stop dockerd, its containers and whatever else runs below its folders."""
        if self._process is not None and self._process.poll() is None:
            # Else it waits for each container's answer to SIGTERM.
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                if running := self.docker("ps", "--quiet", timeout=30).split():
                    self.docker("kill", *running, timeout=30)
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        self._process = None
        self._sweep()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _sweep(self) -> None:
        for _ in range(50):
            pids = self.processes()
            if not pids:
                break
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        for mount in sorted(self.mounts(), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
        shutil.rmtree(self._run, ignore_errors=True)

    def mounts(self) -> list[str]:
        """What is mounted below the engine's folders, and its data folder, which it mounts too."""
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        below = (f"{self._run}/", f"{self.data_root}/")
        return [m for m in mounts if m == str(self.data_root) or m.startswith(below)]

    def processes(self) -> list[int]:
        """Process ids of this engine, its containerd, shims and port proxies."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    command = (entry / "cmdline").read_bytes()
                    engine = command.partition(b"\0")[0].rpartition(b"/")[2]
                    ours = str(self._run).encode() in command
                    if ours and engine.startswith((b"dockerd", b"containerd", b"docker-proxy")):
                        found.append(int(entry.name))
        return found

    def docker(self, *arguments: str, timeout: float = 1800) -> str:
        """Run Debian's `docker` against this engine and return its output."""
        done = subprocess.run(
            [DOCKER, *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if done.returncode != 0:
            end = (done.stdout + done.stderr)[-3000:]
            raise RuntimeError(f"docker {' '.join(arguments)} failed:\n{end}")
        return done.stdout

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def default_data_root() -> Path:
    """Where images and build cache are kept between runs."""
    return PROJECT / ".cache" / "docker" / "data"


_shared: list[Engine] = []
_users = 0


@contextlib.contextmanager
def running() -> Iterator[Engine]:
    """An engine on the project's own cache: one in a process, for as long as anybody uses it.

    Raises:
        EngineUnavailable: none can be had here.
    """
    global _users
    if not _shared:
        engine = Engine(default_data_root())
        engine.start()
        _shared.append(engine)
    _users += 1
    try:
        yield _shared[0]
    finally:
        _users -= 1
        if _users == 0:
            _shared.pop().stop()


def main(command: list[str]) -> int:
    """Run a command with an engine and the task images at its disposal."""
    from testing import images

    with running() as engine:
        images.build_tasks(engine)
        env = engine.env | {"NIGHTSHIFT_DOCKER_URL": engine.url}
        return subprocess.run(command or ["bash"], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What the proxy is told at its start: images, user, limits and folders."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

LABEL = "nightshift."
HOME_LABEL = LABEL + "home"
"""The label of an installation's containers, as the task operator sets it."""

PIDS_MAX = 4096
SHM_MAX = 1 << 30

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_PIPELINE = re.compile(r"[a-z][a-z0-9_]{0,29}")
_RUN = re.compile(
    r"(?:[a-z][a-z0-9_]{0,29}/)?(?:[0-9]{4}-[0-9]{2}-[0-9]{2}/[A-Za-z0-9_-]{1,64}"
    r"|experiments/(?:datasets|trainings)/[0-9a-f]{16})"
)
"""What a task writes to below `runs/`, a run's folder or one of an experiment's:
`[<pipeline>/]<date>/<run token>`, `[<pipeline>/]experiments/trainings/<key>`."""


class PolicyError(Exception):
    """A variable is missing or wrong."""


@dataclass(frozen=True)
class Policy:
    """What a task container may be.

    Attributes:
        images: that may be started.
        user: `uid:gid` of every container.
        home: NIGHTSHIFT_HOME, at the same path as on the host.
        readable: folders that may be mounted read-only, beside those that tasks write to.
        memory: bytes that a container may have.
        nano_cpus: billionths of a CPU that it may have.
        gpu: whether one GPU may be asked for.
    """

    images: frozenset[str]
    user: str
    home: PurePosixPath
    project: PurePosixPath
    readable: frozenset[str]
    memory: int
    nano_cpus: int
    gpu: bool

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Policy:
        """Read the variables that the other services have, and NIGHTSHIFT_TASK_USER.

        Raises:
            PolicyError: one is missing or wrong.
        """
        env = os.environ if env is None else env
        home = _folder(env, "NIGHTSHIFT_HOME")
        project = _folder(env, "NIGHTSHIFT_PROJECT")
        images = {
            value
            for name, value in env.items()
            if name.startswith("NIGHTSHIFT_TASK_IMAGE_") and value
        }
        if not images:
            raise PolicyError("no NIGHTSHIFT_TASK_IMAGE_* is set: no container could be started")
        user = env.get("NIGHTSHIFT_TASK_USER", "")
        if not re.fullmatch(r"[1-9][0-9]{0,9}:[1-9][0-9]{0,9}", user):
            raise PolicyError(
                f"NIGHTSHIFT_TASK_USER is {user!r}; write uid:gid, both numbers other than 0"
            )
        readable = {home / name for name in ("runs", "releases", "data")}
        readable |= {project / name for name in ("include", "pipelines")}
        return cls(
            images=frozenset(images),
            user=user,
            home=home,
            project=project,
            readable=frozenset(map(str, readable)),
            memory=size_bytes(env.get("NIGHTSHIFT_TASK_MEMORY") or "8g"),
            nano_cpus=_nano_cpus(env.get("NIGHTSHIFT_TASK_CPUS") or "2"),
            gpu=env.get("NIGHTSHIFT_TASK_DEVICE") == "cuda",
        )

    @property
    def home_label(self) -> str:
        """Value of `HOME_LABEL` on this installation's containers (the operator's `home_id`)."""
        return hashlib.sha256(str(self.home).encode()).hexdigest()[:12]

    def is_readable(self, path: str) -> bool:
        """Whether `path` is spelled as a folder that may be mounted read-only, beside a run's."""
        above, _, name = path.rpartition("/")
        own = above in (f"{self.home}/releases", f"{self.home}/data")
        return path in self.readable or (own and _PIPELINE.fullmatch(name) is not None)

    def is_run(self, path: str) -> bool:
        """Whether `path` is spelled as the folder of a run, or of a training of an experiment."""
        prefix = f"{self.home}/runs/"
        return path.startswith(prefix) and _RUN.fullmatch(path[len(prefix) :]) is not None

    def root_of(self, path: str) -> PurePosixPath | None:
        """The installation's folder that `path` lies in."""
        whole = PurePosixPath(path)
        return next((r for r in (self.home, self.project) if whole.is_relative_to(r)), None)


def size_bytes(text: str) -> int:
    """Bytes of a size as Docker writes it: `8g`.

    Raises:
        PolicyError: it is not a size.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,15})([bkmgt]?)b?", text.strip().lower())
    if match is None:
        raise PolicyError(f"{text!r} is not a size such as 8g")
    return int(match[1]) * _UNITS[match[2]]


def _nano_cpus(text: str) -> int:
    try:
        found = int(float(text) * 1e9)
    except (ValueError, OverflowError):
        found = 0
    if not 0 < found <= 4096 * 10**9:
        raise PolicyError(f"NIGHTSHIFT_TASK_CPUS is {text!r}; write a number of CPUs")
    return found


def _folder(env: Mapping[str, str], name: str) -> PurePosixPath:
    value = env.get(name, "")
    path = PurePosixPath(value)
    if not path.is_absolute() or os.path.normpath(value) != value or value == "/":
        raise PolicyError(f"{name} is {value!r}; it must be an absolute path, without . and ..")
    return path

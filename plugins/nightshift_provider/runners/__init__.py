"""Where container tasks run: a local process on the laptop, a Docker engine in production."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nightshift.errors import ConfigurationError

if TYPE_CHECKING:
    from nightshift_provider.runners.base import Runner


def make_runner(kind: str, docker_url: str = "", docker_conn_id: str | None = None) -> Runner:
    """The runner of a kind; docker is imported only where it is used.

    Raises:
        ConfigurationError: there is no such kind.
    """
    if kind == "process":
        from nightshift_provider.runners.process import ProcessRunner

        return ProcessRunner()
    if kind == "docker":
        from nightshift_provider.runners.docker import DockerRunner

        return DockerRunner(docker_url, docker_conn_id)
    raise ConfigurationError(f"NIGHTSHIFT_TASK_RUNNER is {kind!r}; it is process or docker")

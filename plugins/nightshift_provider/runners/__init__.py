"""Where container tasks run: a local process on the laptop, a Docker engine in production."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from nightshift.errors import ConfigurationError
from nightshift.runners import RUNNERS

if TYPE_CHECKING:
    from nightshift_provider.runners.base import Runner


def runner_class(kind: str) -> type[Runner]:
    """The class of a kind of runner; its module is imported only here.

    Raises:
        ConfigurationError: there is no such kind.
    """
    if kind not in RUNNERS:
        raise ConfigurationError(
            f"NIGHTSHIFT_TASK_RUNNER is {kind!r}; it is {' or '.join(RUNNERS)}"
        )
    found: type[Runner] = importlib.import_module(RUNNERS[kind].module).TaskRunner
    return found


def make_runner(kind: str, url: str = "", conn_id: str | None = None) -> Runner:
    """A runner of a kind.

    Args:
        kind: its name in `nightshift.runners`.
        url: of the engine that it starts tasks on, where it has one.
        conn_id: an Airflow connection of that engine or its registry.

    Raises:
        ConfigurationError: there is no such kind.
    """
    return runner_class(kind).connect(url, conn_id)

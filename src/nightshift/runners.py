"""The task runners that there are: one line each, and the module that holds it.

A module of a runner has a class `TaskRunner`, of `nightshift_provider.runners.base.Runner`. It is
imported where `NIGHTSHIFT_TASK_RUNNER` names it, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of runner.

    Attributes:
        module: where its class lies.
        images: whether it starts tasks from images, whose names a release then records.
    """

    module: str
    images: bool = False


RUNNERS: Mapping[str, Kind] = {
    "process": Kind("nightshift_provider.runners.process"),
    "docker": Kind("nightshift_provider.runners.docker", images=True),
}
"""By the names that `NIGHTSHIFT_TASK_RUNNER` may have."""

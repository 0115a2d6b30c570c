"""The task runners that there are: one line each, and the module that holds it.

A module of a runner has a class `TaskRunner`, of `nightshift_provider.runners.base.Runner`. It is
imported where `NIGHTSHIFT_TASK_RUNNER` names it, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping

RUNNERS: Mapping[str, str] = {
    "process": "nightshift_provider.runners.process",
    "docker": "nightshift_provider.runners.docker",
}
"""Modules by the names that `NIGHTSHIFT_TASK_RUNNER` may have."""

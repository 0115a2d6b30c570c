"""Upkeep: what grows with every night is bounded, so that an installation runs for years.

`run` does it all; the DAG `nightshift_upkeep` calls it once a day. It asks no server. What it takes
is older than `NIGHTSHIFT_KEEP_DAYS` (records) or `NIGHTSHIFT_KEEP_LOG_DAYS` (logs); nothing that
serves, that a rollback can restore, or that a run at work has made.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nightshift.errors import NightshiftError
from nightshift.pipeline import Pipeline, names
from nightshift.settings import Settings
from nightshift.upkeep import lists, logs, online, records

__all__ = ["run"]


def run(settings: Settings, *, now: dt.datetime | None = None) -> dict[str, Any]:
    """Bound what an installation keeps; it may be killed at any moment and run again.

    Args:
        settings: the machine.
        now: the time.

    Returns:
        By pipeline and for the logs what went; `problems` names what could not be seen to.
    """
    at = now or dt.datetime.now(dt.timezone.utc)
    before = at - dt.timedelta(days=settings.keep_days)
    found: dict[str, Any] = {"pipelines": {}, "problems": []}
    for name in names(settings):
        with _noted(found, f"pipeline {name}"):
            found["pipelines"][name] = _of(Pipeline.load(settings, name), before, at)
    with _noted(found, "logs"):
        found["logs"] = _logs(settings, at)
    return found


@contextlib.contextmanager
def _noted(found: dict[str, Any], what: str) -> Iterator[None]:
    """Write down what could not be seen to, and go on with the rest."""
    try:
        yield
    except (NightshiftError, OSError) as error:
        found["problems"].append(f"{what}: {error}")


def _of(pipeline: Pipeline, before: dt.datetime, at: dt.datetime) -> dict[str, Any]:
    found = records.prune(pipeline, before=before, now=at)
    if pipeline.has_features:
        found["loads"] = online.prune(pipeline, before=before)
        found["lists"] = lists.prune(pipeline)
    return found


def _logs(settings: Settings, at: dt.datetime) -> dict[str, Any]:
    before = at - dt.timedelta(days=settings.keep_log_days)
    home = Path(os.environ.get("AIRFLOW_HOME") or settings.home / "airflow")
    tasks = Path(os.environ.get("AIRFLOW__LOGGING__BASE_LOG_FOLDER") or home / "logs")
    return {
        "task_logs": logs.sweep(tasks, before=before),
        "cut": logs.cut(settings.home / "logs", most=settings.log_max_mb * 1_000_000),
    }

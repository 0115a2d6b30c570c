"""Failures of upkeep: what grows with every night is not cut until somebody looks."""

from __future__ import annotations

import datetime as dt

from nightshift.notify import incidents
from nightshift.notify.incidents import Incident
from nightshift.settings import Settings

RUN = "the run"
"""Stands for the whole run, where it was ended without a task of it having failed."""

_LONGEST = 1000


def upkeep_failed(
    settings: Settings, task: str, error: str, *, now: dt.datetime | None = None
) -> bool:
    """Tell that a task of upkeep failed, once until it has worked again.

    Args:
        settings: the machine.
        task: the task, or `RUN`; not told where one of its tasks' failures was.
        error: what it died of; empty where that is not known.
        now: the time.

    Returns:
        Whether it is new.
    """
    if task == RUN and any(_is_open(record) for record in incidents.listed(settings)):
        return False
    return incidents.report(
        settings,
        Incident(
            key=f"upkeep:{task}",
            title=f"upkeep failed: {task}",
            text="\n".join(
                [
                    f"Why: {error[:_LONGEST] or 'no reason is known; see the log of the task'}",
                    "",
                    (
                        "Nothing that serves is touched. Records, logs and rows of Airflow's database "
                        "that are past their time stay until it works again, so disks fill slowly. "
                        "You are not told again before it has worked once."
                    ),
                    f"Run: {settings.airflow_url}/dags/nightshift_upkeep",
                ]
            ),
            severity="warning",
        ),
        lasting=True,
        now=now,
    )


def upkeep_worked(settings: Settings, task: str, *, now: dt.datetime | None = None) -> bool:
    """A task of upkeep has worked; its next failure is told again. Whether it was open."""
    return incidents.resolve(settings, f"upkeep:{task}", now=now)


def _is_open(record: incidents.Record) -> bool:
    return record.incident.kind == "upkeep" and record.closed_at is None

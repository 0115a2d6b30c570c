"""One night, through Airflow, watched from a terminal."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cli.airflow_api import AirflowApi, Task
from cli.console import say, seconds
from cli.unpausing import Unpaused
from nightshift.errors import DeadlineExceeded, ServiceUnavailable
from nightshift.plan import check_params
from nightshift.settings import Settings


def retrain(pipeline: str) -> str:
    """Id of the DAG that makes a pipeline's nights."""
    return f"retrain_{pipeline}"


def rollback(pipeline: str) -> str:
    """Id of the DAG that goes back to a kept release of a pipeline."""
    return f"rollback_{pipeline}"


def observe(pipeline: str) -> str:
    """Id of the DAG of a pipeline's skew ledger."""
    return f"observe_{pipeline}"


def monitor(pipeline: str) -> str:
    """Id of the DAG that measures what a pipeline serves."""
    return f"monitor_{pipeline}"


_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
_WAITING = ("none", "scheduled", "queued")
_POLL_S = 1.0
_PATIENCE_S = 300.0
"""How long Airflow may be silent before we stop following the run."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and how long each task took as seen from here."""

    run_id: str
    state: str
    seconds: float
    task_seconds: dict[str, float]


def run(
    settings: Settings,
    dag_id: str,
    label: str,
    conf: dict[str, Any],
    *,
    said: Callable[[str], None] = say,
    explains: bool = True,
) -> Outcome:
    """Trigger `dag_id`, show its tasks as they change, and wait for its end.

    A paused DAG is unpaused for the run and paused again after it.

    Args:
        settings: which Airflow.
        dag_id: the DAG.
        label: what the run's id begins with.
        conf: values of the DAG's Params.
        said: shows what happens.
        explains: whether the logs of a run that failed are printed, whatever `said` shows.

    Raises:
        ServiceUnavailable: Airflow does not answer.
        ConfigurationError: the DAG does not import, or refuses the values.
    """
    api = AirflowApi(settings)
    unpaused = Unpaused(api, settings.runs_root, dag_id)
    check_params(api.params(dag_id), conf)
    now = dt.datetime.now(dt.timezone.utc)
    run_id = api.trigger(dag_id, f"{label}__{now:%Y-%m-%dT%H:%M:%S.%f}", conf)
    said(f"  run {run_id}: {settings.airflow_url}/dags/{dag_id}/runs/{run_id}")
    with unpaused:
        try:
            outcome = follow(api, dag_id, run_id, said=said)
        except KeyboardInterrupt:
            say("  interrupted; the run is ended, too")
            api.mark_failed(dag_id, run_id)
            raise
    if explains and outcome.state != "success":
        explain(settings, dag_id, run_id)
    return outcome


def follow(
    api: AirflowApi,
    dag_id: str,
    run_id: str,
    timeout_s: float = 12 * 3600.0,
    *,
    said: Callable[[str], None] = say,
) -> Outcome:
    """Show a run's tasks as they change until the run has ended.

    Raises:
        ServiceUnavailable: Airflow was silent for five minutes.
        DeadlineExceeded: the run goes on after `timeout_s`.
    """
    began = time.monotonic()
    known: dict[tuple[str, int], tuple[str, int]] = {}
    first_seen: dict[tuple[str, int], float] = {}
    took: dict[str, float] = {}
    heard = spoken = began
    services = _services(api.settings)
    told: set[str] = set()
    while True:
        try:
            state = api.run_state(dag_id, run_id)
            tasks = api.tasks(dag_id, run_id)
            heard = time.monotonic()
        except ServiceUnavailable:
            if time.monotonic() - heard > _PATIENCE_S:
                raise
            time.sleep(_POLL_S)
            continue
        for task in tasks:
            key = (task.name, task.map_index)
            if task.state not in _WAITING:
                first_seen.setdefault(key, heard)
            if known.get(key) == (task.state, task.attempt) or task.state in _WAITING:
                continue
            # Going to sleep until its trigger fires, and on again, is not news.
            quiet = known.get(key, ("", 0))[0] in ("running", "deferred") and task.state in (
                "running",
                "deferred",
            )
            known[key] = (task.state, task.attempt)
            if task.state in _ENDED:
                took[_label(task)] = max(heard - first_seen[key], task.duration_s)
            if not quiet:
                spoken = heard
                said(_line(task, heard - began, took.get(_label(task))))
        if state in ("success", "failed"):
            return Outcome(run_id, state, time.monotonic() - began, took)
        if heard - spoken > 15:
            spoken = heard
            active = [_label(t) for t in tasks if t.state not in (*_ENDED, *_WAITING)]
            _tell_of_dead(services, told)
            what = ", ".join(active) or "waiting for Airflow's scheduler"
            said(f"  {seconds(heard - began):>12}  ... {what}")
        if heard - began > timeout_s:
            raise DeadlineExceeded(f"{run_id} still runs after {seconds(timeout_s)}")
        time.sleep(_POLL_S)


def explain(settings: Settings, dag_id: str, run_id: str) -> None:
    """Show the end of each failed task's log, services that died, and where all logs lie."""
    api = AirflowApi(settings)
    failed = [t for t in api.tasks(dag_id, run_id) if t.state == "failed"]
    for task in failed:
        say(f"\n  {_label(task)} failed (attempt {task.attempt}); the end of its log:")
        try:
            for line in api.log_lines(dag_id, run_id, task)[-25:]:
                say(f"    {line}")
        except ServiceUnavailable as error:
            say(f"    (Airflow does not show it: {error})")
    services = _services(settings)
    for row in services.status() if services else ():
        if row.state == "died":
            say(f"\n  {row.name} has died ({row.detail}); ./nightshift up starts it again")
    folder = settings.home / "airflow" / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
    say(f"\n  Task logs: {folder}\n  Service logs: {settings.home / 'logs'}")


def _services(settings: Settings) -> Any:
    """The laptop profile's supervisor; None in production, whose services are not ours to look at."""
    try:
        from laptop.services.supervisor import Supervisor
    except ImportError:
        return None
    return Supervisor(settings)


def _tell_of_dead(supervisor: Any, told: set[str]) -> None:
    """Say once of each service that it has ended by itself."""
    for name in supervisor.dead() if supervisor else ():
        if name not in told:
            told.add(name)
            say(f"  {name} has died; see {supervisor.log(name)}. ./nightshift up starts it again")


def _label(task: Task) -> str:
    return task.name if task.map_index < 0 else f"{task.name}[{task.map_index}]"


def _line(task: Task, at: float, took: float | None) -> str:
    text = f"  {seconds(at):>12}  {_label(task)}: {task.state.replace('_', ' ')}"
    if took is not None and task.state not in ("skipped", "upstream_failed"):
        text += f" ({seconds(took)})"
    if task.attempt > 1 and task.state == "running":
        text += f", attempt {task.attempt}"
    return text

"""The trigger that waits for a container task: no worker slot during hours of training."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from nightshift.errors import ServiceUnavailable
from nightshift_provider.runners import make_runner
from nightshift_provider.runners.base import LogPump, Phase, TaskSpec
from nightshift_provider.triggers import hold

KILL_GRACE_S = 15.0
"""Seconds that a task gets to stop when a user fails it: Airflow gives `on_kill` 30."""


class TaskOutcome(str, Enum):
    """How a wait ended."""

    EXITED = "exited"
    TIMEOUT = "timeout"
    GONE = "gone"
    UNAVAILABLE = "unavailable"


class NightshiftTaskTrigger(BaseTrigger):
    """Wait until a task has ended, showing its log; ends in exactly one event.

    The event is `{"outcome": TaskOutcome, "message": str, "spec": {...}}`. The runner's calls
    (a look at a lock, a request to the engine) run in threads and never hold the loop.

    Args:
        runner: process or docker.
        docker_url: the engine of a docker runner.
        docker_conn_id: its Airflow connection, if any.
        spec: `TaskSpec.to_dict()`.
        poll_s: seconds between looks.
        outage_s: how long the engine may stay away.
        not_before: seconds since the epoch before which no event is given, as OpenMLDBJobTrigger's.
    """

    def __init__(
        self,
        *,
        runner: str,
        docker_url: str,
        docker_conn_id: str | None,
        spec: dict[str, Any],
        poll_s: float = 5.0,
        outage_s: float = 300.0,
        not_before: float = 0.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.runner = runner
        self.docker_url = docker_url
        self.docker_conn_id = docker_conn_id
        self.spec = spec
        self.poll_s = poll_s
        self.outage_s = outage_s
        self.not_before = not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Plain values only."""
        return (
            "nightshift_provider.triggers.task.NightshiftTaskTrigger",
            {
                "runner": self.runner,
                "docker_url": self.docker_url,
                "docker_conn_id": self.docker_conn_id,
                "spec": self.spec,
                "poll_s": self.poll_s,
                "outage_s": self.outage_s,
                "not_before": self.not_before,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the task has ended, its deadline passes, or the engine stays away."""
        ready = hold.until(self.not_before)
        outcome, message = await self._wait()
        await asyncio.sleep(max(0.0, ready - time.monotonic()))
        yield TriggerEvent(  # type: ignore[no-untyped-call]
            {"outcome": outcome.value, "message": message, "spec": self.spec}
        )

    async def _wait(self) -> tuple[TaskOutcome, str]:
        spec = TaskSpec.from_dict(self.spec)
        runner = make_runner(self.runner, self.docker_url, self.docker_conn_id)
        pump = LogPump(runner, spec)
        away_since: float | None = None
        pause = min(0.25, self.poll_s)
        while True:
            now = time.time()
            try:
                status = await asyncio.to_thread(runner.status, spec)
                if status.phase is Phase.EXITED:
                    return TaskOutcome.EXITED, ""
                if status.phase is Phase.ABSENT:
                    return TaskOutcome.GONE, f"{spec.name} is not there any more"
                for line in await asyncio.to_thread(pump.round):
                    self.log.info("%s", line)
                away_since = None
            except ServiceUnavailable as error:
                away_since = time.monotonic() if away_since is None else away_since
                self.log.warning("%s", error)
                if time.monotonic() - away_since >= self.outage_s:
                    return TaskOutcome.UNAVAILABLE, str(error)
            if now >= spec.deadline:
                return TaskOutcome.TIMEOUT, ""
            await asyncio.sleep(min(pause, max(0.05, spec.deadline - now)))
            pause = min(self.poll_s, pause * 1.6)

    async def on_kill(self) -> None:
        """Stop and remove the task."""
        spec = TaskSpec.from_dict(
            {**self.spec, "stop_grace_s": min(KILL_GRACE_S, float(self.spec["stop_grace_s"]))}
        )
        runner = make_runner(self.runner, self.docker_url, self.docker_conn_id)
        try:
            await asyncio.to_thread(runner.stop, spec)
            for line in await asyncio.to_thread(LogPump(runner, spec).last):
                self.log.info("%s", line)
            await asyncio.to_thread(runner.remove, spec)
            self.log.info("%s is stopped and removed", spec.name)
        except ServiceUnavailable as error:
            self.log.warning("%s may still run: %s", spec.name, error)

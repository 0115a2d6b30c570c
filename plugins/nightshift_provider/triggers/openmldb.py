"""The trigger that waits for OpenMLDB jobs: thousands of them cost one loop and one reader."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any
from weakref import WeakKeyDictionary

from airflow.triggers.base import BaseTrigger, TriggerEvent

from nightshift.errors import NightshiftError, OpenMLDBError, RetryableError
from nightshift.openmldb import AsyncOpenMLDBClient, Job, JobState, JobWatch
from nightshift_provider.hooks.openmldb import Endpoint, OpenMLDBHook
from nightshift_provider.triggers import hold


class JobOutcome(str, Enum):
    """How a wait ended."""

    FINISHED = "finished"
    FAILED = "failed"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    GONE = "gone"


class OpenMLDBJobTrigger(BaseTrigger):
    """Wait until a job is final; ends in exactly one event.

    The event is `{"outcome": JobOutcome, "job_id": int, "state": str, "message": str}`.

    Args:
        openmldb_conn_id: the Airflow connection.
        job_id: OpenMLDB's id of the job.
        deadline: seconds since the epoch; absolute, so a triggerer's restart changes nothing.
        poll_s: seconds between readings.
        settle_s: seconds between FINISHED and the second look.
        outage_s: how long the server may stay away.
        stop_on_kill: stop the job when a user fails or clears the waiting task.
        not_before: seconds since the epoch before which no event is given: Airflow takes a task
            that resumes within moments of its deferral for killed.
    """

    def __init__(
        self,
        *,
        openmldb_conn_id: str,
        job_id: int,
        deadline: float,
        poll_s: float = 5.0,
        settle_s: float = 2.0,
        outage_s: float = 300.0,
        stop_on_kill: bool = True,
        not_before: float = 0.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.openmldb_conn_id = openmldb_conn_id
        self.job_id = job_id
        self.deadline = deadline
        self.poll_s = poll_s
        self.settle_s = settle_s
        self.outage_s = outage_s
        self.stop_on_kill = stop_on_kill
        self.not_before = not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Plain values only."""
        return (
            "nightshift_provider.triggers.openmldb.OpenMLDBJobTrigger",
            {
                "openmldb_conn_id": self.openmldb_conn_id,
                "job_id": self.job_id,
                "deadline": self.deadline,
                "poll_s": self.poll_s,
                "settle_s": self.settle_s,
                "outage_s": self.outage_s,
                "stop_on_kill": self.stop_on_kill,
                "not_before": self.not_before,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Read the job until it is final, its deadline passes, or the server stays away."""
        ready = hold.until(self.not_before)
        watch = JobWatch(self.deadline, self.poll_s, self.settle_s, self.outage_s)
        endpoint = await OpenMLDBHook.aendpoint(self.openmldb_conn_id)
        async with job_board(endpoint) as board:
            event = await self._wait(board, watch)
        await asyncio.sleep(max(0.0, ready - time.monotonic()))
        yield event

    async def _wait(self, board: JobBoard, watch: JobWatch) -> TriggerEvent:
        last: JobState | None = None
        told = ""
        while True:
            now = time.time()
            try:
                job = await board.read(self.job_id)
            except RetryableError as error:
                self.log.warning("%s; job %s is asked for again", error, self.job_id)
                pause = watch.away(now)
                if pause is None:
                    return self._event(JobOutcome.UNAVAILABLE, last, str(error))
            except OpenMLDBError as error:
                return self._event(JobOutcome.GONE, last, str(error))
            else:
                last = job.state
                if job.summary != told:
                    self.log.info("Job %s is %s", self.job_id, job.summary)
                    told = job.summary
                pause = watch.after(job, now)
                if pause is None:
                    finished = job.state is JobState.FINISHED
                    outcome = JobOutcome.FINISHED if finished else JobOutcome.FAILED
                    return self._event(outcome, job.state, job.error)
            if watch.overdue(now):
                return self._event(JobOutcome.TIMEOUT, last, "")
            await asyncio.sleep(min(pause, max(0.05, watch.deadline - now)))

    async def on_kill(self) -> None:
        """Stop the job and look until it has stopped."""
        if not self.stop_on_kill:
            return
        endpoint = await OpenMLDBHook.aendpoint(self.openmldb_conn_id)
        async with endpoint.async_client() as api:
            try:
                job = await api.job(self.job_id)
                if not job.state.is_terminal:
                    job = await api.stop_job(self.job_id)
                for _ in range(40):
                    if job.has_ended:
                        break
                    await asyncio.sleep(0.25)
                    job = await api.job(self.job_id)
                self.log.info("Job %s is %s", self.job_id, job.state.value)
            except NightshiftError as error:
                self.log.warning("Job %s could not be stopped: %s", self.job_id, error)

    def _event(self, outcome: JobOutcome, state: JobState | None, message: str) -> TriggerEvent:
        return TriggerEvent(  # type: ignore[no-untyped-call]
            {
                "outcome": outcome.value,
                "job_id": self.job_id,
                "state": state.value if state else "",
                "message": message,
            }
        )


class JobBoard:
    """Readings of jobs, shared by all triggers of one loop that wait on one server.

    Few waiters ask for their own job; many share one SHOW JOBS, at most one a second.
    """

    ALONE = 8
    FRESH_S = 1.0

    def __init__(self, api: AsyncOpenMLDBClient) -> None:
        self.api = api
        self.waiters = 0
        self._reading: asyncio.Task[dict[int, Job]] | None = None
        self._read_at = float("-inf")

    async def read(self, job_id: int) -> Job:
        """The job as it is now, or was within the last second."""
        if self.waiters > self.ALONE:
            jobs = await asyncio.shield(self._share())
            if job_id in jobs:
                return jobs[job_id]
        return await self.api.job(job_id)

    def _share(self) -> asyncio.Task[dict[int, Job]]:
        now = asyncio.get_running_loop().time()
        if self._reading is None or (self._reading.done() and now - self._read_at > self.FRESH_S):
            self._read_at = now
            self._reading = asyncio.create_task(self._read_all())
        return self._reading

    async def _read_all(self) -> dict[int, Job]:
        return {job.job_id: job for job in await self.api.jobs()}

    async def close(self) -> None:
        """Give the connections back."""
        if self._reading is not None and not self._reading.done():
            self._reading.cancel()
        await self.api.close()


_BOARDS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Endpoint, JobBoard]] = (
    WeakKeyDictionary()
)


@contextlib.asynccontextmanager
async def job_board(endpoint: Endpoint) -> AsyncIterator[JobBoard]:
    """The running loop's board for a server; it closes with its last waiter."""
    boards = _BOARDS.setdefault(asyncio.get_running_loop(), {})
    board = boards.get(endpoint)
    if board is None:
        board = boards[endpoint] = JobBoard(endpoint.async_client())
    board.waiters += 1
    try:
        yield board
    finally:
        board.waiters -= 1
        if board.waiters == 0:
            del boards[endpoint]
            await board.close()

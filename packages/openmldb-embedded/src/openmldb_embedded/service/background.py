"""Statements whose work is a job."""

from __future__ import annotations

import time
from collections.abc import Callable

from openmldb_embedded.catalog import JOB_TYPES, Job
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.jobs import Context, Finish, Jobs, job_rows
from openmldb_embedded.service.call import Call, Reply


class Background:
    """Hands work to the jobs, and waits for it where the mode says so."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def run(self, kind: str, call: Call, work: Callable[[Context], Finish | None]) -> Reply:
        """Submit work as a job of a kind; the answer is the job's row."""
        job = self._jobs.submit(kind, call.sql, call.db, work)
        if call.mode.sync and not self._jobs.ended(job.id, call.timeout):
            reason = f"[E1008]Reached timeout={call.timeout * 1000:.0f}ms; job {job.id} goes on"
            if kind.startswith("Import"):
                raise ExecutionError(
                    f"taskmanager load data failed--ReturnCode[1004]--{reason}", 2001
                )
            raise ExecutionError(reason)
        return jobs_reply([self._jobs.get(job.id) if call.mode.sync else job])

    def show(self, kind: str, call: Call, work: Callable[[Context], Finish | None]) -> None:
        """Submit work as a job and wait for it as long as the caller does; then stop it.

        Raises:
            SqlError: The job did not finish.
        """
        job = self._jobs.submit(kind, call.sql, call.db, work)
        deadline = time.monotonic() + call.timeout
        while not self._jobs.ended(job.id, 0.2):
            if call.stop.asked or time.monotonic() > deadline:
                self._jobs.stop(job.id)
                raise ExecutionError(
                    f"the query was given up and its job {job.id} stopped: it did not end within "
                    f"{call.timeout:g} s, its client left, or the server stops"
                )
        job = self._jobs.get(job.id)
        if job.state != "FINISHED":
            raise ExecutionError(f"job {job.id} is {job.state}: {job.error}")


def jobs_reply(jobs: list[Job]) -> Reply:
    """Jobs as an answer."""
    return Reply(JOB_TYPES, job_rows(jobs))

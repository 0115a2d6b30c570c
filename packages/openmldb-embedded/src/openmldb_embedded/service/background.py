"""Statements whose work is a job."""

from __future__ import annotations

from collections.abc import Callable

from openmldb_embedded.catalog import JOB_TYPES, Job
from openmldb_embedded.jobs import Context, Finish, Jobs, job_rows
from openmldb_embedded.service.call import Call, Reply


class Background:
    """Hands work to the jobs, and waits for it where the mode says so."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def run(self, kind: str, call: Call, work: Callable[[Context], Finish | None]) -> Reply:
        """Submit work as a job of a kind; the answer is the job's row."""
        job = self._jobs.submit(kind, call.sql, call.db, work)
        if call.mode.sync:
            job = self._jobs.wait(job.id, call.timeout)
        return jobs_reply([job])


def jobs_reply(jobs: list[Job]) -> Reply:
    """Jobs as an answer."""
    return Reply(JOB_TYPES, job_rows(jobs))

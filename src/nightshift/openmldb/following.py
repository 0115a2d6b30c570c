"""Jobs started once, and followed to their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from nightshift.errors import DeadlineExceeded, NightshiftError, RetryableError
from nightshift.openmldb.client import AbstractClient
from nightshift.openmldb.jobs import Job, JobState, JobWatch, job_error
from nightshift.openmldb.protocol import Mode
from nightshift.openmldb.text import first_words, normalise_sql


def submit_once(
    client: AbstractClient,
    database: str,
    sql: str,
    mode: Mode,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Job:
    """Start a job; where no answer came, look for it before it is started again.

    A statement that reached its timeout, or whose answer was lost, may run all the same: a second
    LOAD DATA of the same files would double their rows.

    Raises:
        RetryableError: no answer, and no job of it; a job may still appear.
        OpenMLDBError: the statement was refused.
    """
    before = max((job.job_id for job in client.jobs()), default=0)
    try:
        return client.submit(database, sql, mode)
    except RetryableError:
        for pause in (0.5, 1.0, 2.0, 4.0):
            sleep(pause)
            found = _younger(client, before, database, sql)
            if found is not None:
                return found
        raise


def _younger(client: AbstractClient, than: int, database: str, sql: str) -> Job | None:
    wanted = normalise_sql(sql)
    try:
        jobs = client.jobs()
    except RetryableError:
        return None
    own = (job for job in jobs if job.job_id > than and job.db in ("", database))
    return next((job for job in own if wanted in normalise_sql(job.parameter)), None)


def follow(
    client: AbstractClient,
    jobs: Sequence[Job],
    deadline: float,
    *,
    settle_s: float = 2.0,
    poll_s: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Job]:
    """Jobs that run side by side, each at its end; one settles while the others run.

    Args:
        client: the server.
        jobs: the jobs.
        deadline: seconds since the epoch.
        settle_s: seconds between FINISHED and the second look; none at a consistent server.
        poll_s: seconds between two readings.
        sleep: as `time.sleep`.

    Returns:
        Their last rows, in the order given, in whatever state.

    Raises:
        DeadlineExceeded: some had not ended by then; they go on.
        RetryableError: the server stayed away.
    """
    settle_s = 0.0 if jobs and client.consistent else settle_s
    watches = {job.job_id: JobWatch(deadline, poll_s=poll_s, settle_s=settle_s) for job in jobs}
    last = {job.job_id: job for job in jobs}
    at_work = dict(last)
    while True:
        pauses = []
        for job_id, job in list(at_work.items()):
            pause = watches[job_id].after(job, time.time())
            last[job_id] = job
            if pause is None:
                del at_work[job_id]
            else:
                pauses.append(pause)
        if not at_work:
            return [last[job.job_id] for job in jobs]
        if time.time() >= deadline:
            raise DeadlineExceeded(
                f"jobs {', '.join(map(str, at_work))} had not ended by their deadline: "
                + "; ".join(first_words(job.parameter) for job in at_work.values())
            )
        sleep(min(pauses))
        for job_id in at_work:
            at_work[job_id] = _read(client, job_id, watches[job_id], sleep)


def _read(
    client: AbstractClient, job_id: int, watch: JobWatch, sleep: Callable[[float], None]
) -> Job:
    while True:
        try:
            return client.job(job_id)
        except RetryableError:  # noqa: PERF203
            pause = watch.away(time.time())
            if pause is None:
                raise
            sleep(pause)


def failures(client: AbstractClient, jobs: Sequence[Job]) -> list[NightshiftError]:
    """An error for each job that did not finish, with the reason that its log gives."""
    found = []
    for job in jobs:
        if job.state is JobState.FINISHED:
            continue
        try:
            log = client.job_log(job.job_id)
        except NightshiftError as error:
            log = f"(SHOW JOBLOG {job.job_id} failed: {error})"
        found.append(job_error(job, log))
    return found


def finish(
    client: AbstractClient,
    job: Job,
    deadline: float,
    *,
    settle_s: float = 2.0,
    poll_s: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Job:
    """A job, FINISHED.

    Raises:
        JobFailed, JobLost: it ended otherwise.
        DeadlineExceeded: it did not end in time; it is told to stop.
        RetryableError: the server stayed away.
    """
    return finish_all(client, [job], deadline, settle_s=settle_s, poll_s=poll_s, sleep=sleep)[0]


def finish_all(
    client: AbstractClient,
    jobs: Sequence[Job],
    deadline: float,
    *,
    settle_s: float = 2.0,
    poll_s: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Job]:
    """Jobs that run side by side, each FINISHED, in the order given.

    Raises:
        JobFailed, JobLost: one ended otherwise; the others have ended, too.
        DeadlineExceeded: some did not end in time; they are told to stop.
        RetryableError: the server stayed away.
    """
    try:
        done = follow(client, jobs, deadline, settle_s=settle_s, poll_s=poll_s, sleep=sleep)
    except DeadlineExceeded:
        for job in jobs:
            if not client.job(job.job_id).state.is_terminal:
                client.stop_job(job.job_id)
        raise
    for error in failures(client, done):
        raise error
    return done

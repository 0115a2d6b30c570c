"""OpenMLDB's jobs: their states, how one is watched, and the error of one that failed."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from nightshift.errors import ContractError, JobFailed, JobLost, NightshiftError
from nightshift.openmldb.text import first_words

JOB_COLUMNS: Final = 14
"""Columns of a row of SHOW JOBS."""


class JobState(str, Enum):
    """State of an offline or import job; components write them in different case."""

    SUBMITTED = "SUBMITTED"
    CONNECTED = "CONNECTED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"
    LOST = "LOST"
    STOPPED = "STOPPED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended (FINISHED may still turn to FAILED shortly after)."""
        return self in _TERMINAL

    @classmethod
    def parse(cls, text: str) -> JobState:
        """Read a state without regard to case; YARN's early states count as submitted."""
        upper = text.strip().upper()
        if upper in _YARN_EARLY:
            return cls.SUBMITTED
        return cls(upper) if upper in cls.__members__ else cls.UNKNOWN


_TERMINAL: Final = frozenset(
    {JobState.FINISHED, JobState.FAILED, JobState.KILLED, JobState.LOST, JobState.STOPPED}
)
_YARN_EARLY: Final = frozenset({"NEW", "NEW_SAVING", "ACCEPTED"})


@dataclass(frozen=True)
class Job:
    """One row of SHOW JOBS; times are milliseconds since the epoch, None where not yet."""

    job_id: int
    job_type: str
    state: JobState
    start_time: int | None
    end_time: int | None
    parameter: str
    cluster: str
    application_id: str
    error: str
    db: str
    name: str
    pid: int
    cur_task: str
    component: str

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it goes on (FINISHED may still turn to FAILED shortly after).

        STOP JOB only writes STOPPED where Spark runs in local mode: the job goes on, and writes
        its own end over it. Without a time of its end it is not believed.
        """
        unheard = self.state is JobState.STOPPED and self.end_time is None
        return self.state.is_terminal and not unheard

    @property
    def summary(self) -> str:
        """The state and, while it runs, how far it is: `RUNNING: stage 3 of 5, 12 of 40 tasks`."""
        going = self.cur_task and not self.state.is_terminal
        return f"{self.state.value}: {self.cur_task}" if going else self.state.value

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Job:
        """Read the protocol's 14 columns.

        Raises:
            ContractError: the row has another shape.
        """
        if len(row) != JOB_COLUMNS or not isinstance(row[0], int):
            raise ContractError(
                f"a job of OpenMLDB has {JOB_COLUMNS} columns and an integer id, "
                f"but the server answered {list(row)!r}"
            )

        def text(value: Any) -> str:
            return "" if value is None else str(value)

        return cls(
            job_id=row[0],
            job_type=text(row[1]),
            state=JobState.parse(text(row[2])),
            start_time=_ms(row[3]),
            end_time=_ms(row[4]),
            parameter=text(row[5]),
            cluster=text(row[6]),
            application_id=text(row[7]),
            error=text(row[8]),
            db=text(row[9]),
            name=text(row[10]),
            pid=int(row[11] or 0),
            cur_task=text(row[12]),
            component=text(row[13]),
        )


def _ms(value: Any) -> int | None:
    """A time of a job: the API server gives milliseconds, the SDK text or a datetime."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, dt.datetime):
        return int(value.timestamp() * 1000)
    return None


@dataclass
class JobWatch:
    """Decides, from each reading of a job, how long to wait for the next one.

    A job may turn from FINISHED to FAILED shortly after (OpenMLDB issues #1104, #1462), so
    FINISHED counts only when it is still there at a second look. The deadline is absolute and
    the watch's own: after a TaskManager's restart a job may look running for ever. A clock that is
    set back takes all moments of the watch along, so that nothing lasts longer by it.

    Args:
        deadline: seconds since the epoch.
        poll_s: seconds between two readings; the first ones follow faster.
        settle_s: seconds between FINISHED and the second look.
        outage_s: how long the server may stay away before the wait is given up.
        stopping_s: how long a job that is STOPPED and has no end is watched: it may go on.
    """

    deadline: float
    poll_s: float = 5.0
    settle_s: float = 2.0
    outage_s: float = 300.0
    stopping_s: float = 60.0
    _stopped_at: float | None = field(default=None, init=False)
    _readings: int = field(default=0, init=False)
    _finished_at: float | None = field(default=None, init=False)
    _away_since: float | None = field(default=None, init=False)
    _last: float = field(default=-math.inf, init=False)

    def _seen(self, now: float) -> None:
        back = self._last - now
        self._last = now
        if back <= 0 or math.isinf(back):
            return
        self.deadline -= back
        for name in ("_stopped_at", "_finished_at", "_away_since"):
            moment = getattr(self, name)
            if moment is not None:
                setattr(self, name, moment - back)

    def after(self, job: Job, now: float) -> float | None:
        """Seconds until the next reading, or None when `job` is final."""
        self._seen(now)
        self._readings += 1
        self._away_since = None
        if job.state is JobState.FINISHED:
            if self._finished_at is None:
                self._finished_at = now
            remaining = self._finished_at + self.settle_s - now
            return remaining if remaining > 0 else None
        self._finished_at = None
        if job.state.is_terminal and not job.has_ended:
            self._stopped_at = now if self._stopped_at is None else self._stopped_at
            return self._pause() if now - self._stopped_at < self.stopping_s else None
        return None if job.state.is_terminal else self._pause()

    def away(self, now: float) -> float | None:
        """Seconds until the next try when the server did not answer, or None: give up."""
        self._seen(now)
        if self._away_since is None:
            self._away_since = now
        return None if now - self._away_since >= self.outage_s else self._pause()

    def overdue(self, now: float) -> bool:
        """Whether the deadline has passed."""
        return now >= self.deadline

    def _pause(self) -> float:
        return min(self.poll_s, 0.05 * 2.0 ** min(self._readings, 16))


# Reasons of a failure that lie outside the statement: the same job may pass when run again.
_TRANSIENT = re.compile(
    r"restart|interrupted|server stopped|executor lost|connection (?:refused|reset)"
    r"|no space left|preempt|worker lost|not connected to|fail(?:ed)? to get (?:\S+ )?tablets?\b"
    r"|cannot connect tablet|tablet accessor is null|not alive",
    re.IGNORECASE,
)


_REASON = re.compile(r"^Get exception: (.*)", re.MULTILINE)


def job_reason(job: Job, log: str = "") -> str:
    """Why a job failed: a cluster leaves the column `error` empty, and says it atop its log."""
    found = _REASON.search(log[:65_536])
    return job.error or (found[1].strip()[:2000] if found else "")


def job_error(job: Job, log: str = "") -> NightshiftError:
    """The error for a job that ended in another state than FINISHED.

    Args:
        job: its row.
        log: its SHOW JOBLOG, from the beginning.

    Returns:
        JobLost (retryable) where the job was cut off by something outside it, else JobFailed.
    """
    text = f"job {job.job_id} ({job.job_type}) is {job.state.value}"
    reason = job_reason(job, log)
    if reason:
        text += f": {reason}"
    text += f"; its statement was {first_words(job.parameter, 200)!r}"
    if log:
        text += f"\nEnd of SHOW JOBLOG {job.job_id}:\n{tail(log)}"
    if job.state is JobState.LOST or (job.state is JobState.FAILED and _TRANSIENT.search(reason)):
        return JobLost(text)
    return JobFailed(text)


def tail(text: str, lines: int = 20, max_chars: int = 4000) -> str:
    """The last lines of a log, bounded."""
    return "\n".join(text.rstrip().splitlines()[-lines:])[-max_chars:]

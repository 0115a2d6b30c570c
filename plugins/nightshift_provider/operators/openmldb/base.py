"""What all of them share: statements run in turn, and jobs that are found again and followed.

Before a job is submitted the operator notes, in the task state store, the highest job id there is;
after it, the new id. A later try finds the job by its id, or, when it died between the two, among
the younger jobs by its SQL text.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import BaseOperatorLink

from nightshift.errors import ConfigurationError, DeadlineExceeded, JobLost, ServiceUnavailable
from nightshift.openmldb import (
    Job,
    JobState,
    JobWatch,
    Mode,
    ResultSet,
    normalise_sql,
    split_script,
)
from nightshift_provider.durable import Notes, airflow_errors, digest
from nightshift_provider.hooks.openmldb import OpenMLDBHook, deadline_error
from nightshift_provider.links.openmldb import OpenMLDBJobLogLink, job_log_url
from nightshift_provider.operators.waiting import WaitingOperator
from nightshift_provider.triggers.openmldb import JobOutcome, OpenMLDBJobTrigger

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


ExecuteMode = Literal["offline", "online"]
_MODES: Mapping[str, ExecuteMode] = {
    "offline": "offline",
    "offsync": "offline",
    "offasync": "offline",
    "online": "online",
    "onsync": "online",
}
_STARTS_JOB = re.compile(
    r"\s*(?:load\s+data\b|(?:select|with)\b.*\binto\s+outfile\b)", re.IGNORECASE | re.DOTALL
)
_KEPT_ROWS = 100


class OpenMLDBOperator(WaitingOperator):
    """Base of the operators: runs statements in turn and follows the job of each.

    Besides `WaitingOperator`'s arguments:

    Args:
        database: default database of the statements.
        mode: `offline` or `online` (the API server's four mode names are accepted).
        openmldb_conn_id: Airflow connection of type `openmldb`.
        job_timeout_s: seconds that one job may take from its submission; then it is stopped.
        settle_s: seconds between FINISHED and the second look (a cluster's job may still turn to
            FAILED); none where the server states that it is consistent.
    """

    template_fields: Sequence[str] = ("database", "openmldb_conn_id", "sql")
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql"}
    operator_extra_links: Collection[BaseOperatorLink] = (OpenMLDBJobLogLink(),)
    ui_color = "#e8f0fb"

    def __init__(
        self,
        *,
        database: str,
        mode: ExecuteMode | Mode = "offline",
        sql: str | Sequence[str] = "",
        openmldb_conn_id: str = OpenMLDBHook.default_conn_name,
        job_timeout_s: float = 6 * 3600.0,
        settle_s: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if mode not in _MODES:
            raise ValueError(f"mode is {mode!r}; it must be one of {', '.join(_MODES)}")
        self.database = database
        self.mode: ExecuteMode = _MODES[mode]
        self.sql = sql
        self.openmldb_conn_id = openmldb_conn_id
        self.job_timeout_s = job_timeout_s
        self.settle_s = settle_s
        self._job_id: int | None = None

    @cached_property
    def hook(self) -> OpenMLDBHook:
        """The operator's hook."""
        return OpenMLDBHook(self.openmldb_conn_id)

    # What subclasses say.

    def statements(self) -> list[str]:
        """The statements to run, in order, from the rendered fields."""
        script = self.sql if isinstance(self.sql, str) else "\n;\n".join(self.sql)
        return split_script(script)

    def before(self, index: int, sql: str) -> bool:
        """Called before a statement runs or is submitted; False leaves the statement out."""
        return True

    def result(self, job_ids: list[int], last: ResultSet | None) -> Any:
        """What the task returns as XCom when every statement has run."""
        rows = last.rows if last is not None else []
        return {"job_ids": job_ids, "rows": rows[:_KEPT_ROWS], "row_count": len(rows)}

    def run(self, sql: str) -> ResultSet | None:
        """Run a statement that starts no job."""
        mode: Mode = "offsync" if self.mode == "offline" else "onsync"
        return self.hook.client.execute(self.database, sql, mode)

    # The run.

    def execute(self, context: Context) -> Any:
        """Run all statements; on a later try, go on where the former one stopped."""
        with airflow_errors():
            return self._advance(context)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Go on after the trigger's event."""
        with airflow_errors():
            self._judge_event(event)
            return self._advance(context, finished_job=int(event["job_id"]))

    def _advance(self, context: Context, finished_job: int | None = None) -> Any:
        statements = self.statements()
        if not statements:
            raise ConfigurationError(f"task {self.task_id} has no SQL statement to run")
        notes = Notes(context, "openmldb", digest(self.database, self.mode, *statements))
        done: int = notes.values.get("done", 0)
        jobs: list[int] = list(notes.values.get("jobs", []))
        if done:
            self.log.info("The first %d of %d statements ran before", done, len(statements))
        last: ResultSet | None = None
        for index in range(done, len(statements)):
            sql = statements[index]
            job_id = notes.values.get("job_id")
            if finished_job is not None and finished_job == job_id:
                jobs.append(finished_job)
                finished_job = None
            elif _STARTS_JOB.match(normalise_sql(sql)):
                job_id = self._run_job(context, notes, index, sql)
                if job_id is not None:
                    jobs.append(job_id)
            elif self.before(index, sql):
                self.log.info("%s", sql)
                last = self.run(sql)
                self._report(last)
            notes.write(done=index + 1, jobs=jobs, job_id=None, above=None, deadline=None)
        return self.result(jobs, last)

    def _run_job(self, context: Context, notes: Notes, index: int, sql: str) -> int | None:
        """Find or submit the job of a statement and see it to its end."""
        job = self._find(notes, sql)
        if job is None:
            if not self.before(index, sql):
                return None
            job = self._submit(notes, sql)
        elif notes.values.get("deadline") is None or notes.values.get("job_id") != job.job_id:
            notes.write(job_id=job.job_id, deadline=self._deadline())
        self._job_id = job.job_id
        self._announce(context, job.job_id, sql)
        self._wait(job, float(notes.values["deadline"]), stop_on_kill=True)
        return job.job_id

    def _find(self, notes: Notes, sql: str) -> Job | None:
        """The job that an earlier try, or a task just cleared, started for this statement."""
        jobs = {job.job_id: job for job in self.hook.client.jobs()}
        known: int | None = notes.values.get("job_id")
        above: int | None = notes.values.get("above")
        candidates = [job for job in jobs.values() if self._is_of(job, sql, known, above)]
        for job in sorted(candidates, key=lambda job: job.job_id, reverse=True):
            ours = job.job_id == known or (above is not None and job.job_id > above)
            if ours and job.state is JobState.STOPPED and not job.has_ended:
                # It was told to stop and may go on: its rows and files may still come.
                job = self.hook.wait(job.job_id, JobWatch(self._deadline(), poll_s=1.0))
            if not job.state.is_terminal or (ours and job.state is JobState.FINISHED):
                self.log.info(
                    "Job %d does this already; it is %s and is followed",
                    job.job_id,
                    job.state.value,
                )
                return job
            if ours:
                self.log.info(
                    "Job %d of an earlier try is %s; a new one is submitted",
                    job.job_id,
                    job.state.value,
                )
                break
        else:
            if known is not None:
                self.log.warning("Job %d of an earlier try is not there any more", known)
        notes.write(above=max(jobs, default=0), job_id=None)
        return None

    def _is_of(self, job: Job, sql: str, known: int | None, above: int | None) -> bool:
        """Whether a job runs this statement, in this database."""
        if normalise_sql(sql) not in normalise_sql(job.parameter):
            return False
        if job.db:
            return job.db == self.database
        # Without a database in its row a load might be another run's, unless it began after ours
        # was noted, whose answer was lost; an export's folder is ours.
        younger = above is not None and job.job_id > above
        return job.job_id == known or younger or " into outfile " in normalise_sql(sql).lower()

    def _submit(self, notes: Notes, sql: str) -> Job:
        self.log.info("%s", sql)
        mode: Mode = "offasync" if self.mode == "offline" else "online"
        job = self.hook.client.submit(self.database, sql, mode)
        self._job_id = job.job_id
        notes.write(job_id=job.job_id, deadline=self._deadline())
        self.log.info("Job %d (%s) is %s", job.job_id, job.job_type, job.state.value)
        return job

    def _deadline(self) -> float:
        return time.time() + self._time_limit(self.job_timeout_s)

    def _announce(self, context: Context, job_id: int, sql: str) -> None:
        ti = context["ti"]
        ti.xcom_push(key="job_id", value=job_id)
        ti.xcom_push(key="sql", value=sql)
        ti.xcom_push(key="openmldb_conn_id", value=self.openmldb_conn_id)
        link = job_log_url(ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        ti.xcom_push(key=OpenMLDBJobLogLink().xcom_key, value=link)

    def _wait(self, job: Job, deadline: float, *, stop_on_kill: bool) -> None:
        """Return when the job is FINISHED for good; defer where that is wanted."""
        defers = self.deferrable and self._can_defer()
        patience = min(deadline, time.time() + self.defer_after_s) if defers else deadline
        settle_s = 0.0 if self.hook.client.consistent else self.settle_s
        watch = JobWatch(patience, self.poll_interval_s, settle_s, self.outage_s)
        final: Job | None = None
        try:
            if not defers or patience > time.time():
                final = self.hook.wait(job.job_id, watch, cancelled=lambda: self._killed)
        except DeadlineExceeded:
            if not defers or self._killed:
                if stop_on_kill and not self._killed:
                    self.hook.stop(job.job_id)
                raise
        if final is None:
            self.defer(
                trigger=OpenMLDBJobTrigger(
                    openmldb_conn_id=self.openmldb_conn_id,
                    job_id=job.job_id,
                    deadline=deadline,
                    poll_s=self.poll_interval_s,
                    settle_s=settle_s,
                    outage_s=self.outage_s,
                    stop_on_kill=stop_on_kill,
                    not_before=time.time() + self.defer_after_s,
                ),
                method_name="execute_complete",
            )
        if final.state is not JobState.FINISHED:
            self._job_failed(final)

    def _can_defer(self) -> bool:
        if self.hook.endpoint.url:
            return True
        self.log.warning(
            "Connection %s has no API server, so the wait is done here and not deferred",
            self.openmldb_conn_id,
        )
        return False

    def _judge_event(self, event: Mapping[str, Any]) -> None:
        """Return if the job is FINISHED, else raise the error of the wait's outcome."""
        job_id = int(event["job_id"])
        self._job_id = job_id
        outcome = JobOutcome(event["outcome"])
        message = str(event.get("message", ""))
        if outcome is JobOutcome.FINISHED:
            self.log.info("Job %d is FINISHED", job_id)
            return
        if outcome is JobOutcome.TIMEOUT:
            if self._owns_job():
                self.hook.stop(job_id)
            raise deadline_error(job_id, JobWatch(time.time()))
        if outcome is JobOutcome.UNAVAILABLE:
            raise ServiceUnavailable(f"{message}; job {job_id} was not seen to its end")
        if outcome is JobOutcome.GONE:
            raise JobLost(f"job {job_id} is not known any more: {message}")
        self._job_failed(self.hook.client.job(job_id))

    def _job_failed(self, job: Job) -> None:
        """Raise the job's error; a subclass that knows better may return instead."""
        raise self.hook.error_of(job)

    def _owns_job(self) -> bool:
        return True

    def _report(self, result: ResultSet | None) -> None:
        if result is None:
            return
        for row in result.rows[:_KEPT_ROWS]:
            self.log.info("%s", row)
        if len(result.rows) > _KEPT_ROWS:
            self.log.info("... and %d rows more", len(result.rows) - _KEPT_ROWS)

    def on_kill(self) -> None:
        """Stop the job that is being waited for, and confirm that it stopped."""
        self._killed = True
        if self._job_id is not None and self._owns_job():
            self.hook.stop(self._job_id)

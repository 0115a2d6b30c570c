"""Operators for OpenMLDB: scripts, loads, exports, deployments, and waiting for a job.

All of them follow the jobs that their statements start to the end. What they do survives the
death of a worker, triggerer or scheduler: before a job is submitted the operator notes, in the
task state store, the highest job id there is; after it, the new id. A later try finds the job by
its id, or, when it died between the two, among the younger jobs by its SQL text.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import BaseOperatorLink

from nightshift.errors import (
    ConfigurationError,
    ContractError,
    DeadlineExceeded,
    JobLost,
    RetryableError,
    ServiceUnavailable,
)
from nightshift.openmldb import (
    Job,
    JobState,
    JobWatch,
    Mode,
    ResultSet,
    first_words,
    normalise_sql,
    quote_literal,
    split_script,
)
from nightshift_provider.durable import Notes, airflow_errors, digest
from nightshift_provider.hooks.openmldb import OpenMLDBHook, deadline_error
from nightshift_provider.links.openmldb import OpenMLDBJobLogLink, job_log_url
from nightshift_provider.operators.waiting import WaitingOperator
from nightshift_provider.triggers.openmldb import JobOutcome, OpenMLDBJobTrigger

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk.definitions.context import Context

ExecuteMode = Literal["offline", "online"]
Option = str | int | float | bool

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
        settle_s: seconds between FINISHED and the second look (a job may still turn to FAILED).
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
                last = self.hook.client.execute(
                    self.database, sql, "offsync" if self.mode == "offline" else "onsync"
                )
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
        candidates = [job for job in jobs.values() if self._is_of(job, sql, known)]
        for job in sorted(candidates, key=lambda job: job.job_id, reverse=True):
            ours = job.job_id == known or (above is not None and job.job_id > above)
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

    def _is_of(self, job: Job, sql: str, known: int | None) -> bool:
        """Whether a job runs this statement, in this database."""
        if normalise_sql(sql) not in normalise_sql(job.parameter):
            return False
        if job.db:
            return job.db == self.database
        # Without a database in its row a load might be another run's; an export's folder is ours.
        return job.job_id == known or " into outfile " in normalise_sql(sql).lower()

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
        watch = JobWatch(patience, self.poll_interval_s, self.settle_s, self.outage_s)
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
                    settle_s=self.settle_s,
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


class OpenMLDBSQLOperator(OpenMLDBOperator):
    """Run a script, one statement a call, and follow the job of each LOAD and INTO OUTFILE.

    Returns as XCom `{"job_ids": [int], "rows": [...], "row_count": int}`; the rows are the last
    statement's, at most 100. A later try leaves out the statements that had ended.

    Args:
        sql: a script, a list of statements, or the name of a `.sql` file; templated.
    """

    def __init__(self, *, sql: str | Sequence[str], **kwargs: Any) -> None:
        super().__init__(sql=sql, **kwargs)


class _BuiltSQLOperator(OpenMLDBOperator):
    """An operator whose SQL is made from its other fields, and shown as rendered template."""

    # A mapped task's fields are rendered by its mapped operator: there the SQL is shown at the end.
    overwrite_rtif_after_execution = True

    def render_template_fields(
        self, context: Context, jinja_env: jinja2.Environment | None = None
    ) -> None:
        """Render the fields, then make the SQL of them."""
        super().render_template_fields(context, jinja_env)
        self.sql = self.build_sql()

    def build_sql(self) -> str:
        """The statement, from rendered fields."""
        raise NotImplementedError

    def statements(self) -> list[str]:
        """The one statement."""
        self.sql = self.build_sql()
        return [self.sql]


class OpenMLDBLoadDataOperator(_BuiltSQLOperator):
    """LOAD DATA of files into a table.

    Loading online appends, so a second load would double the rows. With `expect_rows` and
    `count_sql` the operator counts first: all rows there: nothing to do; none: load; some (a load
    that was cut off): `delete_sql`, then load. After the load it counts again.

    Returns as XCom `{"job_id": int | None, "found": int | None, "rows": int | None,
    "action": "loaded" | "skipped" | "reloaded"}`.

    Args:
        table: target table.
        path: file, folder or glob, as the job's host sees it.
        options: further OPTIONS of LOAD DATA; `format` is parquet, `mode` is overwrite offline
            and append online unless told otherwise.
        expect_rows: rows that `count_sql` gives when the load is complete; templated.
        count_sql: SELECT of one number: how many of these rows the online table holds.
        delete_sql: DELETE (or TRUNCATE TABLE) that removes exactly what `count_sql` counts.
    """

    template_fields: Sequence[str] = (
        *OpenMLDBOperator.template_fields,
        "table",
        "path",
        "options",
        "expect_rows",
        "count_sql",
        "delete_sql",
    )

    def __init__(
        self,
        *,
        table: str,
        path: str,
        options: Mapping[str, Option] | None = None,
        expect_rows: int | str | None = None,
        count_sql: str | None = None,
        delete_sql: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (expect_rows is None) != (count_sql is None):
            raise ValueError("expect_rows and count_sql are given together or not at all")
        self.table = table
        self.path = path
        self.options = options
        self.expect_rows = expect_rows
        self.count_sql = count_sql
        self.delete_sql = delete_sql
        self._found: int | None = None
        self._action = "loaded"

    def build_sql(self) -> str:
        """LOAD DATA INFILE ... INTO TABLE ... OPTIONS(...)."""
        options = {
            "format": "parquet",
            "mode": "overwrite" if self.mode == "offline" else "append",
            **(self.options or {}),
        }
        return (
            f"LOAD DATA INFILE {quote_literal(self.path)} INTO TABLE {self.table} "
            f"{render_options(options)}"
        )

    def before(self, index: int, sql: str) -> bool:
        """Reconcile what the table holds with what the files hold."""
        if self.count_sql is None:
            return True
        expected = self._expected()
        self._found = found = self._count()
        if found == expected:
            self.log.info("%s holds all %d rows already; nothing to load", self.table, found)
            self._action = "skipped"
            return False
        if found == 0:
            self.log.info("%s holds none of the %d rows", self.table, expected)
            return True
        if self.delete_sql is None:
            raise ContractError(
                f"table {self.table} holds {found} of {expected} rows of {self.path}: a load was "
                "cut off, or other rows are counted; remove them, or give the task a delete_sql"
            )
        self.log.warning(
            "%s holds %d of %d rows: they are deleted and loaded anew", self.table, found, expected
        )
        self.hook.client.execute(self.database, self.delete_sql, "onsync")
        left = self._count()
        if left:
            raise RetryableError(
                f"{first_words(self.delete_sql)!r} left {left} rows in {self.table}; "
                "loading now would double them"
            )
        self._action = "reloaded"
        return True

    def _job_failed(self, job: Job) -> None:
        # A load was reported failed and had succeeded (OpenMLDB issue #2793): the rows decide.
        if self.count_sql is not None and self._count() == self._expected():
            self.log.warning(
                "Job %d is %s (%s), yet all %d rows are in %s: taken as loaded",
                job.job_id,
                job.state.value,
                job.error,
                self._expected(),
                self.table,
            )
            return
        super()._job_failed(job)

    def result(self, job_ids: list[int], last: ResultSet | None) -> Any:
        """Count again and say what was done."""
        rows = None
        if self.count_sql is not None:
            rows = self._count()
            if rows != self._expected():
                raise RetryableError(
                    f"after the load {self.table} holds {rows} rows of {self.path} instead of "
                    f"{self._expected()}"
                )
        return {
            "job_id": job_ids[-1] if job_ids else None,
            "found": self._found,
            "rows": rows,
            "action": self._action,
        }

    def _expected(self) -> int:
        try:
            return int(str(self.expect_rows))
        except ValueError:
            raise ConfigurationError(
                f"expect_rows of task {self.task_id} is {self.expect_rows!r}; it must be a number"
            ) from None

    def _count(self) -> int:
        if self.count_sql is None:
            raise ConfigurationError(f"task {self.task_id} has no count_sql")
        result = self.hook.client.execute(self.database, self.count_sql, "onsync")
        try:
            return int(result.rows[0][0]) if result is not None and result.rows else 0
        except (TypeError, ValueError, IndexError) as error:
            raise ContractError(
                f"count_sql of task {self.task_id} gave {result!r} instead of one number"
            ) from error


class OpenMLDBSelectIntoOperator(_BuiltSQLOperator):
    """SELECT ... INTO OUTFILE; the select comes from a `.sql` file or a text.

    Returns as XCom `{"job_id": int, "path": str}`.

    Args:
        select: one SELECT, without INTO; templated, `.sql` files are read.
        path: target folder, unique to the run: by it a lost job is found again.
        options: further OPTIONS; `format` is parquet and `mode` is overwrite by default, so that
            a later try replaces what a failed one left.
    """

    template_fields: Sequence[str] = (
        *OpenMLDBOperator.template_fields,
        "select",
        "path",
        "options",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "select": "sql"}

    def __init__(
        self,
        *,
        select: str,
        path: str,
        options: Mapping[str, Option] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.select = select
        self.path = path
        self.options = options

    def build_sql(self) -> str:
        """SELECT ... INTO OUTFILE '...' OPTIONS(...)."""
        options = {"format": "parquet", "mode": "overwrite", **(self.options or {})}
        return (
            f"{one_statement(self.select, self.task_id)}\n"
            f"INTO OUTFILE {quote_literal(self.path)} {render_options(options)}"
        )

    def result(self, job_ids: list[int], last: ResultSet | None) -> Any:
        """Where the rows are."""
        return {"job_id": job_ids[-1], "path": self.path}


class OpenMLDBDeployOperator(_BuiltSQLOperator):
    """DEPLOY a query under a name that belongs to it alone.

    OpenMLDB has no OR REPLACE and drop-then-deploy fails requests in between: a name that exists
    with the same SQL is a success, with another SQL an error. Returns as XCom `{"name": str,
    "created": bool}`.

    Args:
        name: the deployment; templated.
        select: one SELECT; templated, `.sql` files are read.
        options: OPTIONS of DEPLOY. RANGE_BIAS and ROWS_BIAS are 'inf' by default, so that event
            times of a backfill do not expire.
    """

    template_fields: Sequence[str] = (
        *OpenMLDBOperator.template_fields,
        "name",
        "select",
        "options",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "select": "sql"}
    operator_extra_links = ()

    def __init__(
        self,
        *,
        name: str,
        select: str,
        options: Mapping[str, Option] | None = None,
        mode: ExecuteMode | Mode = "online",
        **kwargs: Any,
    ) -> None:
        super().__init__(mode=mode, **kwargs)
        self.name = name
        self.select = select
        self.options = options
        self._created = False

    def build_sql(self) -> str:
        """DEPLOY name OPTIONS(...) SELECT ..."""
        options = {"RANGE_BIAS": "inf", "ROWS_BIAS": "inf", **(self.options or {})}
        return (
            f"DEPLOY {self.name} {render_options(options)}\n"
            f"{one_statement(self.select, self.task_id)}"
        )

    def before(self, index: int, sql: str) -> bool:
        """Leave out a deployment that is there with the same SQL.

        Raises:
            ContractError: the name is taken by another query.
        """
        client = self.hook.client
        if self.name not in client.deployments(self.database):
            self._created = True
            return True
        there = normalise_sql(client.deployment_text(self.database, self.name))
        if _squeeze(normalise_sql(self.select)) not in _squeeze(there):
            raise ContractError(
                f"deployment {self.database}.{self.name} exists with another query; requests use "
                "it, so it is not replaced: deploy under another name"
            )
        self.log.info("%s.%s is deployed already, same query", self.database, self.name)
        return False

    def result(self, job_ids: list[int], last: ResultSet | None) -> Any:
        """The name, and whether this task made it."""
        if self.name not in self.hook.client.deployments(self.database):
            raise RetryableError(
                f"DEPLOY {self.name} was accepted, yet SHOW DEPLOYMENTS in {self.database} does "
                "not list it"
            )
        return {"name": self.name, "created": self._created}


class OpenMLDBJobSensor(OpenMLDBOperator):
    """Wait for a job given by its id; the job is somebody else's and is never stopped.

    Returns as XCom `{"job_id": int, "state": "FINISHED"}`.

    Args:
        job_id: OpenMLDB's id; templated.
    """

    template_fields: Sequence[str] = ("openmldb_conn_id", "job_id")

    def __init__(self, *, job_id: int | str, database: str = "", **kwargs: Any) -> None:
        super().__init__(database=database, **kwargs)
        self.job_id = job_id

    def execute(self, context: Context) -> Any:
        """Wait until the job is final."""
        with airflow_errors():
            try:
                job_id = int(str(self.job_id))
            except ValueError:
                raise ConfigurationError(
                    f"job_id of task {self.task_id} is {self.job_id!r}; it must be a number"
                ) from None
            job = self.hook.client.job(job_id)
            self._announce(context, job_id, job.parameter)
            notes = Notes(context, "openmldb", digest("sensor", str(job_id)))
            if "deadline" not in notes.values:
                notes.write(deadline=self._deadline())
            self._wait(job, float(notes.values["deadline"]), stop_on_kill=False)
            return {"job_id": job_id, "state": JobState.FINISHED.value}

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Go on after the trigger's event."""
        with airflow_errors():
            self._judge_event(event)
            return {"job_id": int(event["job_id"]), "state": JobState.FINISHED.value}

    def _owns_job(self) -> bool:
        return False


def render_options(options: Mapping[str, Option]) -> str:
    """OPTIONS(...) of a statement: text quoted, booleans and numbers bare.

    Raises:
        ConfigurationError: an option's name is no word.
    """
    parts = []
    for name, value in options.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ConfigurationError(f"{name!r} is no name of an option")
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, int | float):
            text = str(value)
        else:
            text = quote_literal(str(value))
        parts.append(f"{name}={text}")
    return f"OPTIONS({', '.join(parts)})"


def one_statement(sql: str, task_id: str) -> str:
    """The one statement of `sql`, without comments around it and without its semicolon.

    Raises:
        ConfigurationError: there is none, or more than one.
    """
    statements = split_script(sql)
    if len(statements) != 1:
        raise ConfigurationError(
            f"the select of task {task_id} must be one statement; it has {len(statements)}"
        )
    return statements[0]


def _squeeze(sql: str) -> str:
    """Without white space and backquotes: servers print a deployment's SQL their own way."""
    return re.sub(r"[\s`]+", "", sql).lower()


__all__ = [
    "OpenMLDBDeployOperator",
    "OpenMLDBJobSensor",
    "OpenMLDBLoadDataOperator",
    "OpenMLDBSQLOperator",
    "OpenMLDBSelectIntoOperator",
    "render_options",
]

"""The server about itself: SHOW, DESC, SET and STOP JOB."""

from __future__ import annotations

import fnmatch
from typing import Any

from openmldb_sql import statements
from openmldb_sql.types import SqlType

from openmldb_embedded import text
from openmldb_embedded.catalog import JOB_TYPES, SYSTEM_DB, SYSTEM_TABLES, Job, Table
from openmldb_embedded.errors import ExecutionError, NotFound, TableNotFound
from openmldb_embedded.jobs import Jobs
from openmldb_embedded.service.background import jobs_reply
from openmldb_embedded.service.call import DONE, Call, Reply, Settings
from openmldb_embedded.service.deployments import Deployments
from openmldb_embedded.service.operations import Operations
from openmldb_embedded.store import Store


class System:
    """Runs the statements that tell of the server, or set its variables."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        jobs: Jobs,
        deployments: Deployments,
        operations: Operations,
    ) -> None:
        self._store = store
        self._state = store.state
        self._settings = settings
        self._jobs = jobs
        self._deployments = deployments
        self._operations = operations

    def stop_job(self, call: Call, s: statements.StopJob) -> Reply:
        """STOP JOB."""
        return jobs_reply([self._jobs.stop(s.number)])

    def desc(self, call: Call, s: statements.Desc) -> Reply:
        """DESC."""
        table = self._table(call, s.table)
        told = text.describe(table, self._operations.unseen(table.db, table.name))
        return Reply([SqlType.STRING], [(part,) for part in told])

    def _table(self, call: Call, name: statements.Name) -> Table:
        try:
            return self._state.table(*call.name(name))
        except TableNotFound:
            raise NotFound(f"table {name.name} does not exist") from None

    def set_variable(self, call: Call, s: statements.SetVar) -> Reply:
        """SET."""
        check_variable(s.name, s.value)
        if s.name in KNOWN_VARIABLES:
            value = str(s.value).lower()
            self._store.commit({"op": "variable", "name": s.name, "value": value})
        return DONE

    def show(self, call: Call, s: statements.Show) -> Reply:
        """SHOW, of one moment."""
        with self._store.lock:
            return self._show_locked(call, s)

    def _show_locked(self, call: Call, s: statements.Show) -> Reply:
        state = self._state
        string = SqlType.STRING
        if s.what == "DATABASES":
            return Reply([string], [(name,) for name in sorted(state.databases)])
        if s.what == "TABLES":
            tables = (
                SYSTEM_TABLES if call.db == SYSTEM_DB else sorted(state.databases.get(call.db, ()))
            )
            return Reply([string], [(name,) for name in tables])
        if s.what == "DEPLOYMENTS":
            found = sorted(state.deployments.items())
            known = [key for key, d in found if d.db == call.db and not d.procedure]
            return Reply([string] * 2, known)
        if s.what == "DEPLOYMENT" and s.argument is not None:
            return self._show_deployment(*call.name(s.argument))
        if s.what == "JOBS":
            return self._show_jobs(s)
        if s.what == "JOB" and s.number is not None:
            return jobs_reply([self._jobs.get(s.number)])
        if s.what == "JOBLOG" and s.number is not None:
            return Reply([string], [(self._jobs.log(s.number),)])
        if s.what in ("VARIABLES", "GLOBAL VARIABLES"):
            return Reply([string] * 2, sorted(state.variables.items()))
        if s.what == "CREATE TABLE" and s.argument is not None:
            table = self._table(call, s.argument)
            unseen = self._operations.unseen(table.db, table.name)
            return Reply([string] * 2, [(table.name, text.show_create(table, unseen))])
        if s.what == "TABLE STATUS":
            rows = [
                table_status(table, unalive="8" if self._settings.mood.unhealthy() else "0")
                for table in reversed(state.by_id.values())
                if (_like(table.db, s.like) if s.like else table.db == call.db)
            ]
            return Reply([string] * len(STATUS_COLUMNS), rows)
        if s.what == "COMPONENTS":
            endpoint = self._settings.endpoint
            roles = (("tablet", "NULL"), ("nameserver", "master"), ("taskmanager", "NULL"))
            return Reply(
                [string, string, SqlType.TIMESTAMP, string, string],
                [(endpoint, role, 0, "online", ns) for role, ns in (*roles, ("apiserver", "NULL"))],
            )
        if s.what == "FUNCTIONS":
            return Reply([string] * 7, [])
        if s.what == "PROCEDURE STATUS":
            return Reply([string] * 2, sorted(state.deployments))
        if s.what == "CREATE PROCEDURE" and s.argument is not None:
            db, name = call.name(s.argument)
            if (db, name) not in state.deployments:
                raise NotFound(f"Failed to show procedure, {name} does not exist in {db}")
            return DONE  # a cluster shows nothing, too: GET /dbs/{db}/procedures/{name} does
        if s.what == "CURRENT_USER":
            return Reply([string], [("root",)])
        raise ExecutionError(f"SHOW {s.what} is not offered here")

    def _show_deployment(self, db: str, name: str) -> Reply:
        if (db, name) not in self._state.deployments:
            raise NotFound("not found")
        if self._state.deployments[db, name].procedure:
            raise ExecutionError("not a deployment")
        found = self._deployments.runtime(db, name)
        shown = text.show_deployment(found.deployment, found.inputs, found.outputs)
        return Reply([SqlType.STRING], [(shown,)])

    def _show_jobs(self, s: statements.Show) -> Reply:
        component = (s.source or "TASKMANAGER").upper()
        if component == "NAMESERVER":
            found = [job for job in self._operations.jobs() if _like(str(job.id), s.like)]
            return Reply(JOB_TYPES, [_operation_row(job) for job in found])
        if component != "TASKMANAGER":
            raise ExecutionError(f"invalid component {component}")
        return jobs_reply([job for job in self._jobs.all() if _like(str(job.id), s.like)])


def _operation_row(job: Job) -> tuple[Any, ...]:
    """A row of SHOW JOBS FROM NAMESERVER: what TaskManager's rows have is NULL in it."""
    start = (job.id, job.type, job.state, job.start, job.end)
    return (*start, None, None, None, None, job.db, job.name, job.pid, job.task, job.component)


STATUS_COLUMNS = (
    "Table_id",
    "Table_name",
    "Database_name",
    "Storage_type",
    "Rows",
    "Memory_data_size",
    "Disk_data_size",
    "Partition",
    "Partition_unalive",
    "Replica",
    "Offline_path",
    "Offline_format",
    "Offline_symbolic_paths",
    "Warnings",
)


def table_status(table: Table, unalive: str = "0") -> tuple[str, ...]:
    """A table's row of SHOW TABLE STATUS."""
    path, links = "NULL", "NULL"
    if table.parts:
        path = ",".join(part.path for part in table.parts if not part.link)
        links = "".join(f"{part.path}," for part in table.parts if part.link)
    return (
        str(table.id),
        table.name,
        table.db,
        "memory",
        str(table.memory.num_rows),
        "0",
        "0",
        "8",
        unalive,
        "1",
        path,
        "parquet" if table.parts else "NULL",
        links,
        "",
    )


def _like(text_: str, pattern: str | None) -> bool:
    if pattern is None:
        return True
    return fnmatch.fnmatchcase(text_, pattern.replace("%", "*").replace("_", "?"))


_CHOICES = {
    "sync_job": ("true", "false"),
    "enable_trace": ("true", "false"),
    "ansi_sql_rewriter": ("true", "false"),
}
_MODES = ("online", "offline", "request")
KNOWN_VARIABLES = (
    *_CHOICES,
    "execute_mode",
    "job_timeout",
    "insert_memory_usage_limit",
    "spark_config",
)
"""Variables that SET keeps; it takes any other and forgets it, as OpenMLDB does."""


def check_variable(name: str, value: Any) -> None:
    """Refuse a variable's value that it does not take.

    Raises:
        ExecutionError: The value is none of the variable's.
    """
    text_ = str(value).lower()
    if name == "execute_mode" and text_ not in _MODES:
        raise ExecutionError(
            f"INVALID_ARGUMENT: invalid value for system variable 'execute_mode', expect one of "
            f"[{', '.join(_MODES)}], but got {text_}"
        )
    if name in _CHOICES and text_ not in _CHOICES[name]:
        raise ExecutionError(f"the value of {name} must be true|false")
    if name == "job_timeout" and not text_.removeprefix("-").isdecimal():
        raise ExecutionError("Fail to parse value, can't set the request timeout")
    if name == "insert_memory_usage_limit":
        if not text_.removeprefix("-").isdecimal():
            raise ExecutionError("Fail to parse value, can't set the insert_memory_usage_limit")
        if not 0 <= int(text_) <= 100:
            raise ExecutionError("Invalid value! The value must be between 0 and 100")
    if name == "spark_config":
        parts = [part for part in text_.split(";") if part]
        if not all(part.startswith("spark.") for part in parts):
            raise ExecutionError(
                "Fail to parse spark config, set like "
                "'spark.executor.memory=2g;spark.executor.cores=2'"
            )

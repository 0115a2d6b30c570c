"""The server about itself: SHOW, DESC, SET and STOP JOB."""

from __future__ import annotations

import fnmatch
from typing import Any

from openmldb_sql import statements
from openmldb_sql.errors import SyntaxError_
from openmldb_sql.types import SqlType

from openmldb_embedded import text
from openmldb_embedded.catalog import Table
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.jobs import Jobs
from openmldb_embedded.service.background import jobs_reply
from openmldb_embedded.service.call import DONE, Call, Reply, Settings
from openmldb_embedded.service.deployments import Deployments
from openmldb_embedded.store import Store


class System:
    """Runs the statements that tell of the server, or set its variables."""

    def __init__(
        self, store: Store, settings: Settings, jobs: Jobs, deployments: Deployments
    ) -> None:
        self._store = store
        self._state = store.state
        self._settings = settings
        self._jobs = jobs
        self._deployments = deployments

    def stop_job(self, call: Call, s: statements.StopJob) -> Reply:
        """STOP JOB."""
        return jobs_reply([self._jobs.stop(s.number)])

    def desc(self, call: Call, s: statements.Desc) -> Reply:
        """DESC."""
        table = self._state.table(*call.name(s.table))
        return Reply([SqlType.STRING], [(text.describe(table),)])

    def set_variable(self, call: Call, s: statements.SetVar) -> Reply:
        """SET."""
        check_variable(s.name, s.value)
        value = str(s.value).lower() if isinstance(s.value, bool) else str(s.value)
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
            tables = sorted(state.database(s.source or call.db))
            return Reply([string], [(name,) for name in tables if _like(name, s.like)])
        if s.what == "DEPLOYMENTS":
            db = s.source or call.db
            state.database(db)
            return Reply([string, string], [d for d in sorted(state.deployments) if d[0] == db])
        if s.what == "DEPLOYMENT" and s.argument is not None:
            db, name = call.name(s.argument)
            found = self._deployments.runtime(db, name)
            shown = text.show_deployment(found.deployment, found.inputs, found.outputs)
            return Reply([string], [(shown,)])
        if s.what == "JOBS":
            if (s.source or "").upper() == "NAMESERVER":
                return jobs_reply(
                    [j for j in self._deployments.operations() if _like(str(j.id), s.like)]
                )
            if s.source is not None and s.source.upper() != "TASKMANAGER":
                raise SyntaxError_("Syntax error: SHOW JOBS FROM NAMESERVER or TASKMANAGER")
            return jobs_reply([j for j in self._jobs.all() if _like(str(j.id), s.like)])
        if s.what == "JOB" and s.number is not None:
            return jobs_reply([self._jobs.get(s.number)])
        if s.what == "JOBLOG" and s.number is not None:
            return Reply([string], [(self._jobs.log(s.number),)])
        if s.what in ("VARIABLES", "GLOBAL VARIABLES"):
            found_variables = sorted(state.variables.items())
            return Reply([string, string], [v for v in found_variables if _like(v[0], s.like)])
        if s.what == "CREATE TABLE" and s.argument is not None:
            table = state.table(*call.name(s.argument))
            return Reply([string, string], [(table.name, text.show_create(table))])
        if s.what == "TABLE STATUS":
            rows = [
                table_status(table)
                for table in state.by_id.values()
                if table.db == call.db or call.db not in state.databases
            ]
            return Reply([string] * len(STATUS_COLUMNS), [r for r in rows if _like(r[1], s.like)])
        if s.what == "COMPONENTS":
            endpoint = self._settings.endpoint
            roles = (("tablet", "NULL"), ("nameserver", "master"), ("taskmanager", "NULL"))
            return Reply(
                [string] * 5,
                [(endpoint, role, "0", "online", ns) for role, ns in (*roles, ("apiserver", ""))],
            )
        if s.what in ("FUNCTIONS", "USERS", "PROCEDURE STATUS"):
            return Reply([string], [])
        raise ExecutionError(f"SHOW {s.what} is not offered by the embedded server", 1001)


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
    "Offline_deep_copy",
    "Warnings",
)


def table_status(table: Table) -> tuple[str, ...]:
    """A table's row of SHOW TABLE STATUS."""
    paths = ",".join(part.path for part in table.parts) or "NULL"
    deep = "NULL"
    if table.parts:
        deep = "false" if any(part.link for part in table.parts) else "true"
    return (
        str(table.id),
        table.name,
        table.db,
        "memory",
        str(table.memory.num_rows),
        "0",
        "0",
        "1",
        "0",
        "1",
        paths,
        "parquet" if table.parts else "NULL",
        deep,
        "",
    )


def _like(text_: str, pattern: str | None) -> bool:
    if pattern is None:
        return True
    return fnmatch.fnmatchcase(text_, pattern.replace("%", "*").replace("_", "?"))


_CHOICES = {
    "execute_mode": ("online", "offline", "request"),
    "sync_job": ("true", "false"),
    "enable_trace": ("true", "false"),
}


def check_variable(name: str, value: Any) -> None:
    """Refuse a variable's value that it does not take.

    Raises:
        ExecutionError: The value is none of the variable's.
    """
    choices = _CHOICES.get(name)
    if choices is not None and str(value).lower() not in choices:
        raise ExecutionError(f"{name} takes {' or '.join(choices)}, not {value!r}", -1)
    if (
        name in ("job_timeout", "sync_timeout", "insert_memory_usage_limit")
        and not str(value).isdecimal()
    ):
        raise ExecutionError(f"{name} takes a number, not {value!r}", -1)

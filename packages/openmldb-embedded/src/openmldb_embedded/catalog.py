"""What exists: databases, tables, deployments, jobs; and how each logged change changes it.

``State.apply`` is the only way the state changes, for a live statement and for the log's replay
alike: it checks first and changes then, so that a refused change leaves no trace.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from openmldb_sql.types import ColumnDef, IndexDef, Schema, SqlType

from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import AlreadyExists, ExecutionError, NotFound, TableNotFound
from openmldb_embedded.memtable import MemTable
from openmldb_embedded.wire import from_log

Record = dict[str, Any]

SYSTEM_DB = "INFORMATION_SCHEMA"
"""Always there, without tables of a user's; deployments may be kept in it."""
SYSTEM_TABLES = ("DEPLOY_RESPONSE_TIME", "GLOBAL_VARIABLES")
"""What SHOW TABLES lists of it; their rows are not kept here."""
KEPT_JOBS = 10_000
"""Finished jobs beyond this many are forgotten, the oldest first."""


@dataclass(frozen=True)
class OfflinePart:
    """A piece of a table's offline data.

    Attributes:
        path: A parquet file below the data folder, or, for a link, the path as it was given.
        link: Whether the data stays where it is (``deep_copy=false``) and is read at each use.
        options: The LOAD DATA options a link is read with.
    """

    path: str
    link: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Table:
    """A table: its schema, its online rows and its offline parts.

    Attributes:
        segments: Files that hold the first ``persisted`` online rows, in order.
        rewritten: Whether rows were removed since, so that the segments no longer tell the truth.
    """

    id: int
    db: str
    name: str
    schema: Schema
    options: dict[str, Any]
    memory: MemTable
    parts: tuple[OfflinePart, ...] = ()
    segments: list[str] = field(default_factory=list)
    persisted: int = 0
    rewritten: bool = False


@dataclass(frozen=True)
class Deployment:
    """A deployed query: its text and the tables it reads.

    Attributes:
        procedure: The CREATE PROCEDURE that made it, empty for DEPLOY's.
        constants: A procedure's columns that are the same in all rows of a request.
    """

    db: str
    name: str
    sql: str
    options: Mapping[str, Any]
    tables: tuple[tuple[str, str], ...]
    procedure: str = ""
    constants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One row of SHOW JOBS; times are milliseconds since the epoch."""

    id: int
    type: str
    state: str
    start: int
    end: int | None
    parameter: str
    cluster: str
    application: str
    error: str
    db: str
    name: str = ""
    pid: int = 0
    task: str = ""
    component: str = "TaskManager"

    def row(self) -> tuple[Any, ...]:
        """The fourteen columns, as TaskManager fills them.

        ``error`` is always empty (the reason is at the head of SHOW JOBLOG), and the columns
        that only the name server's jobs have are NULL.
        """
        return (
            self.id,
            self.type,
            self.state,
            self.start,
            self.end,
            self.parameter,
            self.cluster,
            self.application,
            "",
            None,
            None,
            None,
            self.task or None,
            self.component,
        )

    @property
    def done(self) -> bool:
        """Whether the job has come to its end."""
        return self.state.lower() in TERMINAL


TERMINAL = ("finished", "failed", "killed", "lost", "stopped")
JOB_TYPES = [
    SqlType.INT32,
    SqlType.STRING,
    SqlType.STRING,
    SqlType.TIMESTAMP,
    SqlType.TIMESTAMP,
    SqlType.STRING,
    SqlType.STRING,
    SqlType.STRING,
    SqlType.STRING,
    SqlType.STRING,
    SqlType.STRING,
    SqlType.INT32,
    SqlType.STRING,
    SqlType.STRING,
]


def schema_record(schema: Schema) -> Record:
    """A schema for the log."""
    return {
        "columns": [
            [
                c.name,
                c.type.value,
                c.not_null,
                c.default.isoformat() if isinstance(c.default, dt.date) else c.default,
            ]
            for c in schema.columns
        ],
        "indexes": [index_record(index) for index in schema.indexes],
    }


def schema_from(record: Record) -> Schema:
    """The inverse of ``schema_record``."""

    def default(kind: SqlType, value: Any) -> Any:
        if kind is SqlType.DATE and value is not None:
            return dt.date.fromisoformat(value)
        return value

    columns = tuple(
        ColumnDef(name, SqlType(kind), not_null, default(SqlType(kind), value))
        for name, kind, not_null, value in record["columns"]
    )
    return Schema(columns, tuple(index_from(index) for index in record["indexes"]))


def index_record(index: IndexDef) -> list[Any]:
    """An index for the log."""
    return [
        list(index.keys),
        index.ts,
        index.ttl_type,
        index.ttl_ms_abs,
        index.ttl_lat,
        index.name,
    ]


def index_from(record: list[Any]) -> IndexDef:
    """The inverse of ``index_record``."""
    keys, ts, kind, absolute, latest, name = record
    return IndexDef(tuple(keys), ts, kind, absolute, latest, name)


class State:
    """All that exists, in memory. Not thread-safe: the store's lock guards it."""

    def __init__(self, read_segment: Callable[[str, Schema], Batch]) -> None:
        self.databases: dict[str, dict[str, Table]] = {}
        self.system: dict[str, Table] = {}
        self.deployments: dict[tuple[str, str], Deployment] = {}
        self.jobs: dict[int, Job] = {}
        self.variables: dict[str, str] = dict(DEFAULT_VARIABLES)
        self.by_id: dict[int, Table] = {}
        self.next_table = 1
        self.next_job = 1
        self.logged: set[str] = set()
        """Segments that the log since the last snapshot names: replaying it needs them."""
        self._read_segment = read_segment

    # ---------------------------------------------------------------- look-up

    def database(self, db: str) -> dict[str, Table]:
        """A database's tables by name.

        Raises:
            NotFound: There is no such database.
        """
        found = self.system if db == SYSTEM_DB else self.databases.get(db)
        if found is None:
            raise NotFound("database not found" if db else "Please use database first")
        return found

    def table(self, db: str, name: str) -> Table:
        """A table.

        Raises:
            TableNotFound: There is no such database or table.
        """
        found = self.databases.get(db, self.system).get(name)
        if found is None:
            raise TableNotFound(db, name)
        return found

    def table_schema(self, db: str, name: str) -> Schema:
        """A table's schema, as the engine's Catalog asks for it."""
        return self.table(db, name).schema

    def deployment(self, db: str, name: str) -> Deployment:
        """A deployment.

        Raises:
            NotFound: There is none of this name.
        """
        found = self.deployments.get((db, name))
        if found is None:
            raise NotFound(f"{name} does not exist in {db}", -1)
        return found

    def _by_id(self, number: int) -> Table:
        found = self.by_id.get(number)
        if found is None:
            raise NotFound("the table has been dropped meanwhile")
        return found

    # ---------------------------------------------------------------- change

    def apply(self, record: Record, batch: Batch | None = None) -> Any:
        """Change the state as the record says.

        Args:
            record: ``{"op": ..., ...}``, JSON.
            batch: A segment's content, where the caller has it at hand already.

        Returns:
            What the operation has to tell: the job of a job record, the count of a delete.
        """
        operation = getattr(self, "_do_" + record["op"])
        return operation(record) if batch is None else operation(record, batch)

    def _do_create_database(self, record: Record) -> None:
        if record["db"] in self.databases or record["db"] == SYSTEM_DB:
            raise AlreadyExists("Create database failed for database already exists")
        self.databases[record["db"]] = {}

    def _do_drop_database(self, record: Record) -> None:
        tables = self.database(record["db"])
        if tables or record["db"] == SYSTEM_DB:
            raise ExecutionError("database not empty")
        del self.databases[record["db"]]

    def _do_create_table(self, record: Record) -> None:
        tables = self.database(record["db"])
        if record["name"] in tables:
            raise AlreadyExists("table already exists")
        schema = schema_from(record["schema"])
        table = Table(
            record["id"],
            record["db"],
            record["name"],
            schema,
            dict(record["options"]),
            MemTable(schema),
        )
        tables[table.name] = table
        self.by_id[table.id] = table
        self.next_table = max(self.next_table, table.id + 1)

    def _do_drop_table(self, record: Record) -> None:
        table = self.table(record["db"], record["name"])
        users = [
            f"{deployment.db}.{deployment.name}"
            for deployment in self.deployments.values()
            if (table.db, table.name) in deployment.tables
        ]
        if users:
            raise ExecutionError(
                f"fail to drop, table has associated deployment: {', '.join(sorted(users))}"
            )
        del self.databases[table.db][table.name]
        del self.by_id[table.id]

    def _do_index(self, record: Record) -> None:
        """Add an index, or change the ttl of one with the same keys and time column."""
        table = self._by_id(record["id"])
        self._set_index(table, index_from(record["index"]))

    def _set_index(self, table: Table, index: IndexDef) -> None:
        indexes = list(table.schema.indexes)
        for place, old in enumerate(indexes):
            if (old.keys, old.ts) == (index.keys, index.ts):
                index = indexes[place] = replace(index, name=old.name)
                break
        else:
            indexes.append(index)
        table.schema = replace(table.schema, indexes=tuple(indexes))
        table.memory.ensure_index(index.keys, index.ts, index)

    def _do_drop_index(self, record: Record) -> None:
        table = self._by_id(record["id"])
        kept = tuple(i for i in table.schema.indexes if i.name != record["name"])
        if len(kept) == len(table.schema.indexes):
            raise NotFound("index doesn't exist!")
        if table.schema.indexes[0].name == record["name"]:
            raise ExecutionError("index is primary key")
        table.schema = replace(table.schema, indexes=kept)

    def _do_insert(self, record: Record) -> None:
        table = self._by_id(record["id"])
        table.memory.append(from_log(record["rows"], table.schema))

    def _do_delete(self, record: Record) -> int:
        table = self._by_id(record["id"])
        equals = dict(record["equals"])
        for column in table.schema.columns:
            if column.type is SqlType.DATE and equals.get(column.name) is not None:
                equals[column.name] = dt.date.fromordinal(equals[column.name])
        gone = table.memory.delete(equals, record["ts"], record["min"], record["max"])
        table.rewritten = table.rewritten or gone > 0
        return gone

    def _do_truncate(self, record: Record) -> None:
        table = self._by_id(record["id"])
        table.memory.truncate()
        table.rewritten = True

    def _do_expire(self, record: Record) -> int:
        """Remove what every index had let go of at the record's moment."""
        table = self._by_id(record["id"])
        gone = table.memory.collect(record["now"])
        table.rewritten = table.rewritten or gone > 0
        return gone

    def _do_segment(self, record: Record, batch: Batch | None = None) -> None:
        """Append a staged file's rows online; with ``job``, that job is finished by it."""
        table = self._by_id(record["id"])
        if batch is None:
            batch = self._read_segment(record["file"], table.schema)
        table.memory.append_batch(batch)
        self.logged.add(record["file"])
        if record.get("job"):
            self._do_job(record["job"])

    def _do_offline(self, record: Record) -> None:
        """Set or extend a table's offline parts; with ``job``, that job is finished by it."""
        table = self._by_id(record["id"])
        parts = tuple(OfflinePart(*part) for part in record["parts"])
        table.parts = parts if record["replace"] else (*table.parts, *parts)
        if record.get("job"):
            self._do_job(record["job"])

    def _do_deploy(self, record: Record) -> None:
        db, name = record["db"], record["name"]
        text, code = "ns create procedure failed--ReturnCode[-1]--", 2001
        if "procedure" in record:
            text, code = "", 2000
        if db != SYSTEM_DB and db not in self.databases:
            raise NotFound(f"{text}database not found", code)
        if (db, name) in self.deployments:
            raise AlreadyExists(f"{text}store procedure already exists", code)
        for number, index in record["indexes"]:
            self._set_index(self._by_id(number), index_from(index))
        self.deployments[db, name] = Deployment(
            db,
            name,
            record["sql"],
            record["options"],
            tuple((d, t) for d, t in record["tables"]),
            record.get("procedure", ""),
            tuple(record.get("constants", ())),
        )

    def _do_drop_deployment(self, record: Record) -> None:
        found = self.deployments.get((record["db"], record["name"]))
        if record.get("procedure"):  # a cluster drops deployments by DROP PROCEDURE, too
            if found is None:
                raise NotFound("Failed to drop, storage procedure not found!")
        elif found is None:
            raise NotFound("deployment not found")
        elif found.procedure:
            raise ExecutionError("not a deployment")
        del self.deployments[record["db"], record["name"]]

    def _do_job(self, record: Record) -> Job:
        values = {key: value for key, value in record.items() if key != "op"}
        job = Job(**values)
        self.jobs[job.id] = job
        self.next_job = max(self.next_job, job.id + 1)
        if len(self.jobs) > KEPT_JOBS + KEPT_JOBS // 10:
            old = sorted(i for i, j in self.jobs.items() if j.done)[: len(self.jobs) - KEPT_JOBS]
            for number in old:
                del self.jobs[number]
        return job

    def _do_nothing(self, record: Record) -> None:
        """A job that had no effect but its own end."""
        if record.get("job"):
            self._do_job(record["job"])

    def _do_variable(self, record: Record) -> None:
        self.variables[record["name"]] = record["value"]

    # ---------------------------------------------------------------- snapshots

    def dump(self) -> Record:
        """The state as JSON, but for the online rows: those are in the segments named."""
        return {
            "databases": list(self.databases),
            "tables": [
                {
                    "id": t.id,
                    "db": t.db,
                    "name": t.name,
                    "schema": schema_record(t.schema),
                    "options": t.options,
                    "parts": [[p.path, p.link, dict(p.options)] for p in t.parts],
                    "segments": list(t.segments),
                }
                for t in self.by_id.values()
            ],
            "deployments": [
                [
                    *(d.db, d.name, d.sql, dict(d.options), [list(t) for t in d.tables]),
                    *([d.procedure, list(d.constants)] if d.procedure else []),
                ]
                for d in self.deployments.values()
            ],
            "jobs": [vars(job) for job in self.jobs.values()],
            "variables": dict(self.variables),
            "next_table": self.next_table,
            "next_job": self.next_job,
        }

    def load(self, dump: Record) -> None:
        """The inverse of ``dump``, into an empty state."""
        self.databases = {db: {} for db in dump["databases"]}
        for record in dump["tables"]:
            self._do_create_table(record)
            table = self.by_id[record["id"]]
            table.parts = tuple(OfflinePart(*part) for part in record["parts"])
            table.segments = list(record["segments"])
            for name in table.segments:
                table.memory.append_batch(self._read_segment(name, table.schema))
            table.persisted = table.memory.num_rows
        for db, name, sql, options, tables, *procedure in dump["deployments"]:
            text, constants = procedure or ("", ())
            self.deployments[db, name] = Deployment(
                db, name, sql, options, tuple((d, t) for d, t in tables), text, tuple(constants)
            )
        self.jobs = {job["id"]: Job(**job) for job in dump["jobs"]}
        self.variables.update(dump["variables"])
        self.next_table = dump["next_table"]
        self.next_job = dump["next_job"]


DEFAULT_VARIABLES = {
    "enable_trace": "false",
    "execute_mode": "offline",
    "insert_memory_usage_limit": "0",
    "job_timeout": "20000",
    "spark_config": "",
    "sync_job": "false",
    "sync_timeout": "60000",
}

"""The service: each kind of statement to what runs it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from openmldb_sql import statements
from openmldb_sql.errors import PlanError, SqlError, SyntaxError_

from openmldb_embedded.catalog import Job
from openmldb_embedded.errors import ExecutionError, NotFound
from openmldb_embedded.jobs import OFFLINE_JOBS, Jobs, Work
from openmldb_embedded.offline.registry import ENGINES
from openmldb_embedded.paths import Roots
from openmldb_embedded.referee import Referee
from openmldb_embedded.service.background import Background
from openmldb_embedded.service.call import Call, Mode, Reply, Settings, configured
from openmldb_embedded.service.collector import Collector
from openmldb_embedded.service.ddl import Definitions
from openmldb_embedded.service.deployments import Deployments
from openmldb_embedded.service.loads import Loads
from openmldb_embedded.service.operations import Operations
from openmldb_embedded.service.procedures import Procedures
from openmldb_embedded.service.queries import Queries
from openmldb_embedded.service.rows import Rows
from openmldb_embedded.service.system import System
from openmldb_embedded.stop import Stop
from openmldb_embedded.store import Store
from openmldb_embedded.workers import Workers

LOG = logging.getLogger("openmldb_embedded")

MAX_SQL = 8 * 2**20
"""Characters of a statement; each costs a hundred times its size while it is parsed."""


class Service:
    """Executes statements; thread-safe."""

    def __init__(self, store: Store, roots: Roots, settings: Settings) -> None:
        self.store = store
        self.state = store.state
        self._workers = Workers(settings.job_memory)
        self._offline = ENGINES[settings.offline_engine](store, self._workers, settings.taskmanager)
        self._jobs = Jobs(
            store,
            self._workers,
            settings.jobs_at_once,
            self._offline,
            settings.mood,
        )
        background = Background(self._jobs)
        operations = Operations(settings.mood)
        self._mood = settings.mood
        self.visibility = operations.visibility
        self.rows = Rows(store, background, exact=settings.exact)
        self.referee = Referee(lenient=settings.lenient)
        self.deployments = Deployments(
            store, operations, exact=settings.exact, referee=self.referee
        )
        procedures = Procedures(store, operations, self.deployments, self.referee)
        self._queries = Queries(
            store, roots, settings, self._workers, background, self._offline, self.referee
        )
        self._loads = Loads(store, roots, background, settings.mood)
        definitions = Definitions(store, roots, operations, procedures.use)
        system = System(store, settings, self._jobs, self.deployments, operations)
        self._handlers: dict[type, Callable[[Call, Any], Reply]] = {
            statements.CreateDatabase: definitions.create_database,
            statements.DropDatabase: definitions.drop_database,
            statements.Use: definitions.use,
            statements.CreateTable: definitions.create_table,
            statements.DropTable: definitions.drop_table,
            statements.CreateIndex: definitions.create_index,
            statements.DropIndex: definitions.drop_index,
            statements.Insert: self.rows.insert,
            statements.Delete: self.rows.delete,
            statements.Truncate: self.rows.truncate,
            statements.LoadData: self._loads.load_data,
            statements.AlterTable: self._loads.alter_table,
            statements.Select: self._queries.select,
            statements.SelectInto: self._queries.select_into,
            statements.Explain: self._queries.explain,
            statements.Deploy: self.deployments.deploy,
            statements.DropDeployment: self.deployments.drop_deployment,
            statements.CreateProcedure: procedures.create,
            statements.DropProcedure: procedures.drop,
            statements.CallProcedure: procedures.call,
            statements.DropFunction: definitions.drop_function,
            statements.Show: system.show,
            statements.StopJob: system.stop_job,
            statements.Desc: system.desc,
            statements.SetVar: system.set_variable,
        }
        self._jobs.resume(self._work_of)
        self._collector = Collector(store)
        self._collector.start()

    def _work_of(self, job: Job) -> Work | None:
        """The work of a job that an earlier server left, if its engine works on without one."""
        if not self._offline.outlives or job.type not in OFFLINE_JOBS:
            return None
        try:
            statement = statements.parse(job.parameter)
            call = Call(job.db, job.parameter, Mode(online=False, sync=False), 0.0, (), Stop())
            if isinstance(statement, statements.LoadData):
                return self._loads.offline_work(call, statement)
            if isinstance(statement, statements.SelectInto):
                return self._queries.export_work(call, statement)
            if isinstance(statement, statements.Select) and job.type == "RunBatchSql":
                return self._queries.select_work(call, statement)
        except SqlError as error:
            LOG.warning("job %d cannot be followed: %s", job.id, error)
        return None

    def warm(self) -> None:
        """Start the workers' template and make the deployments ready, before they are asked for."""
        self._workers.warm()
        for db, name in list(self.state.deployments):
            try:
                self.deployments.runtime(db, name)
            except Exception as error:  # noqa: PERF203 - whoever asks for it will be told
                LOG.warning("deployment %s.%s is not ready: %s", db, name, error)

    def interrupt(self) -> None:
        """Stop all jobs and queries: who waits for them is answered at once."""
        self._jobs.interrupt()
        self._queries.interrupt()

    def close(self) -> None:
        """Stop the jobs and close the store."""
        self.interrupt()
        self._collector.close()
        self._jobs.close()
        self.store.close()

    def execute(
        self,
        db: str,
        sql: str,
        mode: Mode,
        timeout: float = 600.0,
        params: Sequence[Any] = (),
        stop: Stop | None = None,
        *,
        null_for_nan: bool = False,
        has_input: bool = False,
    ) -> Reply:
        """Run the statement of ``sql`` that counts.

        As on the real server every statement must be sound; then the first one is run and the
        rest forgotten, except that of several SELECTs the last one is run.

        Args:
            db: The database of names without one; it need not exist for what needs none.
            sql: A script.
            mode: Online or offline, and whether to wait for a job's end.
            timeout: Seconds to wait for a job or a query at most.
            params: The values of the statement's ``?``.
            stop: Called by the caller to give a query up.
            null_for_nan: Whether NaN and the infinities are answered as null.
            has_input: Whether the request spoke of parameters, be it of none.

        Raises:
            SqlError: The statement is wrong or failed.
        """
        if len(sql) > MAX_SQL:
            raise SyntaxError_(
                f"the statement has {len(sql)} characters, at most {MAX_SQL} are taken: insert "
                f"fewer rows at once, or use LOAD DATA"
            )
        statement, *others = statements.parse_script(sql)
        if others and isinstance(statement, statements.Select):
            other = next((o for o in others if not isinstance(o, statements.Select)), None)
            if other is not None:
                raise PlanError(f"Plan type not supported: {type(other).__name__} after SELECT")
            statement = others[-1]
        call = Call(db, sql.strip(), mode, timeout, params, stop or Stop(), null_for_nan, has_input)
        if isinstance(statement, statements.Refused):
            raise ExecutionError(statement.reason, statement.code)
        handler = self._handlers[type(statement)]
        if isinstance(statement, _HARMLESS):
            self._ask_tablets(call, statement)
            return handler(call, statement)
        self._ask_tablets(call, statement)
        if self._mood.late(partial(handler, call, statement)):
            reached = f"Reached timeout={timeout * 1000:.0f}ms"
            raise ExecutionError(f"[E1008]{reached}", 2000)
        try:
            return handler(call, statement)
        finally:
            self._mood.perhaps_die()

    def ask_deployment(self, db: str, name: str) -> None:
        """Let a request find no tablet, or not yet the deployment, where a test wants it so.

        Raises:
            SqlError: It does.
        """
        self._mood.tablet(-1, f"fail to get tablet, table {db}.{name}")
        self._mood.perhaps_die("call_death")
        if self._mood.spend("call_timeouts"):
            raise ExecutionError("call procedure failed--[E1008]Reached timeout=60000ms", 2000)
        if self.visibility.hides(db, name):
            raise NotFound(f"{name} does not exist in {db}", -1)

    def _ask_tablets(self, call: Call, s: Any) -> None:
        """Let a statement find no tablet, or not yet the table, where a test wants it so."""
        online = configured(call.mode, getattr(s, "config", {})).online
        if isinstance(s, statements.Select) and (online or not call.mode.sync):
            self._mood.tablet(1500, "Query rpc failed--[E112]Not connected to 127.0.0.1:10921 yet")
        elif isinstance(s, statements.Insert) and online:
            db, name = call.name(s.table)
            self._mood.tablet(2000, f"fail to get {db}.{name} tablets")
            if self.visibility.hides(db, name):
                raise ExecutionError(f"fail to get {db}.{name} tablets")
        elif isinstance(s, (statements.Delete, statements.Truncate, statements.CreateTable)):
            self._mood.tablet(2000, "cannot connect tablet")
        elif isinstance(s, (statements.Deploy, statements.CreateProcedure)):
            self._mood.tablet(2000, "ns create procedure failed--cannot connect tablet")


_HARMLESS = (
    statements.Select,
    statements.Explain,
    statements.CallProcedure,
    statements.Show,
    statements.Desc,
    statements.SetVar,
    statements.Use,
    statements.StopJob,
)
"""Statements that change no table: they are not answered late, and nobody dies of them."""


def as_error(error: BaseException) -> SqlError:
    """Any failure as one that a client can be told."""
    if isinstance(error, SqlError):
        return error
    if isinstance(error, RecursionError):
        return SyntaxError_("the statement nests too deep")
    if isinstance(error, MemoryError):
        return ExecutionError("the server has not memory enough for this: take less data at once")
    return ExecutionError(f"{type(error).__name__}: {error}", 2001)

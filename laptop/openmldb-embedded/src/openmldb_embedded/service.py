"""Statements to effects: each mode's rules, over the store, the engine and the jobs.

The modes are the API server's: ``online`` and ``onsync`` work on the tables in memory, ``offsync``
and ``offasync`` on the offline data; loads and exports are jobs in every mode, and a synchronous
mode waits for the job's end before it answers with the job's row.
"""

from __future__ import annotations

import fnmatch
import logging
import re
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from openmldb_sql import statements
from openmldb_sql.errors import SqlError, SyntaxError_
from openmldb_sql.types import ColumnDef, IndexDef, Schema, SqlType

from openmldb_embedded import engine, export, load, text, worker
from openmldb_embedded.catalog import (
    JOB_TYPES,
    Deployment,
    Job,
    OfflinePart,
    Record,
    State,
    Table,
    index_record,
    schema_record,
)
from openmldb_embedded.columns import Batch, type_from_arrow
from openmldb_embedded.errors import AlreadyExists, ExecutionError, NotFound, ProtocolError
from openmldb_embedded.jobs import Context, Finish, Jobs, Stop, Stopped, Workers, job_rows
from openmldb_embedded.options import flag_option
from openmldb_embedded.paths import Roots
from openmldb_embedded.store import Store, read_segment, write_segment
from openmldb_embedded.wire import RowReader, RowWriter, from_literal, to_log

LOG = logging.getLogger("openmldb_embedded")

COLD = 1.0
"""Seconds that a row is thought to take until one has been measured."""
MAX_SQL = 8 * 2**20
"""Characters of a statement; each costs a hundred times its size while it is parsed."""
LIGHT_ROWS = 20_000
"""An online query over more rows than this runs in a process of its own."""
_HEAVY = re.compile(r"\b(left|right|full|inner|cross|outer)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Mode:
    """How a statement is to run."""

    online: bool
    sync: bool

    @classmethod
    def of(cls, name: str) -> Mode:
        """The mode of a request's ``mode`` field.

        Raises:
            ProtocolError: There is no such mode.
        """
        known = {
            "offsync": cls(False, True),
            "offasync": cls(False, False),
            "online": cls(True, False),
            "onsync": cls(True, True),
        }
        found = known.get(name.lower())
        if found is None:
            raise ProtocolError(f"Invalid mode {name}: offsync, offasync, online or onsync")
        return found


@dataclass(frozen=True)
class Reply:
    """What a statement answers: nothing, rows, or the finished body of an answer."""

    types: Sequence[SqlType] | None = None
    rows: Sequence[Sequence[Any]] = ()
    body: bytes | None = None


DONE = Reply()


@dataclass(frozen=True)
class Settings:
    """Limits of one server."""

    jobs_at_once: int = 2
    job_memory: int = 0
    max_rows: int = 1_000_000
    endpoint: str = "127.0.0.1:9080"


class Runtime:
    """A deployment that is ready to answer."""

    def __init__(self, deployment: Deployment, state: State) -> None:
        self.deployment = deployment
        self.query = engine.compile_request(deployment.sql, state, deployment.db)
        self.inputs = list(self.query.input_schema)
        self.outputs = list(self.query.output_schema)
        known = {
            (column.name, column.type): column
            for column in state.table(*self.query.request_table).schema.columns
        }
        columns = tuple(known.get(f, ColumnDef(*f)) for f in self.inputs)
        self.reader = RowReader(Schema(columns))
        self.writer = RowWriter([kind for _, kind in self.outputs])
        self.answer = self.query.bind(lambda db, name: state.table(db, name).memory)
        self.schema = [{"name": name, "type": kind.lower_name} for name, kind in self.outputs]
        self.seconds = COLD
        """How long one row took of late; the server decides by it where to run the next."""

    def took(self, seconds: float) -> None:
        """Learn how long a row took; the first rows, before the stores are warm, do not last."""
        if self.seconds >= COLD / 2:
            self.seconds = min(seconds, COLD)
        else:
            self.seconds += (seconds - self.seconds) * 0.2


@dataclass(frozen=True)
class _Call:
    """One statement's circumstances."""

    db: str
    sql: str
    mode: Mode
    timeout: float
    params: Sequence[Any]
    stop: Stop
    null_for_nan: bool = False

    def name(self, name: statements.Name) -> tuple[str, str]:
        return name.db or self.db, name.name


class Service:
    """Executes statements; thread-safe."""

    def __init__(self, store: Store, roots: Roots, settings: Settings) -> None:
        self.store = store
        self.state = store.state
        self.roots = roots
        self.settings = settings
        self.workers = Workers(settings.job_memory)
        self.jobs = Jobs(store, self.workers, settings.jobs_at_once)
        self._runtimes: dict[tuple[str, str], Runtime] = {}
        self._deploying = threading.Lock()
        self._ops: list[tuple[int, str]] = []
        self._queries: set[Stop] = set()
        self._room = threading.BoundedSemaphore(settings.jobs_at_once)

    def warm(self) -> None:
        """Start the workers' template and make the deployments ready, before they are asked for."""
        self.workers.warm()
        for db, name in list(self.state.deployments):
            try:
                self.runtime(db, name)
            except Exception as error:  # noqa: PERF203 - whoever asks for it will be told
                LOG.warning("deployment %s.%s is not ready: %s", db, name, error)

    def interrupt(self) -> None:
        """Stop all jobs and queries: who waits for them is answered at once."""
        self.jobs.interrupt()
        for stop in list(self._queries):
            stop()

    def close(self) -> None:
        """Stop the jobs and close the store."""
        self.interrupt()
        self.jobs.close()
        self.store.close()

    # ---------------------------------------------------------------- statements

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
    ) -> Reply:
        """Run the first statement of ``sql``.

        Args:
            db: The database of names without one; it need not exist for what needs none.
            sql: A script; what follows the first statement is not looked at.
            mode: Online or offline, and whether to wait for a job's end.
            timeout: Seconds to wait for a job or a query at most.
            params: The values of the statement's ``?``.
            stop: Called by the caller to give a query up.
            null_for_nan: Whether NaN and the infinities are answered as null.

        Raises:
            SqlError: The statement is wrong or failed.
        """
        if len(sql) > MAX_SQL:
            raise SyntaxError_(
                f"the statement has {len(sql)} characters, at most {MAX_SQL} are taken: insert "
                f"fewer rows at once, or use LOAD DATA"
            )
        statement = statements.parse(sql)
        call = _Call(db, sql.strip(), mode, timeout, params, stop or Stop(), null_for_nan)
        handlers: dict[type, Callable[[_Call, Any], Reply]] = {
            statements.CreateDatabase: self._create_database,
            statements.DropDatabase: self._drop_database,
            statements.Use: self._use,
            statements.CreateTable: self._create_table,
            statements.DropTable: self._drop_table,
            statements.CreateIndex: self._create_index,
            statements.DropIndex: self._drop_index,
            statements.Insert: self._insert,
            statements.Delete: self._delete,
            statements.Truncate: self._truncate,
            statements.LoadData: self._load_data,
            statements.Select: self._select,
            statements.SelectInto: self._select_into,
            statements.Deploy: self._deploy,
            statements.DropDeployment: self._drop_deployment,
            statements.Show: self._show,
            statements.StopJob: self._stop_job,
            statements.Desc: self._desc,
            statements.SetVar: self._set,
            statements.Explain: self._explain,
        }
        return handlers[type(statement)](call, statement)

    def _create_database(self, call: _Call, s: statements.CreateDatabase) -> Reply:
        try:
            self.store.commit({"op": "create_database", "db": _plain(s.name)})
        except AlreadyExists:
            if not s.if_not_exists:
                raise
        return DONE

    def _drop_database(self, call: _Call, s: statements.DropDatabase) -> Reply:
        try:
            self.store.commit({"op": "drop_database", "db": s.name})
        except NotFound:
            if not s.if_exists:
                raise
        return DONE

    def _use(self, call: _Call, s: statements.Use) -> Reply:
        self.state.database(s.name)
        return DONE

    def _create_table(self, call: _Call, s: statements.CreateTable) -> Reply:
        db, name = call.name(s.table)
        schema = s.schema
        if s.like_parquet is not None:
            schema = self._parquet_schema(s.like_parquet)
        schema = complete_schema(_plain(name), schema)

        def make(state: State) -> Record:
            return {
                "op": "create_table",
                "id": state.next_table,
                "db": db,
                "name": name,
                "schema": schema_record(schema),
                "options": dict(s.options),
            }

        try:
            self.store.commit(make)
        except AlreadyExists:
            if not s.if_not_exists:
                raise
        return DONE

    def _parquet_schema(self, path: str) -> Schema:
        file = self.roots.sources(path)[0]
        try:
            found = pq.read_schema(file)
        except (OSError, ValueError) as error:
            raise ExecutionError(f"{file} cannot be read as parquet: {error}") from error
        return Schema(tuple(ColumnDef(f.name, type_from_arrow(f.type)) for f in found))

    def _drop_table(self, call: _Call, s: statements.DropTable) -> Reply:
        db, name = call.name(s.table)
        try:
            with self.store.lock:
                parts = self.state.table(db, name).parts
            self.store.commit({"op": "drop_table", "db": db, "name": name})
        except NotFound:
            if not s.if_exists:
                raise
            return DONE
        self.store.discard_offline(parts)
        return DONE

    def _create_index(self, call: _Call, s: statements.CreateIndex) -> Reply:
        db, name = call.name(s.table)

        def make(state: State) -> Record:
            table = state.table(db, name)
            index = check_index(replace(s.index, name=s.name), table.schema)
            for old in table.schema.indexes:
                if old.name == s.name or (old.keys, old.ts) == (index.keys, index.ts):
                    raise AlreadyExists(f"index {old.name} already exists on table {db}.{name}")
            return {"op": "index", "id": table.id, "index": index_record(index)}

        self.store.commit(make)
        return DONE

    def _drop_index(self, call: _Call, s: statements.DropIndex) -> Reply:
        db, name = call.name(s.table)
        self.store.commit(
            lambda state: {
                "op": "drop_index",
                "id": state.table(db, name).id,
                "name": s.name,
            }
        )
        return DONE

    # ---------------------------------------------------------------- rows

    def insert_rows(self, db: str, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Append checked rows to a table online."""

        def make(state: State) -> Record:
            table = state.table(db, name)
            return {"op": "insert", "id": table.id, "rows": to_log(rows, table.schema)}

        self.store.commit(make)

    def _insert(self, call: _Call, s: statements.Insert) -> Reply:
        db, name = call.name(s.table)
        rows = insert_rows(s, self.state.table(db, name).schema, db)
        if not call.mode.online:
            work = partial(self._insert_offline, db=db, name=name, rows=rows)
            return self._job("InsertOfflineData", call, work)
        if s.or_ignore:
            self._insert_absent(db, name, rows)
        else:
            self.insert_rows(db, name, rows)
        return DONE

    def _insert_absent(self, db: str, name: str, rows: list[tuple[Any, ...]]) -> None:
        def make(state: State) -> Record:
            table = state.table(db, name)
            fresh = [rows[i] for i in absent(table, rows)]
            return {"op": "insert", "id": table.id, "rows": to_log(fresh, table.schema)}

        self.store.commit(make)

    def _insert_offline(
        self, context: Context, db: str, name: str, rows: list[tuple[Any, ...]]
    ) -> Finish:
        table = self.state.table(db, name)
        batch = Batch.from_rows(table.schema.fields, rows)
        with context.staging() as folder:
            path = folder / "rows.parquet"
            load.stage_parquet(iter([batch.to_arrow()]), table.schema, path)
            return self._offline_finish(table, [path], "append", {})

    def _delete(self, call: _Call, s: statements.Delete) -> Reply:
        db, name = call.name(s.table)

        def make(state: State) -> Record:
            table = state.table(db, name)
            return {"op": "delete", "id": table.id, **delete_bounds(s, table.schema)}

        self.store.commit(make)
        return DONE

    def _truncate(self, call: _Call, s: statements.Truncate) -> Reply:
        db, name = call.name(s.table)
        self.store.commit(lambda state: {"op": "truncate", "id": state.table(db, name).id})
        return DONE

    # ---------------------------------------------------------------- jobs

    def _job(self, kind: str, call: _Call, work: Callable[[Context], Finish | None]) -> Reply:
        job = self.jobs.submit(kind, call.sql, call.db, work)
        if call.mode.sync:
            job = self.jobs.wait(job.id, call.timeout)
        return _jobs_reply([job])

    def _load_data(self, call: _Call, s: statements.LoadData) -> Reply:
        db, name = call.name(s.table)
        self.state.table(db, name)
        mode = _configured(call.mode, s.config)
        kind = "ImportOnlineData" if mode.online else "ImportOfflineData"
        work = self._load_online if mode.online else self._load_offline
        return self._job(kind, replace(call, mode=mode), partial(work, db=db, name=name, s=s))

    def _load_online(self, context: Context, db: str, name: str, s: statements.LoadData) -> Finish:
        options = load.LoadOptions.of(s.options)
        if options.mode != "append" or not options.deep_copy:
            raise ExecutionError(
                "import to online storage takes mode='append' and deep_copy=true only"
            )
        table = self.state.table(db, name)
        files = self.roots.sources(s.path)
        context.log(f"reading {len(files)} file(s) below {files[0].parent}")
        with context.staging() as folder:
            source = worker.Source(tuple(str(file) for file in files), options)
            outcome = context.run(worker.LoadTask(source, table.schema, str(folder), online=True))
            context.log(f"{outcome.rows} rows read")
            if not outcome.rows:
                return _nothing, None
            path = folder / "rows.arrow"
            batch = read_segment(path, table.schema)
            if options.put_if_absent:
                fresh = absent(table, batch.to_rows())
                context.log(f"{len(fresh)} rows are new")
                if not fresh:
                    return _nothing, None
                path = folder / "fresh.arrow"
                write_segment(batch.take(np.asarray(fresh)).to_arrow(), path)
                batch = read_segment(path, table.schema)
            segment = self.store.adopt_segment(path)
        return (lambda state: {"op": "segment", "id": table.id, "file": segment}), batch

    def _load_offline(self, context: Context, db: str, name: str, s: statements.LoadData) -> Finish:
        options = load.LoadOptions.of(s.options)
        table = self.state.table(db, name)
        files = self.roots.sources(s.path)
        if options.mode == "error_if_exists" and table.parts:
            raise ExecutionError(_has_offline(table))
        context.log(f"reading {len(files)} file(s) below {files[0].parent}")
        kept = {key: value for key, value in s.options.items() if key not in ("mode", "deep_copy")}
        if not options.deep_copy:
            link = [s.path, True, kept]
            return self._parts_finish(table, [link], options.mode), None
        with context.staging() as folder:
            source = worker.Source(tuple(str(file) for file in files), options)
            outcome = context.run(worker.LoadTask(source, table.schema, str(folder), online=False))
            context.log(f"{outcome.rows} rows read")
            return self._offline_finish(table, [folder / "rows.parquet"], options.mode, {})

    def _offline_finish(
        self, table: Table, staged: list[Path], mode: str, options: dict[str, Any]
    ) -> Finish:
        names = self.store.adopt_offline(table, staged)
        return self._parts_finish(table, [[name, False, options] for name in names], mode), None

    def _parts_finish(
        self, table: Table, parts: list[list[Any]], mode: str
    ) -> Callable[[State], Record]:
        def make(state: State) -> Record:
            if mode == "error_if_exists" and table.parts:
                raise ExecutionError(_has_offline(table))
            if mode == "overwrite":
                self.store.superseded.append(table.parts)
            return {
                "op": "offline",
                "id": table.id,
                "parts": parts,
                "replace": mode == "overwrite",
            }

        return make

    # ---------------------------------------------------------------- queries

    def _select(self, call: _Call, s: statements.Select) -> Reply:
        mode = _configured(call.mode, s.config)
        if not mode.online and not mode.sync:
            return self._job(
                "RunBatchSql", replace(call, mode=mode), partial(self._run_sql, s=s, call=call)
            )
        query = engine.compile_batch(s.sql, self.state, call.db, call.params)
        if mode.online and self._is_light(s.sql, query):
            result = query.execute(self._online_rows)
            return Reply(
                body=worker.reply(result, self.settings.max_rows, null_for_nan=call.null_for_nan)
            )
        with self.store.scratch() as folder:
            self._run_apart(call, query, s.sql, online=mode.online, folder=folder)
            return Reply(body=(folder / "reply.json").read_bytes())

    def _is_light(self, sql: str, query: engine.BatchQuery) -> bool:
        """Whether a query over the online tables may run in the server's own process."""
        rows = sum(self.state.table(*table).memory.num_rows for table in query.tables)
        return rows <= LIGHT_ROWS and _HEAVY.search(sql) is None

    def _online_rows(self, db: str, name: str) -> Batch:
        return self.state.table(db, name).memory.scan()

    def _run_apart(
        self,
        call: _Call,
        query: engine.BatchQuery,
        sql: str,
        *,
        online: bool,
        folder: Path,
        options: export.ExportOptions | None = None,
    ) -> None:
        """Run a query in a process of its own, for as long as its caller is willing to wait."""
        task = worker.QueryTask(
            sql,
            call.db,
            self._online_data(query, folder) if online else self._offline_data(query),
            str(folder),
            tuple(call.params),
            export=options,
            max_rows=self.settings.max_rows,
            null_for_nan=call.null_for_nan,
        )
        timer = threading.Timer(call.timeout, call.stop)
        timer.daemon = True
        timer.start()
        self._queries.add(call.stop)
        try:
            while not self._room.acquire(timeout=0.2):
                call.stop.check()
            try:
                self.workers.run(task, call.stop)
            finally:
                self._room.release()
        except Stopped:
            raise ExecutionError(
                f"the query was given up: it did not end within {call.timeout:g} s, its client "
                f"left, or the server stops"
            ) from None
        finally:
            self._queries.discard(call.stop)
            timer.cancel()

    def _online_data(self, query: engine.BatchQuery, folder: Path) -> tuple[worker.TableData, ...]:
        found = []
        for number, (db, name) in enumerate(sorted(query.tables)):
            table = self.state.table(db, name)
            path = folder / f"{number}.arrow"
            write_segment(table.memory.scan().to_arrow(), path)
            found.append(worker.TableData(db, name, table.schema, segment=str(path)))
        return tuple(found)

    def _offline_data(self, query: engine.BatchQuery) -> tuple[worker.TableData, ...]:
        found = []
        for db, name in sorted(query.tables):
            table = self.state.table(db, name)
            sources = tuple(self._source(part) for part in table.parts)
            found.append(worker.TableData(db, name, table.schema, sources))
        return tuple(found)

    def _source(self, part: OfflinePart) -> worker.Source:
        if part.link:
            files = self.roots.sources(part.path)
            return worker.Source(tuple(map(str, files)), load.LoadOptions.of(part.options))
        parquet = load.LoadOptions(format="parquet")
        return worker.Source((str(self.store.data / part.path),), parquet)

    def _run_sql(self, context: Context, s: statements.Select, call: _Call) -> None:
        query = engine.compile_batch(s.sql, self.state, call.db, call.params)
        with context.staging() as folder:
            task = worker.QueryTask(
                s.sql,
                call.db,
                self._offline_data(query),
                str(folder),
                tuple(call.params),
                max_rows=self.settings.max_rows,
            )
            outcome = context.run(task)
            context.log(f"{outcome.rows} rows")
            context.log((folder / "reply.json").read_bytes()[:65_536].decode("utf-8", "replace"))

    def _select_into(self, call: _Call, s: statements.SelectInto) -> Reply:
        mode = _configured(call.mode, s.config)
        options = export.ExportOptions.of(s.options)
        target = self.roots.target(s.path)
        if mode.online:
            query = engine.compile_batch(s.sql, self.state, call.db, call.params)
            export.check_file(target, options)
            with self.store.scratch() as folder:
                one = replace(options, coalesce=1)
                if self._is_light(s.sql, query):
                    (folder / "parts").mkdir()
                    export.stage(query.execute(self._online_rows), folder / "parts", one)
                else:
                    self._run_apart(call, query, s.sql, online=True, folder=folder, options=one)
                export.publish_file(folder / "parts", target, options)
            return DONE
        work = partial(self._export, s=s, call=call, target=target, options=options)
        return self._job("ExportOfflineData", replace(call, mode=mode), work)

    def _export(
        self,
        context: Context,
        s: statements.SelectInto,
        call: _Call,
        target: Path,
        options: export.ExportOptions,
    ) -> None:
        query = engine.compile_batch(s.sql, self.state, call.db, call.params)
        export.check_folder(target, options)
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.with_name(f".{target.name}.staging-job{context.job.id}")
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        try:
            task = worker.QueryTask(
                s.sql,
                call.db,
                self._offline_data(query),
                str(staged),
                tuple(call.params),
                export=options,
            )
            outcome = context.run(task)
            context.stop.check()
            export.publish(staged / "parts", target, options)
            context.log(f"{outcome.rows} rows written to {target}")
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _explain(self, call: _Call, s: statements.Explain) -> Reply:
        query = engine.compile_batch(s.sql, self.state, call.db, call.params)
        return Reply([SqlType.STRING], [(query.explain(),)])

    # ---------------------------------------------------------------- deployments

    def _deploy(self, call: _Call, s: statements.Deploy) -> Reply:
        if not call.mode.online:
            raise ExecutionError("DEPLOY works in online mode only: use mode online or onsync", -1)
        bias = deploy_options(s.options)
        with self._deploying:
            if s.if_not_exists and (call.db, s.name) in self.state.deployments:
                return DONE
            query = engine.compile_request(s.sql, self.state, call.db)

            def make(state: State) -> Record:
                return {
                    "op": "deploy",
                    "db": call.db,
                    "name": s.name,
                    "sql": s.sql,
                    "options": dict(s.options),
                    "indexes": needed_indexes(state, query, bias),
                    "tables": sorted([db, name] for db, name in query.tables),
                }

            self.store.commit(make)
            self.runtime(call.db, s.name)
        if bias.sync:
            return DONE
        self._ops.append((len(self._ops) + 1, f"{call.db}.{s.name}"))
        return Reply([SqlType.INT64], [(len(self._ops),)])

    def ready(self, db: str, name: str) -> Runtime | None:
        """A deployment that has been used before, without waiting."""
        return self._runtimes.get((db, name))

    def runtime(self, db: str, name: str) -> Runtime:
        """A deployment ready to answer.

        Raises:
            NotFound: There is none of this name.
        """
        found = self._runtimes.get((db, name))
        if found is not None:
            return found
        deployment = self.state.deployment(db, name)
        found = Runtime(deployment, self.state)
        with self.store.lock:
            if self.state.deployments.get((db, name)) is deployment:
                self._runtimes[db, name] = found
        return found

    def _drop_deployment(self, call: _Call, s: statements.DropDeployment) -> Reply:
        db, name = call.name(s.name)
        try:
            with self._deploying:
                self.store.commit({"op": "drop_deployment", "db": db, "name": name})
                with self.store.lock:
                    self._runtimes.pop((db, name), None)
        except NotFound:
            if not s.if_exists:
                raise
        return DONE

    # ---------------------------------------------------------------- shows

    def _stop_job(self, call: _Call, s: statements.StopJob) -> Reply:
        return _jobs_reply([self.jobs.stop(s.number)])

    def _desc(self, call: _Call, s: statements.Desc) -> Reply:
        table = self.state.table(*call.name(s.table))
        return Reply([SqlType.STRING], [(text.describe(table),)])

    def _set(self, call: _Call, s: statements.SetVar) -> Reply:
        check_variable(s.name, s.value)
        value = str(s.value).lower() if isinstance(s.value, bool) else str(s.value)
        self.store.commit({"op": "variable", "name": s.name, "value": value})
        return DONE

    def _show(self, call: _Call, s: statements.Show) -> Reply:
        with self.store.lock:
            return self._show_locked(call, s)

    def _show_locked(self, call: _Call, s: statements.Show) -> Reply:
        state = self.state
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
            found = self.runtime(db, name)
            shown = text.show_deployment(found.deployment, found.inputs, found.outputs)
            return Reply([string], [(shown,)])
        if s.what == "JOBS":
            if (s.source or "").upper() == "NAMESERVER":
                return _jobs_reply(self._nameserver_jobs(s.like))
            if s.source is not None and s.source.upper() != "TASKMANAGER":
                raise SyntaxError_("Syntax error: SHOW JOBS FROM NAMESERVER or TASKMANAGER")
            return _jobs_reply([j for j in self.jobs.all() if _like(str(j.id), s.like)])
        if s.what == "JOB" and s.number is not None:
            return _jobs_reply([self.jobs.get(s.number)])
        if s.what == "JOBLOG" and s.number is not None:
            return Reply([string], [(self.jobs.log(s.number),)])
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
            endpoint = self.settings.endpoint
            roles = (("tablet", "NULL"), ("nameserver", "master"), ("taskmanager", "NULL"))
            return Reply(
                [string] * 5,
                [(endpoint, role, "0", "online", ns) for role, ns in (*roles, ("apiserver", ""))],
            )
        if s.what in ("FUNCTIONS", "USERS", "PROCEDURE STATUS"):
            return Reply([string], [])
        raise ExecutionError(f"SHOW {s.what} is not offered by the embedded server", 1001)

    def _nameserver_jobs(self, like: str | None) -> list[Job]:
        return [
            Job(
                number,
                "kAddIndexOP",
                "FINISHED",
                0,
                0,
                what,
                "",
                "",
                "",
                "",
                component="nameserver",
            )
            for number, what in self._ops
            if _like(str(number), like)
        ]


# -------------------------------------------------------------------- rules


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


def _plain(name: str) -> str:
    """A name that can be one.

    Raises:
        ExecutionError: Empty, overlong, or with characters no name holds.
    """
    if not name or len(name) > 128 or not all(c.isprintable() and c not in "/`'\"" for c in name):
        raise ExecutionError(f"{name[:60]!r} cannot be a name", -1)
    return name


def _configured(mode: Mode, config: statements.Options) -> Mode:
    """A statement's own CONFIG over the request's mode."""
    wanted = str(config.get("execute_mode", "")).lower()
    if wanted in ("offline", "online", "request"):
        mode = replace(mode, online=wanted != "offline")
    elif wanted:
        raise ExecutionError(f"execute_mode takes offline or online, not {wanted!r}", -1)
    if "sync_job" in config:
        mode = replace(mode, sync=flag_option(config, "sync_job", default=mode.sync))
    return mode


def _jobs_reply(jobs: list[Job]) -> Reply:
    return Reply(JOB_TYPES, job_rows(jobs))


def _nothing(state: State) -> Record:
    return {"op": "nothing"}


def _has_offline(table: Table) -> str:
    return (
        f"table {table.db}.{table.name} has offline data already: use mode='append' or "
        f"mode='overwrite'"
    )


def _like(text_: str, pattern: str | None) -> bool:
    if pattern is None:
        return True
    return fnmatch.fnmatchcase(text_, pattern.replace("%", "*").replace("_", "?"))


def check_index(index: IndexDef, schema: Schema) -> IndexDef:
    """The index, if its columns exist and have the types an index takes.

    Raises:
        SqlError: An unknown column, or one that cannot be a key or a time.
    """
    for key in index.keys:
        column = schema.columns[schema.position(key)]
        if column.type.is_floating:
            raise ExecutionError(f"column {key} of type {column.type.value} cannot be a key", -1)
    if index.ts is not None:
        column = schema.columns[schema.position(index.ts)]
        if column.type not in (SqlType.TIMESTAMP, SqlType.INT64):
            raise ExecutionError(
                f"column {index.ts} of type {column.type.value} cannot be an index's ts: it "
                f"takes timestamp or bigint",
                -1,
            )
    elif index.expires and index.ttl_type != "latest":
        raise ExecutionError("an index that expires by time needs a ts column", -1)
    return index


def complete_schema(name: str, schema: Schema) -> Schema:
    """A new table's schema: checked, defaults converted, indexes named, one made if none is there.

    Raises:
        SqlError: Two columns of a name, a default of another type, an index that cannot be.
    """
    names = [column.name for column in schema.columns]
    for column in names:
        if names.count(column) > 1:
            raise ExecutionError(f"create table {name} failed: two columns named {column}", -1)
    columns = tuple(
        column
        if column.default is None
        else replace(column, default=from_literal(column.default, column))
        for column in schema.columns
    )
    schema = replace(schema, columns=columns)
    indexes = list(schema.indexes)
    if not indexes:
        keys = [c.name for c in columns if not c.type.is_floating]
        if not keys:
            raise ExecutionError(f"create table {name} failed: no column can be an index key", -1)
        indexes = [IndexDef((keys[0],))]
    seen: set[tuple[tuple[str, ...], str | None]] = set()
    for index in indexes:
        check_index(index, schema)
        if (index.keys, index.ts) in seen:
            raise ExecutionError(f"create table {name} failed: an index is given twice", -1)
        seen.add((index.keys, index.ts))
    named = tuple(
        index if index.name else replace(index, name=f"INDEX_{number}")
        for number, index in enumerate(indexes)
    )
    return replace(schema, indexes=named)


def insert_rows(s: statements.Insert, schema: Schema, db: str) -> list[tuple[Any, ...]]:
    """An INSERT's rows as stored values in the schema's order, defaults filled in.

    Raises:
        SqlError: An unknown column, a row of another length, a value of another type.
    """
    if s.columns is None:
        places = list(range(len(schema.columns)))
    else:
        places = [schema.position(name) for name in s.columns]
        if len(set(places)) != len(places):
            raise ExecutionError("a column is named twice in the INSERT", -1)
    given = {place: at for at, place in enumerate(places)}
    rows = []
    for number, row in enumerate(s.rows):
        if len(row) != len(places):
            raise ExecutionError(
                f"insert into {db}.{s.table.name} failed: row {number} has {len(row)} values for "
                f"{len(places)} columns",
                -1,
            )
        values = []
        for place, column in enumerate(schema.columns):
            at = given.get(place)
            value = column.default if at is None else row[at]
            if at is None and column.default is not None:
                values.append(value)
            else:
                values.append(from_literal(value, column))
        rows.append(tuple(values))
    return rows


def absent(table: Table, rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """The places of the rows that the table does not hold yet, each distinct row once."""
    first = table.schema.indexes[0]
    index = table.memory.ensure_index(first.keys, first.ts)
    places = [table.schema.position(key) for key in first.keys]
    seen: set[tuple[Any, ...]] = set()
    found = []
    known: dict[Any, set[tuple[Any, ...]]] = {}
    for number, row in enumerate(rows):
        key = row[places[0]] if len(places) == 1 else tuple(row[p] for p in places)
        if key not in known:
            known[key] = {tuple(old) for old in index.get(key)[1]}
        if row not in known[key] and row not in seen:
            seen.add(row)
            found.append(number)
    return found


def delete_bounds(s: statements.Delete, schema: Schema) -> Record:
    """A DELETE's conditions: columns to equal, and the bounds of one index's time column.

    Raises:
        SqlError: A column that is in no index, or a bound on one that is no time.
    """
    keys = {key for index in schema.indexes for key in index.keys}
    times = {index.ts for index in schema.indexes if index.ts is not None}
    equals: dict[str, Any] = {}
    ts: str | None = None
    low: int | None = None
    high: int | None = None
    for condition in s.where:
        column = schema.columns[schema.position(condition.column)]
        if column.name not in keys | times:
            raise ExecutionError(
                f"DELETE needs indexed columns: {column.name} is in no index of {s.table.name}", -1
            )
        value = from_literal(condition.value, replace(column, not_null=False))
        if condition.operator == "=" and column.name in keys:
            if column.name in equals and equals[column.name] != value:
                raise ExecutionError(f"DELETE compares {column.name} with two values", -1)
            equals[column.name] = value.toordinal() if column.type is SqlType.DATE else value
            continue
        if column.name not in times or value is None:
            raise ExecutionError(
                f"DELETE takes {condition.operator} on an index's ts column only, not on "
                f"{column.name}",
                -1,
            )
        if ts not in (None, column.name):
            raise ExecutionError(f"DELETE takes one ts column, not {ts} and {column.name}", -1)
        ts = column.name
        if condition.operator in ("=", ">", ">="):
            bound = value + (condition.operator == ">")
            low = bound if low is None else max(low, bound)
        if condition.operator in ("=", "<", "<="):
            bound = value - (condition.operator == "<")
            high = bound if high is None else min(high, bound)
    return {"equals": equals, "ts": ts, "min": low, "max": high}


@dataclass(frozen=True)
class Bias:
    """What DEPLOY adds to the ttl its windows imply; None is for ever."""

    range_ms: int | None = 0
    rows: int | None = 0
    sync: bool = True


def deploy_options(options: statements.Options) -> Bias:
    """OPTIONS of DEPLOY, checked.

    Raises:
        ExecutionError: An unknown option or a value it does not take.
    """
    known = {"range_bias", "rows_bias", "long_windows", "skip_index_check", "sync"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ExecutionError(
            f"DEPLOY has no option {', '.join(unknown)}; it has {', '.join(sorted(known))}", -1
        )
    span = options.get("range_bias", 0)
    range_ms: int | None
    if isinstance(span, str) and span.lower() == "inf":
        range_ms = None
    elif isinstance(span, str):
        range_ms = statements.duration_ms(span)
    elif isinstance(span, int) and not isinstance(span, bool) and span >= 0:
        range_ms = span
    else:
        raise ExecutionError(f"RANGE_BIAS takes 'inf', a duration or ms, not {span!r}", -1)
    count = options.get("rows_bias", 0)
    rows: int | None
    if isinstance(count, str) and count.lower() == "inf":
        rows = None
    elif isinstance(count, str) and count.isdecimal():
        rows = int(count)
    elif isinstance(count, int) and not isinstance(count, bool) and count >= 0:
        rows = count
    else:
        raise ExecutionError(f"ROWS_BIAS takes 'inf' or a number, not {count!r}", -1)
    return Bias(range_ms, rows, flag_option(options, "sync", default=True))


def biased(index: IndexDef, bias: Bias) -> IndexDef:
    """An index whose ttl is longer by the bias."""
    span, count = index.ttl_ms_abs, index.ttl_lat
    if span:
        span = 0 if bias.range_ms is None else span + bias.range_ms
    if count:
        count = 0 if bias.rows is None else count + bias.rows
    return replace(index, ttl_ms_abs=span, ttl_lat=count)


def widest(first: IndexDef, second: IndexDef) -> IndexDef:
    """An index that keeps what either keeps."""
    if not first.expires:
        return first
    if not second.expires:
        return replace(second, name=first.name or second.name)
    if first.ttl_type == second.ttl_type and first.ttl_type != "absorlat":
        span = (
            0
            if 0 in (first.ttl_ms_abs, second.ttl_ms_abs)
            else max(first.ttl_ms_abs, second.ttl_ms_abs)
        )
        count = 0 if 0 in (first.ttl_lat, second.ttl_lat) else max(first.ttl_lat, second.ttl_lat)
        return replace(first, ttl_ms_abs=span, ttl_lat=count)
    # Kinds that differ: a row goes only when both limits say so.
    span = max(first.ttl_ms_abs, second.ttl_ms_abs)
    count = max(first.ttl_lat, second.ttl_lat)
    if not span or not count:
        return replace(first, ttl_type="absolute", ttl_ms_abs=0, ttl_lat=0)
    return replace(first, ttl_type="absandlat", ttl_ms_abs=span, ttl_lat=count)


def needed_indexes(state: State, query: engine.RequestQuery, bias: Bias) -> list[list[Any]]:
    """The indexes a deployment adds or widens: ``[table id, index]``."""
    wanted: dict[tuple[int, tuple[str, ...], str | None], IndexDef] = {}
    for db, name, index in query.indexes:
        table = state.table(db, name)
        key = (table.id, index.keys, index.ts)
        longer = biased(index, bias)
        wanted[key] = widest(wanted[key], longer) if key in wanted else longer
    changes = []
    counts: dict[int, int] = {}
    for (number, keys, ts), index in wanted.items():
        table = state.by_id[number]
        old = next((i for i in table.schema.indexes if (i.keys, i.ts) == (keys, ts)), None)
        if old is not None:
            found = widest(old, index)
            if found == old:
                continue
        else:
            counts[number] = counts.get(number, len(table.schema.indexes)) + 1
            found = replace(index, name=f"INDEX_{counts[number] - 1}")
        changes.append([number, index_record(found)])
    return changes


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


def as_error(error: BaseException) -> SqlError:
    """Any failure as one that a client can be told."""
    if isinstance(error, SqlError):
        return error
    if isinstance(error, RecursionError):
        return SyntaxError_("the statement nests too deep")
    if isinstance(error, MemoryError):
        return ExecutionError("the server has not memory enough for this: take less data at once")
    return ExecutionError(f"{type(error).__name__}: {error}", 2001)

"""SELECT, SELECT INTO and EXPLAIN."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from openmldb_sql import statements
from openmldb_sql.errors import SqlError
from openmldb_sql.types import SqlType

from openmldb_embedded import engine, export, load, worker
from openmldb_embedded.catalog import OfflinePart
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import ExecutionError, UnsupportedError
from openmldb_embedded.jobs import Context, Work
from openmldb_embedded.offline import OfflineEngine
from openmldb_embedded.paths import Roots, is_remote
from openmldb_embedded.plan import WindowAggregate, walk
from openmldb_embedded.referee import Referee
from openmldb_embedded.request.literal import literal_rows
from openmldb_embedded.service.background import Background
from openmldb_embedded.service.call import DONE, Call, Mode, Reply, Settings, configured
from openmldb_embedded.service.offline import offline_files
from openmldb_embedded.service.planning import EXPLAINING, check_online, planning
from openmldb_embedded.stop import Stop, Stopped
from openmldb_embedded.store import Store, write_segment
from openmldb_embedded.workers import Workers

LIGHT_ROWS = 20_000
"""An online query over more rows than this runs in a process of its own."""
MISSING_PARAMETER = "Fail to get parameter type"


class Queries:
    """Runs queries: small ones here, others in a process of their own."""

    def __init__(
        self,
        store: Store,
        roots: Roots,
        settings: Settings,
        workers: Workers,
        background: Background,
        offline: OfflineEngine,
        referee: Referee,
    ) -> None:
        self._store = store
        self._state = store.state
        self._roots = roots
        self._settings = settings
        self._referee = referee
        self._strict = not settings.lenient
        self._workers = workers
        self._background = background
        self._offline = offline
        self._running: set[Stop] = set()
        self._room = threading.BoundedSemaphore(settings.jobs_at_once)

    def interrupt(self) -> None:
        """Stop all queries: who waits for them is answered at once."""
        for stop in list(self._running):
            stop()

    def select(self, call: Call, s: statements.Select) -> Reply:
        """SELECT: its rows, or in mode ``offasync`` a job."""
        if str(s.config.get("execute_mode", "")).lower() == "request":
            return self._answer(call, s)
        mode = self._mode(call, s)
        if not mode.online and not mode.sync:
            work = self.select_work(call, s)
            return self._background.run("RunBatchSql", replace(call, mode=mode), work)
        if not mode.online and self._offline.outlives:
            return self._show_offline(call, s)
        query = self._compiled(call, s.sql, online=mode.online)
        if mode.online and self._is_light(query):
            result = query.execute(self._online_rows(query))
            return Reply(
                body=worker.reply(result, self._settings.max_rows, null_for_nan=call.null_for_nan)
            )
        with self._store.scratch() as folder:
            self._run_apart(call, query, s.sql, online=mode.online, folder=folder)
            return Reply(body=(folder / "reply.json").read_bytes())

    def _answer(self, call: Call, s: statements.Select) -> Reply:
        """A SELECT in request mode, over the request rows that its CONFIG holds."""
        query = engine.compile_request(s.sql, self._state, call.db, strict=self._strict)
        self._referee.confirm_deployment(query, s.sql, self._state, call.db)
        if "values" not in s.config:
            raise ExecutionError(
                "CONFIG (execute_mode='request') needs values=(...): a row of "
                f"{query.request_table[1]}, or [(...), (...)] for several",
                -1,
            )
        rows = literal_rows(str(s.config["values"]), query.input_schema, strict=False)
        answer = query.bind(lambda db, name: self._state.table(db, name).memory)
        return Reply([kind for _, kind in query.output_schema], answer(rows))

    def select_work(self, call: Call, s: statements.Select) -> Work:
        """The work of an offline SELECT."""
        return partial(self._run_sql, s=s, call=call)

    def _show_offline(self, call: Call, s: statements.Select) -> Reply:
        """A SELECT whose rows an engine with jobs of its own computes: a job that is waited for."""
        replies: list[bytes] = []

        def work(context: Context) -> None:
            with context.staging() as folder:
                self._compute(context, s, call, folder)
                replies.append((folder / "reply.json").read_bytes())

        self._background.show("RunBatchAndShow", call, work)
        return Reply(body=replies[0])

    def _is_light(self, query: engine.BatchQuery) -> bool:
        """Whether a query over the online tables may run in the server's own process."""
        rows = sum(self._state.table(*table).memory.num_rows for table in query.tables)
        return rows <= LIGHT_ROWS and not query.multiplies

    def _mode(self, call: Call, s: statements.Select) -> Mode:
        """How a plain SELECT runs: online whatever the request's mode, unless CONFIG says offline.

        One kindness over the real server, which answers an empty result there: in an offline mode
        a SELECT of tables that hold nothing online reads what they hold offline.
        """
        mode = configured(replace(call.mode, online=True), s.config)
        if call.mode.online or "execute_mode" in s.config:
            return mode
        try:
            names = engine.compile_batch(s.sql, self._state, call.db, call.params).tables
        except SqlError:
            return mode
        tables = [self._state.table(*name) for name in names]
        empty = bool(tables) and not any(table.memory.num_rows for table in tables)
        return replace(mode, online=not (empty and any(table.parts for table in tables)))

    def _compiled(
        self, call: Call, sql: str, *, online: bool, export: bool = False
    ) -> engine.BatchQuery:
        """A checked query, or the error that a cluster would answer with."""
        try:
            with planning(EXPLAINING, sql, strict=self._strict):
                query = engine.compile_batch(
                    sql, self._state, call.db, call.params, strict=self._strict
                )
        except SqlError as error:
            if online and self._strict and isinstance(error.__context__, UnsupportedError):
                check_online(sql)
            if error.code == 3 and not call.has_input and MISSING_PARAMETER in error.message:
                reason = error.message.split("--")[-1]
                raise SqlError(f"Query rpc failed----ReturnCode[1000]--{reason}", 1500) from None
            raise
        if online and self._strict:
            check_online(sql)
        return self._referee.confirm(
            query, sql, self._state, call.db, call.params, online=online, export=export
        )

    def _online_rows(self, query: engine.BatchQuery) -> Callable[[str, str], Batch]:
        """The rows that a query over the online tables sees: the newest of each key first."""
        ordered = not any(isinstance(node, WindowAggregate) for node in walk(query.plan))

        def rows(db: str, name: str) -> Batch:
            found = self._state.table(db, name).memory.visible(newest_first=ordered)
            share = self._settings.mood.share()
            return found if share == 1 else found.slice(0, int(found.num_rows * share))

        return rows

    def _run_apart(
        self,
        call: Call,
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
            self._online_data(query, folder) if online else self._offline_data(query.tables),
            str(folder),
            tuple(call.params),
            export=options,
            max_rows=self._settings.max_rows,
            null_for_nan=call.null_for_nan,
        )
        timer = threading.Timer(call.timeout, call.stop)
        timer.daemon = True
        timer.start()
        self._running.add(call.stop)
        try:
            while not self._room.acquire(timeout=0.2):
                call.stop.check()
            try:
                self._workers.run(task, call.stop)
            finally:
                self._room.release()
        except Stopped:
            raise ExecutionError(
                f"the query was given up: it did not end within {call.timeout:g} s, its client "
                f"left, or the server stops"
            ) from None
        finally:
            self._running.discard(call.stop)
            timer.cancel()

    def _online_data(self, query: engine.BatchQuery, folder: Path) -> tuple[worker.TableData, ...]:
        found = []
        rows = self._online_rows(query)
        for number, (db, name) in enumerate(sorted(query.tables)):
            table = self._state.table(db, name)
            path = folder / f"{number}.arrow"
            write_segment(rows(db, name).to_arrow(), path)
            found.append(worker.TableData(db, name, table.schema, segment=str(path)))
        return tuple(found)

    def _offline_tables(
        self, call: Call, sql: str, *, export: bool = False
    ) -> set[engine.TableName]:
        """The tables that an offline query reads.

        An engine of its own may know statements that the embedded one refuses: it is given every
        table of the database then, and is the one to refuse.
        """
        try:
            query = engine.compile_batch(
                sql, self._state, call.db, call.params, strict=self._strict
            )
        except SqlError:
            if not self._offline.outlives:
                raise
            return {(call.db, name) for name in self._state.database(call.db)}
        if not self._offline.outlives:  # else that engine is OpenMLDB's own
            self._referee.confirm(
                query, sql, self._state, call.db, call.params, online=False, export=export
            )
        return query.tables

    def _offline_data(self, tables: set[engine.TableName]) -> tuple[worker.TableData, ...]:
        found = []
        for db, name in sorted(tables):
            table = self._state.table(db, name)
            sources = tuple(self._source(part) for part in table.parts)
            found.append(worker.TableData(db, name, table.schema, sources))
        return tuple(found)

    def _source(self, part: OfflinePart) -> worker.Source:
        if part.link:
            files = offline_files(self._roots, self._offline, part.path)
            return worker.Source(files, load.LoadOptions.of(part.options))
        parquet = load.LoadOptions(format="parquet")
        return worker.Source((str(self._store.data / part.path),), parquet)

    def _run_sql(self, context: Context, s: statements.Select, call: Call) -> None:
        with context.staging() as folder:
            self._compute(context, s, call, folder)
            context.log((folder / "reply.json").read_bytes()[:65_536].decode("utf-8", "replace"))

    def _compute(self, context: Context, s: statements.Select, call: Call, folder: Path) -> None:
        """Compute an offline SELECT and stage its answer."""
        task = worker.QueryTask(
            s.sql,
            call.db,
            self._offline_data(self._offline_tables(call, s.sql)),
            str(folder),
            tuple(call.params),
            max_rows=self._settings.max_rows,
            null_for_nan=call.null_for_nan,
        )
        outcome = context.run_offline(task)
        context.log(f"{outcome.rows} rows")

    def select_into(self, call: Call, s: statements.SelectInto) -> Reply:
        """SELECT INTO OUTFILE: one file online, a job offline."""
        mode = configured(call.mode, s.config)
        options = export.ExportOptions.of(s.options)
        if mode.online:
            target = self._roots.target(s.path)
            query = self._compiled(call, s.sql, online=True, export=True)
            export.check_file(target, options)
            with self._store.scratch() as folder:
                one = replace(options, coalesce=1)
                if self._is_light(query):
                    (folder / "parts").mkdir()
                    export.stage(query.execute(self._online_rows(query)), folder / "parts", one)
                else:
                    self._run_apart(call, query, s.sql, online=True, folder=folder, options=one)
                export.publish_file(folder / "parts", target, options)
            return DONE
        work = self.export_work(call, s)
        return self._background.run("ExportOfflineData", replace(call, mode=mode), work)

    def export_work(self, call: Call, s: statements.SelectInto) -> Work:
        """The work of an offline SELECT INTO."""
        options = export.ExportOptions.of(s.options)
        if is_remote(s.path) and self._offline.reaches:
            url = self._roots.url(s.path)
            return partial(self._export_beyond, s=s, call=call, url=url, options=options)
        target = self._roots.target(s.path)
        return partial(self._export, s=s, call=call, target=target, options=options)

    def _export_beyond(
        self,
        context: Context,
        s: statements.SelectInto,
        call: Call,
        url: str,
        options: export.ExportOptions,
    ) -> None:
        """Have the engine write to another file system, as it does: no rename gives the name."""
        tables = self._offline_data(self._offline_tables(call, s.sql, export=True))
        with context.staging() as folder:
            context.run_offline(
                worker.QueryTask(
                    s.sql,
                    call.db,
                    tables,
                    str(folder),
                    tuple(call.params),
                    export=options,
                    target=url,
                )
            )
        context.log(f"written to {url}")

    def _export(
        self,
        context: Context,
        s: statements.SelectInto,
        call: Call,
        target: Path,
        options: export.ExportOptions,
    ) -> None:
        tables = self._offline_data(self._offline_tables(call, s.sql, export=True))
        if not context.resumed:
            export.check_folder(target, options)
        with context.staging_beside(target) as staged, self._store.scratch() as aside:
            task = worker.QueryTask(
                s.sql,
                call.db,
                tables,
                str(staged),
                tuple(call.params),
                export=options,
                aside=str(aside),
            )
            outcome = context.run_offline(task)
            context.stop.check()
            if (staged / "parts").exists():  # else an earlier server gave them their name
                export.publish(staged / "parts", target, options)
            if outcome.parts > 1:
                context.log(f"computed in {outcome.parts} parts: memory did not hold the whole")
            context.log(f"{outcome.rows} rows written to {target}")

    def explain(self, call: Call, s: statements.Explain) -> Reply:
        """EXPLAIN."""
        query = self._compiled(call, s.sql, online=False)
        return Reply([SqlType.STRING], [(query.explain() + "\n",)])

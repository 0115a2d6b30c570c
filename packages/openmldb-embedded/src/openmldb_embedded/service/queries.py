"""SELECT, SELECT INTO and EXPLAIN."""

from __future__ import annotations

import re
import shutil
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

from openmldb_sql import statements
from openmldb_sql.types import SqlType

from openmldb_embedded import engine, export, load, worker
from openmldb_embedded.catalog import OfflinePart
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.jobs import Context, Stop, Stopped, Workers
from openmldb_embedded.paths import Roots
from openmldb_embedded.service.background import Background
from openmldb_embedded.service.call import DONE, Call, Reply, Settings, configured
from openmldb_embedded.store import Store, write_segment

LIGHT_ROWS = 20_000
"""An online query over more rows than this runs in a process of its own."""
_HEAVY = re.compile(r"\b(left|right|full|inner|cross|outer)\b", re.IGNORECASE)


class Queries:
    """Runs queries: small ones here, others in a process of their own."""

    def __init__(
        self,
        store: Store,
        roots: Roots,
        settings: Settings,
        workers: Workers,
        background: Background,
    ) -> None:
        self._store = store
        self._state = store.state
        self._roots = roots
        self._settings = settings
        self._workers = workers
        self._background = background
        self._running: set[Stop] = set()
        self._room = threading.BoundedSemaphore(settings.jobs_at_once)

    def interrupt(self) -> None:
        """Stop all queries: who waits for them is answered at once."""
        for stop in list(self._running):
            stop()

    def select(self, call: Call, s: statements.Select) -> Reply:
        """SELECT: its rows, or in mode ``offasync`` a job."""
        mode = configured(call.mode, s.config)
        if not mode.online and not mode.sync:
            return self._background.run(
                "RunBatchSql", replace(call, mode=mode), partial(self._run_sql, s=s, call=call)
            )
        query = engine.compile_batch(s.sql, self._state, call.db, call.params)
        if mode.online and self._is_light(s.sql, query):
            result = query.execute(self._online_rows)
            return Reply(
                body=worker.reply(result, self._settings.max_rows, null_for_nan=call.null_for_nan)
            )
        with self._store.scratch() as folder:
            self._run_apart(call, query, s.sql, online=mode.online, folder=folder)
            return Reply(body=(folder / "reply.json").read_bytes())

    def _is_light(self, sql: str, query: engine.BatchQuery) -> bool:
        """Whether a query over the online tables may run in the server's own process."""
        rows = sum(self._state.table(*table).memory.num_rows for table in query.tables)
        return rows <= LIGHT_ROWS and _HEAVY.search(sql) is None

    def _online_rows(self, db: str, name: str) -> Batch:
        return self._state.table(db, name).memory.scan()

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
            self._online_data(query, folder) if online else self._offline_data(query),
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
        for number, (db, name) in enumerate(sorted(query.tables)):
            table = self._state.table(db, name)
            path = folder / f"{number}.arrow"
            write_segment(table.memory.scan().to_arrow(), path)
            found.append(worker.TableData(db, name, table.schema, segment=str(path)))
        return tuple(found)

    def _offline_data(self, query: engine.BatchQuery) -> tuple[worker.TableData, ...]:
        found = []
        for db, name in sorted(query.tables):
            table = self._state.table(db, name)
            sources = tuple(self._source(part) for part in table.parts)
            found.append(worker.TableData(db, name, table.schema, sources))
        return tuple(found)

    def _source(self, part: OfflinePart) -> worker.Source:
        if part.link:
            files = self._roots.sources(part.path)
            return worker.Source(tuple(map(str, files)), load.LoadOptions.of(part.options))
        parquet = load.LoadOptions(format="parquet")
        return worker.Source((str(self._store.data / part.path),), parquet)

    def _run_sql(self, context: Context, s: statements.Select, call: Call) -> None:
        query = engine.compile_batch(s.sql, self._state, call.db, call.params)
        with context.staging() as folder:
            task = worker.QueryTask(
                s.sql,
                call.db,
                self._offline_data(query),
                str(folder),
                tuple(call.params),
                max_rows=self._settings.max_rows,
            )
            outcome = context.run(task)
            context.log(f"{outcome.rows} rows")
            context.log((folder / "reply.json").read_bytes()[:65_536].decode("utf-8", "replace"))

    def select_into(self, call: Call, s: statements.SelectInto) -> Reply:
        """SELECT INTO OUTFILE: one file online, a job offline."""
        mode = configured(call.mode, s.config)
        options = export.ExportOptions.of(s.options)
        target = self._roots.target(s.path)
        if mode.online:
            query = engine.compile_batch(s.sql, self._state, call.db, call.params)
            export.check_file(target, options)
            with self._store.scratch() as folder:
                one = replace(options, coalesce=1)
                if self._is_light(s.sql, query):
                    (folder / "parts").mkdir()
                    export.stage(query.execute(self._online_rows), folder / "parts", one)
                else:
                    self._run_apart(call, query, s.sql, online=True, folder=folder, options=one)
                export.publish_file(folder / "parts", target, options)
            return DONE
        work = partial(self._export, s=s, call=call, target=target, options=options)
        return self._background.run("ExportOfflineData", replace(call, mode=mode), work)

    def _export(
        self,
        context: Context,
        s: statements.SelectInto,
        call: Call,
        target: Path,
        options: export.ExportOptions,
    ) -> None:
        query = engine.compile_batch(s.sql, self._state, call.db, call.params)
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

    def explain(self, call: Call, s: statements.Explain) -> Reply:
        """EXPLAIN."""
        query = engine.compile_batch(s.sql, self._state, call.db, call.params)
        return Reply([SqlType.STRING], [(query.explain(),)])

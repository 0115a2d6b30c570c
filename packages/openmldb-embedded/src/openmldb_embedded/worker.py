"""What runs in a process of its own: loads and big queries.

A worker reads files and writes into its staging folder only; whether its work counts is decided by
the server when the worker has come to its end. So a worker may be killed at any moment, holds no
lock of the server, and cannot take more memory than its limit.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
from openmldb_sql.errors import SqlError
from openmldb_sql.types import Schema

from openmldb_embedded import engine, export, load
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import NotFound, ResourceLimitError
from openmldb_embedded.extract import Folders, extract
from openmldb_embedded.parts import Tables
from openmldb_embedded.pool import start_threads
from openmldb_embedded.store import read_segment, write_segment
from openmldb_embedded.wire import RowWriter


@dataclass(frozen=True)
class Source:
    """Files to read with one set of options."""

    files: tuple[str, ...]
    options: load.LoadOptions


@dataclass(frozen=True)
class TableData:
    """A table as a worker sees it: its schema and where its rows lie."""

    db: str
    name: str
    schema: Schema
    sources: tuple[Source, ...] = ()
    segment: str | None = None


@dataclass(frozen=True)
class LoadTask:
    """Read files and stage their rows: as ``rows.parquet``, or ``rows.arrow`` for online use."""

    source: Source
    schema: Schema
    staging: str
    online: bool


@dataclass(frozen=True)
class QueryTask:
    """Run a SELECT and stage its result: as export parts, or as the JSON of a reply.

    ``target`` is the URL that an engine which reaches it exports to, in place of the staging folder.
    ``aside`` is a folder for what does not fit into memory; the staging folder where it is empty.
    """

    sql: str
    db: str
    tables: tuple[TableData, ...]
    staging: str
    params: tuple[Any, ...] = ()
    export: export.ExportOptions | None = None
    max_rows: int = 1_000_000
    null_for_nan: bool = False
    target: str = ""
    aside: str = ""


Task = LoadTask | QueryTask


@dataclass(frozen=True)
class Outcome:
    """What a worker tells at its end.

    ``files`` are those that a load staged; ``parts`` is in how many parts a query was computed.
    """

    ok: bool
    rows: int = 0
    files: tuple[str, ...] = ()
    code: int = 0
    message: str = ""
    trace: str = ""
    parts: int = 1


class _Tables:
    """The tables of a task, as the engine's catalog and as its data."""

    def __init__(self, tables: Sequence[TableData]) -> None:
        self._tables = {(t.db, t.name): t for t in tables}

    def table_schema(self, db: str, name: str) -> Schema:
        found = self._tables.get((db, name))
        if found is None:
            raise NotFound(f"table {db}.{name} not found")
        return found.schema

    def rows(self, db: str, name: str) -> Batch:
        table = self._tables[db, name]
        if table.segment is not None:
            return read_segment(Path(table.segment), table.schema)
        pieces = list(self._pieces(table))
        if not pieces:
            return Batch.empty(table.schema.fields)
        return Batch.from_arrow(pa.concat_tables(pieces), table.schema.fields)

    def some(self, db: str, name: str, columns: Sequence[int]) -> Iterator[Batch]:
        """The rows of some columns, some at a time."""
        table = self._tables[db, name]
        chosen = [table.schema.fields[i] for i in columns]
        for piece in self._pieces(table):
            rows = Batch.from_arrow(piece.select(columns), chosen)
            yield Batch(chosen, rows.columns, piece.num_rows)

    def about(self, db: str, name: str) -> int:
        """About how many rows a table has."""
        table = self._tables[db, name]
        width = len(table.schema.columns)
        return sum(
            load.about_rows(Path(file), source.options, width)
            for source in table.sources
            for file in source.files
        )

    @staticmethod
    def _pieces(table: TableData) -> Iterator[pa.Table]:
        for source in table.sources:
            files = [Path(file) for file in source.files]
            yield from load.read_files(files, table.schema, source.options)

    @property
    def all_in_files(self) -> bool:
        """Whether no table lies in memory."""
        return all(table.segment is None for table in self._tables.values())


def perform(task: Task, memory: int = 0) -> Outcome:
    """Do a task in this process, which may take so many bytes of memory (0: any).

    Raises:
        SqlError: The task cannot be done.
    """
    if isinstance(task, LoadTask):
        return _load(task)
    return _query(task, memory)


def _load(task: LoadTask) -> Outcome:
    files = [Path(file) for file in task.source.files]
    tables = load.read_files(files, task.schema, task.source.options)
    staging = Path(task.staging)
    if task.online:
        pieces = list(tables)
        if not pieces:
            return Outcome(True, 0)
        whole = pa.concat_tables(pieces)
        write_segment(whole, staging / "rows.arrow")
        return Outcome(True, whole.num_rows)
    path = staging / "rows.parquet"
    rows = load.stage_parquet(tables, task.schema, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return Outcome(True, rows, (path.name,))


def _query(task: QueryTask, memory: int) -> Outcome:
    tables = _Tables(task.tables)
    query = engine.compile_batch(task.sql, tables, task.db, task.params)
    staging = Path(task.staging)
    if task.export is not None:
        export.check_names([name for name, _ in query.schema])
        sources = Tables(tables.rows, tables.some, cache(tables.about))
        most = memory if tables.all_in_files else 0
        folders = Folders(staging / "parts", Path(task.aside or staging))
        rows, parts = extract(query, sources, folders, task.export, most)
        return Outcome(True, rows, parts=parts)
    result = query.execute(tables.rows)
    body = reply(result, task.max_rows, null_for_nan=task.null_for_nan)
    (staging / "reply.json").write_bytes(body)
    return Outcome(True, result.num_rows)


def reply(result: Batch, max_rows: int, *, null_for_nan: bool = False) -> bytes:
    """A query's result as the body of the API server's answer.

    Raises:
        ResourceLimitError: More rows than an answer may hold.
    """
    if result.num_rows > max_rows:
        raise ResourceLimitError(
            f"the result has {result.num_rows} rows, an answer holds at most {max_rows}: add a "
            f"LIMIT, or write it to files with INTO OUTFILE"
        )
    kinds = [kind for _, kind in result.schema]
    rows = RowWriter(kinds).write(result.to_rows(), null_for_nan=null_for_nan)
    return json.dumps(
        {
            "code": 0,
            "msg": "ok",
            "data": {"schema": [kind.wire_name for kind in kinds], "data": rows},
        },
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode("utf-8", "replace")


def main(task: Task, answer: Connection, memory_limit: int) -> None:
    """A worker process's whole life."""
    _die_with_parent()
    if memory_limit:
        start_threads()
        _limit_memory(memory_limit)
    with contextlib.suppress(OSError):
        os.nice(5)  # online requests come first
    try:
        outcome = perform(task, memory_limit)
    except (MemoryError, pa.ArrowMemoryError):
        outcome = Outcome(
            False,
            code=2000,
            message=f"the job needs more memory than its {memory_limit // 2**20} MiB: take less "
            f"data at once, or start the server with a larger --job-memory",
        )
    except SqlError as error:
        outcome = Outcome(False, code=error.code, message=error.message)
    except RecursionError:
        outcome = Outcome(False, code=1000, message="the statement nests too deep")
    except Exception as error:  # the log must tell of any failure
        outcome = Outcome(
            False,
            code=2000,
            message=f"{type(error).__name__}: {error}",
            trace=traceback.format_exc(),
        )
    answer.send(outcome)
    answer.close()
    sys.stdout.flush()
    os._exit(0)  # no threads to wait for, nothing to clean up


def _limit_memory(limit: int) -> None:
    """Let this process's data grow by ``limit`` bytes, and no more."""
    # Arrow's default pool reserves a gibibyte at once, which would count as used.
    pa.set_memory_pool(pa.system_memory_pool())
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    used = next(
        (int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData")),
        0,
    )
    resource.setrlimit(resource.RLIMIT_DATA, (used + limit, used + limit))


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()

"""OpenMLDB's own cases against the engine, in batch mode and replayed in request mode."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from openmldb_embedded.columns import Batch
from openmldb_embedded.engine import compile_batch, compile_request
from openmldb_embedded.errors import NotFound
from openmldb_embedded.memtable import MemTable
from openmldb_sql.types import Schema, SqlType, schema_of


def runner(shared: Path) -> ModuleType:
    """The shared loader and runner of cases."""
    sys.path.insert(0, str(shared / "tools"))
    try:
        import openmldb_cases
    finally:
        sys.path.pop(0)
    return openmldb_cases


class Tables:
    """Tables by name whatever the database."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self.rows: dict[str, list[tuple[Any, ...]]] = {}

    def table_schema(self, db: str, name: str) -> Schema:
        if name not in self.schemas:
            raise NotFound(f"table {name} not found")
        return self.schemas[name]

    def create_table(self, name: str, columns: list[tuple[str, str]]) -> None:
        self.schemas[name] = schema_of((n, SqlType(t)) for n, t in columns)
        self.rows[name] = []

    def insert(self, name: str, rows: list[list[Any]]) -> None:
        # Through a batch: values take their column's type (32 bit floats, dates).
        batch = Batch.from_rows(self.schemas[name].fields, rows)
        self.rows[name] += batch.to_rows()

    def execute(self, sql: str) -> None:
        raise NotImplementedError(sql)


class BatchEngine(Tables):
    """Whole tables at once."""

    def query(self, sql: str) -> tuple[list[tuple[str, str]], list[list[Any]]]:
        query = compile_batch(sql, self, "db")
        result = query.execute(
            lambda db, table: Batch.from_rows(self.schemas[table].fields, self.rows[table])
        )
        return [(n, t.value) for n, t in query.schema], [list(r) for r in result.to_rows()]


class RequestEngine(Tables):
    """Each row of the request table is a request, and is stored after its answer."""

    def query(self, sql: str) -> tuple[list[tuple[str, str]], list[list[Any]]]:
        query = compile_request(sql, self, "db")
        online = {name: MemTable(schema) for name, schema in self.schemas.items()}
        main = query.request_table[1]
        for name, rows in self.rows.items():
            if name != main:
                online[name].append(rows)
        answer = query.bind(lambda db, table: online[table])
        out: list[list[Any]] = []
        for row in self.rows[main]:
            out += [list(r) for r in answer([row])]
            online[main].append([row])
        return [(n, t.value) for n, t in query.output_schema], out


ENGINES = {"batch": BatchEngine, "request": RequestEngine}


def failures(shared: Path, mode: str, file: str | None = None) -> dict[str, str]:
    """Case (file#id) to what went wrong, of the cases that do not pass."""
    cases = runner(shared)
    out: dict[str, str] = {}
    for case in cases.load_all(str(shared / "openmldb-cases"), file):
        if mode == "request" and case.excluded("request-unsupport"):
            continue
        status, detail = cases.run_case(case, ENGINES[mode]())
        if status != "pass":
            name = f"{case.file}#{case.id}"
            out[name if name not in out else f"{name}~2"] = f"{status}: {detail}"
    return out

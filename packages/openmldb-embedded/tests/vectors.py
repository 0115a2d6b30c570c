"""The engine behind the runner of `openmldb-vectors`: what OpenMLDB's own engine answered."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from openmldb_embedded.columns import Batch
from openmldb_embedded.engine import compile_batch, compile_request
from openmldb_embedded.errors import NotFound
from openmldb_embedded.memtable import MemTable
from openmldb_sql.errors import SqlError
from openmldb_sql.types import IndexDef, Schema, SqlType, schema_of


def runner(shared: Path) -> ModuleType:
    """The shared loader and runner of vectors."""
    sys.path.insert(0, str(shared / "tools"))
    try:
        import openmldb_vectors
    finally:
        sys.path.pop(0)
    return openmldb_vectors


class Engine:
    """Tables, SELECT over them, and a deployment's requests."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self.batches: dict[str, Batch] = {}

    def table_schema(self, db: str, name: str) -> Schema:
        if name not in self.schemas:
            raise NotFound(f"table {name} not found")
        return self.schemas[name]

    def create_table(self, name: str, columns: list[Any], indexes: list[Any]) -> None:
        fields = [(n, SqlType.from_sql_name(t)) for n, t in columns]
        self.schemas[name] = schema_of(fields, [IndexDef(tuple(k), ts) for k, ts in indexes])
        self.batches[name] = Batch.empty(fields)

    def _values(self, name: str, rows: list[Any]) -> Batch:
        fields = self.schemas[name].fields
        made = [
            tuple(
                dt.date.fromisoformat(x) if t is SqlType.DATE and x is not None else x
                for x, (_, t) in zip(row, fields, strict=True)
            )
            for row in rows
        ]
        return Batch.from_rows(fields, made)

    def insert(self, name: str, rows: list[Any]) -> None:
        self.batches[name] = Batch.concat([self.batches[name], self._values(name, rows)])

    def query(self, sql: str) -> tuple[list[Any], list[Any]]:
        query = compile_batch(sql, self, "db", strict=True)
        result = query.execute(lambda db, table: self.batches[table])
        return [(n, t.value) for n, t in query.schema], result.to_rows()

    def request(self, sql: str, table: str, rows: list[Any]) -> tuple[list[Any], list[Any]]:
        query = compile_request(sql, self, "db", strict=True)
        assert query.request_table[1] == table
        online = {name: MemTable(schema) for name, schema in self.schemas.items()}
        for name, batch in self.batches.items():
            online[name].append(batch.to_rows())
        answer = query.bind(lambda db, name: online[name])
        out: list[Any] = []
        for row in self._values(table, rows).to_rows():
            found = answer([row])
            out.append(found[0] if found else None)
            online[table].append([row])
        return [(n, t.value) for n, t in query.output_schema], out


def make() -> Engine:
    """A fresh engine."""
    return Engine()


make.refusals = (SqlError,)  # type: ignore[attr-defined]

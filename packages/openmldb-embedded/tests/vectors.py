"""The engine behind the runner of `openmldb-vectors`: what OpenMLDB's own engine answered."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import math
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


# -- the sample that lies beside the tests

SAMPLE = Path(__file__).with_name("vectors_sample.jsonl.gz")
"""A vector of each function, kind of window and shape of query, made by ``sample.py``."""

_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def sample() -> list[dict[str, Any]]:
    """The sample's vectors, their tables filled in."""
    with gzip.open(SAMPLE, "rt", encoding="utf-8") as lines:
        shared = json.loads(next(lines))["tables"]
        found = [json.loads(line) for line in lines]
    for vector in found:
        if isinstance(vector["tables"], str):
            vector["tables"] = shared[vector["tables"]]
    return found


def _taken(rows: list[Any], columns: list[Any]) -> list[Any]:
    return [
        [
            _FLOATS[x] if t in ("float", "double") and isinstance(x, str) else x
            for x, (_, t) in zip(row, columns, strict=True)
        ]
        for row in rows
    ]


def _plain(value: Any, type_: str) -> Any:
    """A value of the engine as the vectors write it."""
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, str):
        raw = value.encode("utf-8", "surrogateescape")
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return {"hex": raw.hex()}
    return value


def _same(a: Any, b: Any, type_: str) -> bool:
    if type_ in ("float", "double") and a is not None and b is not None:
        a = _FLOATS.get(a, a) if isinstance(a, str) else a
        close = 1e-6 if type_ == "float" else 1e-9
        return (a != a and b != b) or a == b or math.isclose(a, b, rel_tol=close, abs_tol=1e-12)
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def differences(vector: dict[str, Any]) -> list[str]:
    """What the engine answers otherwise than OpenMLDB's own."""
    engine = make()
    for name, table in vector["tables"].items():
        engine.create_table(name, table["columns"], table["indexes"])
        engine.insert(name, _taken(table["rows"], table["columns"]))
    try:
        if vector["mode"] == "batch":
            columns, rows = engine.query(vector["sql"])
        else:
            table = vector["request_table"]
            requests = _taken(vector["requests"], vector["tables"][table]["columns"])
            columns, rows = engine.request(vector["sql"], table, requests)
    except SqlError as error:
        return [] if "refused" in vector else [f"refused: {error.message}"]
    if "refused" in vector:
        return [f"accepted, though OpenMLDB refuses it: {vector['refused']}"]
    names = {SqlType.from_sql_name(t).value: t for _, t in vector["columns"]}
    if [[n, names.get(t, t)] for n, t in columns] != vector["columns"]:
        return [f"columns {columns} for {vector['columns']}"]
    types = [t for _, t in vector["columns"]]
    loose = {*vector.get("undefined_rows", ()), *vector.get("crash_rows", ())}
    shown = [
        None if r is None else [_plain(x, t) for x, t in zip(r, types, strict=True)] for r in rows
    ]
    expected = [r for r in vector["rows"] if r is None or r[0] not in loose]
    shown = [r for r in shown if r is None or r[0] not in loose]
    if vector["mode"] == "batch":
        expected, shown = sorted(expected, key=_order), sorted(shown, key=_order)
    if len(expected) != len(shown):
        return [f"{len(shown)} rows for {len(expected)}"]
    return [
        f"{b} for {a}"
        for a, b in zip(expected, shown, strict=True)
        if (a is None) != (b is None) or (a is not None and not all(map(_same, a, b, types)))
    ]


def _order(row: list[Any]) -> list[Any]:
    """A key that puts a row at the same place in either answer."""
    return [
        (0, 0.0, "")
        if x is None
        else (1, round(float(x), 5), "")
        if isinstance(x, (int, float)) and x == x and abs(x) != math.inf
        else (2, 0.0, json.dumps(x).replace("NaN", '"NaN"').replace('""', '"'))
        for x in row
    ]

"""The API server's HTTP surface, over a Service.

Every answer is HTTP 200 with ``{"code": ..., "msg": ...}``, as the real server answers. The odd
corners are in docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from openmldb_sql.errors import SqlError
from openmldb_sql.types import ColumnDef, Schema, SqlType
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from openmldb_embedded.catalog import Table
from openmldb_embedded.errors import ProtocolError
from openmldb_embedded.guard import Forbidden, Guard, joined
from openmldb_embedded.service import Mode, Reply, Runtime, Service, as_error
from openmldb_embedded.stop import Stop
from openmldb_embedded.text import ttl_title
from openmldb_embedded.wire import RowReader, RowWriter

LOG = logging.getLogger("openmldb_embedded")
MAX_BODY = 64 * 2**20
"""A request body beyond this is refused (brpc's own limit in the real server)."""
DRAIN = 2**30
"""So much of a refused body is read off, for the client to get to our answer."""
QUICK_SECONDS = 0.002
QUICK_BYTES = 16_384
"""A deployment this quick answers a body this small at once, without a thread in between."""
STATEMENT_THREADS = 256
"""Statements at once; most of them wait, for a job or for the disk."""
ROW_THREADS = 8


def body_of(document: Mapping[str, Any]) -> bytes:
    """An answer's bytes; NaN and the infinities stay bare, as the real server writes them."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace")


def error_body(error: SqlError) -> bytes:
    """An error as an answer."""
    return body_of({"code": error.code or -1, "msg": error.message})


_DECODER = json.JSONDecoder(strict=False)  # SQL of several lines may stand in a string as it is
OK = body_of({"code": 0, "msg": "ok"})


def parse_json(body: bytes) -> dict[str, Any]:
    """A request's JSON object.

    Raises:
        ProtocolError: It is none, or holds what no text can hold.
    """
    try:
        found = _DECODER.decode(body.decode())
        if b"\\u" in body:  # half a surrogate pair is no character
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ProtocolError("Json parse failed, it nests too deep") from None
    except ValueError as error:
        raise ProtocolError(f"Json parse failed, {error}") from None
    if not isinstance(found, dict):
        raise ProtocolError("Json parse failed, the body is no JSON object")
    return found


def field(found: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """A field of a request's object.

    Raises:
        ProtocolError: It is of another type, or absent and without a default.
    """
    value = found.get(name, default)
    wrong = kind is int and isinstance(value, bool)
    if value is None or wrong or not isinstance(value, kind):
        raise ProtocolError(f"Json parse failed, field {name} takes {_KINDS[kind]}")
    return value


_KINDS = {str: "a string", int: "an integer", bool: "true or false", list: "an array"}


def parameters(found: Mapping[str, Any]) -> list[tuple[SqlType, Any]]:
    """The types and values of a statement's ``?``: ``{"schema": [types], "data": [values]}``.

    Raises:
        ProtocolError: Types and values do not fit.
    """
    given = found.get("input", found.get("parameter"))
    if given is None:
        return []
    if not isinstance(given, dict):
        raise ProtocolError("Json parse failed, field input takes an object")
    schema, data = field(given, "schema", list, []), field(given, "data", list, [])
    if len(data) == 1 and isinstance(data[0], list) and len(data[0]) == len(schema) != 1:
        data = data[0]
    if len(schema) != len(data):
        raise ProtocolError(f"Invalid input: {len(schema)} types for {len(data)} values")
    columns = []
    for place, name in enumerate(schema):
        if not isinstance(name, str):
            raise ProtocolError("Invalid input: a type is a string")
        columns.append(ColumnDef(str(place), SqlType.from_sql_name(name)))
    values = RowReader(Schema(tuple(columns))).read([data])[0]
    return [(column.type, value) for column, value in zip(columns, values, strict=True)]


class App:
    """The ASGI application."""

    def __init__(self, service: Service, guard: Guard | None = None) -> None:
        self.service = service
        self.guard = guard or Guard()
        self.statements = ThreadPoolExecutor(STATEMENT_THREADS, thread_name_prefix="statement")
        self.threads = ThreadPoolExecutor(ROW_THREADS, thread_name_prefix="rows")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        status = 200
        try:
            self.guard.check(scope["method"], scope["path"], joined(scope["headers"]))
            body = await self.read(request)
            answer = await self.dispatch(request, body)
        except Forbidden as error:
            status, answer = error.status, error.body
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            answer = error_body(SqlError("the server stops", 2001))
        except SqlError as error:
            answer = error_body(error)
        except Exception as error:
            LOG.exception("%s %s", scope["method"], scope["path"])
            answer = error_body(as_error(error))
        kind = b"text/plain" if answer == b"OK" else b"application/json"
        sent = [(b"content-type", kind), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": answer})

    async def read(self, request: Request) -> bytes:
        """The whole body.

        Raises:
            ProtocolError: It is larger than MAX_BODY.
        """
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size <= MAX_BODY:
                chunks.append(chunk)
            else:
                chunks.clear()
                if size > DRAIN:
                    break
        if size > MAX_BODY:
            raise ProtocolError(
                f"the body is larger than {MAX_BODY // 2**20} MiB: load big data with LOAD DATA"
            )
        return b"".join(chunks)

    async def dispatch(self, request: Request, body: bytes) -> bytes:
        """Find the handler of a path."""
        method = request.method
        parts = [part for part in request.url.path.split("/") if part]
        if parts == ["health"]:
            return b"OK"
        if parts == ["refresh"] and method == "POST":
            return OK
        if parts[:1] == ["dbs"]:
            if len(parts) == 4 and parts[2] == "deployments" and method == "POST":
                return await self.request_mode(parts[1], parts[3], body)
            if len(parts) == 2 and method == "POST":
                return await self.statement(parts[1], body, request)
            if method == "PUT" and len(parts) == 4 and parts[2] == "tables":
                return await self.blocking(partial(self.put_row, parts[1], parts[3], body))
            if method == "GET":
                return await self.blocking(partial(self.get, parts[1:]))
        raise ProtocolError(f"no such path: {method} {request.url.path[:200]}")

    async def blocking(self, work: Callable[[], bytes]) -> bytes:
        """Run what may wait in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    # ---------------------------------------------------------------- statements

    async def statement(self, db: str, body: bytes, request: Request) -> bytes:
        """``POST /dbs/{db}``."""
        stop = Stop()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self.statements, partial(self.run, db, body, stop))
        while True:
            done, _ = await asyncio.wait([work], timeout=0.5)
            if done:
                return work.result()
            if not stop.asked and await request.is_disconnected():
                await loop.run_in_executor(self.threads, stop)

    def run(self, db: str, body: bytes, stop: Stop) -> bytes:
        """Run a statement and write its answer."""
        try:
            found = parse_json(body)
            sql = field(found, "sql", str)
            mode = Mode.of(field(found, "mode", str))
            timeout = field(found, "timeout", int, 600_000)
            nan = field(found, "write_nan_and_inf_null", bool, False)
            reply = self.service.execute(
                db,
                sql,
                mode,
                min(max(timeout, 1) / 1000, threading.TIMEOUT_MAX),
                parameters(found),
                stop,
                null_for_nan=nan,
            )
            return write(reply, null_for_nan=nan)
        except Exception as error:
            if not isinstance(error, (SqlError, RecursionError, MemoryError)):
                LOG.exception("a statement failed")
            return error_body(as_error(error))

    # ---------------------------------------------------------------- deployments

    async def request_mode(self, db: str, name: str, body: bytes) -> bytes:
        """``POST /dbs/{db}/deployments/{name}``."""
        runtime = self.service.deployments.ready(db, name)
        if runtime is None:
            runtime = await asyncio.get_running_loop().run_in_executor(
                self.threads, self.service.deployments.runtime, db, name
            )
        if runtime.seconds < QUICK_SECONDS and len(body) <= QUICK_BYTES:
            return self.answer(runtime, body)
        return await self.blocking(partial(self.answer, runtime, body))

    @staticmethod
    def answer(runtime: Runtime, body: bytes) -> bytes:
        """Compute the features of the request rows."""
        try:
            found = parse_json(body)
            rows = found.get("input")
            if not isinstance(rows, list):
                raise ProtocolError("Invalid input: the body needs input, an array of rows")
            stored = runtime.reader.read(rows)
            start = time.perf_counter()
            results = runtime.answer(stored) if stored else []
            runtime.took((time.perf_counter() - start) / max(len(stored), 1))
            out: Sequence[Any] = runtime.writer.write(
                results, null_for_nan=found.get("write_nan_and_inf_null") is True
            )
            if rows and isinstance(rows[0], dict):
                names = [name for name, _ in runtime.outputs]
                out = [dict(zip(names, row, strict=True)) for row in out]
            data: dict[str, Any] = {"data": out}
            if found.get("need_schema") is True:
                data["schema"] = runtime.schema
            return body_of({"code": 0, "msg": "ok", "data": data})
        except Exception as error:
            if not isinstance(error, (SqlError, RecursionError, MemoryError)):
                LOG.exception("deployment %s failed", runtime.deployment.name)
            return error_body(as_error(error))

    # ---------------------------------------------------------------- the rest

    def put_row(self, db: str, name: str, body: bytes) -> bytes:
        """``PUT /dbs/{db}/tables/{t}``: exactly one row."""
        found = parse_json(body)
        rows = found.get("value")
        if not isinstance(rows, list) or len(rows) != 1:
            raise ProtocolError("Invalid value in body, only support to put one row")
        schema = self.service.state.table_schema(db, name)
        self.service.rows.insert_rows(db, name, RowReader(schema).read(rows))
        return OK

    def get(self, parts: list[str]) -> bytes:
        """``GET /dbs/...``."""
        with self.service.store.lock:
            return body_of({"code": 0, "msg": "ok", **self._get(parts)})

    def _get(self, parts: list[str]) -> dict[str, Any]:
        state, runtime = self.service.state, self.service.deployments.runtime
        if not parts:
            return {"dbs": sorted(state.databases)}
        tables = state.database(parts[0])
        if parts[1:] == ["tables"]:
            return {"tables": [table_info(tables[name]) for name in sorted(tables)]}
        if len(parts) == 3 and parts[1] == "tables":
            return {"table": table_info(state.table(parts[0], parts[2]))}
        if parts[1:] == ["deployments"]:
            names = sorted(name for db, name in state.deployments if db == parts[0])
            return {"data": [deployment_info(runtime(parts[0], name)) for name in names]}
        if len(parts) == 3 and parts[1] == "deployments":
            return {"data": deployment_info(runtime(parts[0], parts[2]))}
        raise ProtocolError(f"no such path: GET /dbs/{'/'.join(parts)[:200]}")


def write(reply: Reply, *, null_for_nan: bool = False) -> bytes:
    """A statement's answer."""
    if reply.body is not None:
        return reply.body
    if reply.types is None:
        return OK
    rows = RowWriter(reply.types).write(reply.rows, null_for_nan=null_for_nan)
    data = {"schema": [kind.wire_name for kind in reply.types], "data": rows}
    return body_of({"code": 0, "msg": "ok", "data": data})


def deployment_info(runtime: Runtime) -> dict[str, Any]:
    """A deployment as ``GET`` shows it."""
    deployment = runtime.deployment
    tables = sorted(deployment.tables)
    return {
        "name": deployment.name,
        "procedure": f"DEPLOY {deployment.name} {deployment.sql}",
        "input_schema": [{"name": n, "type": kind.lower_name} for n, kind in runtime.inputs],
        "input_common_cols": [],
        "output_schema": runtime.schema,
        "output_common_cols": [],
        "dbs": [db for db, _ in tables],
        "tables": [name for _, name in tables],
    }


_PROTO = {
    SqlType.BOOL: "kBool",
    SqlType.INT16: "kSmallInt",
    SqlType.INT32: "kInt",
    SqlType.INT64: "kBigInt",
    SqlType.FLOAT: "kFloat",
    SqlType.DOUBLE: "kDouble",
    SqlType.STRING: "kString",
    SqlType.DATE: "kDate",
    SqlType.TIMESTAMP: "kTimestamp",
    SqlType.NULL: "kString",
}


def table_info(table: Table) -> dict[str, Any]:
    """A table as ``GET`` shows it."""
    return {
        "name": table.name,
        "tid": table.id,
        "partition_num": 1,
        "replica_num": 1,
        "column_desc": [
            {"name": c.name, "data_type": _PROTO[c.type], "not_null": c.not_null}
            for c in table.schema.columns
        ],
        "column_key": [
            {
                "index_name": index.name,
                "col_name": list(index.keys),
                "ts_name": index.ts or "",
                "flag": 0,
                "ttl": {
                    "ttl_type": ttl_title(index),
                    "abs_ttl": index.ttl_ms_abs // 60_000,
                    "lat_ttl": index.ttl_lat,
                },
            }
            for index in table.schema.indexes
        ],
        "db": table.db,
        "format_version": 1,
    }

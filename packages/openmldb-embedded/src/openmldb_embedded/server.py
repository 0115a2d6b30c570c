"""The API server's HTTP surface, over a Service.

Every answer is HTTP 200 with ``{"code": ..., "msg": ...}``, as the real server answers. The odd
corners are in docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec
from openmldb_sql.errors import SqlError
from openmldb_sql.types import ColumnDef, Schema, SqlType
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from openmldb_embedded import common_cols, jsons
from openmldb_embedded.catalog import Table
from openmldb_embedded.errors import ProtocolError
from openmldb_embedded.guard import Forbidden, Guard, joined
from openmldb_embedded.service import Mode, Reply, Runtime, Service, as_error
from openmldb_embedded.stop import Stop
from openmldb_embedded.text import kinds_of_storage, partitions, procedure
from openmldb_embedded.wire import RowReader, RowWriter, put_row

LOG = logging.getLogger("openmldb_embedded")
_encode = msgspec.json.Encoder().encode
MAX_BODY = 64 * 2**20
"""A request body beyond this is refused (brpc's own limit in the real server)."""
DRAIN = 2**30
"""So much of a refused body is read off, for the client to get to our answer."""
QUICK_SECONDS = 0.004
ROW_BYTES = 100
"""A request that takes no longer, at so many bytes a row, is answered without a thread between."""
STATEMENT_THREADS = 256
"""Statements at once; most of them wait, for a job or for the disk."""
ROW_THREADS = 8
DEFAULT_TIMEOUT_MS = 600_000
"""How long a statement's job or query is waited for where its request does not say."""


def body_of(document: Mapping[str, Any]) -> bytes:
    """An answer's bytes; NaN and the infinities stay bare, as the real server writes them."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape")


def quick_body(document: Mapping[str, Any]) -> bytes:
    """As ``body_of``, of an answer without NaN and the infinities."""
    try:
        return _encode(document)
    except UnicodeEncodeError:  # bytes of a client that are no UTF-8
        return body_of(document)


def error_body(error: SqlError) -> bytes:
    """An error as an answer."""
    return body_of({"code": error.code or -1, "msg": error.message})


OK = body_of({"code": 0, "msg": "ok"})
_FINE = b'{"code":0,"msg":"ok'
_FINE_LENIENT = _FINE + b" (lenient mode: not held against OpenMLDB 0.9.2)"


def field(found: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """A field of a request's object.

    Raises:
        ProtocolError: It is of another type, or absent and without a default.
    """
    value = found.get(name, default)
    wrong = kind is int and isinstance(value, bool)
    fits = kind is not int or (isinstance(value, int) and -(2**31) <= value < 2**31)
    if value is None or wrong or not isinstance(value, kind) or not fits:
        raise ProtocolError(f"{BAD_REQUEST}{name} parse failed: it takes {_KINDS[kind]}")
    return value


BAD_REQUEST = "Json parse failed, INVALID_ARGUMENT: "
_KINDS = {str: "a string", int: "an integer of 32 bits", bool: "true or false"}
_PARAMETER_TYPES = {
    "BOOL": SqlType.BOOL,
    "SMALLINT": SqlType.INT16,
    "INT16": SqlType.INT16,
    "INT": SqlType.INT32,
    "INT32": SqlType.INT32,
    "BIGINT": SqlType.INT64,
    "INT64": SqlType.INT64,
    "FLOAT": SqlType.FLOAT,
    "DOUBLE": SqlType.DOUBLE,
    "STRING": SqlType.STRING,
    "DATE": SqlType.DATE,
    "TIMESTAMP": SqlType.TIMESTAMP,
}
"""Types of a statement's parameters, as the API server spells them."""


def parameters(found: Mapping[str, Any]) -> list[tuple[SqlType, Any]]:
    """The types and values of a statement's ``?``: ``{"schema": [types], "data": [values]}``.

    Raises:
        ProtocolError: A type is unknown, or a value is not of its type. NULL is none's, and a
            DATE is the integer by which OpenMLDB keeps it.
    """
    given = found.get("input", {})
    if not isinstance(given, dict):
        raise ProtocolError(f"{BAD_REQUEST}input is not object")
    if "schema" not in given or "data" not in given:
        return []
    schema, data = given["schema"], given["data"]
    if not isinstance(schema, list):
        raise ProtocolError(f"{BAD_REQUEST}schema parse failed")
    kinds = []
    for name in schema:
        kind = _PARAMETER_TYPES.get(str(name).upper())
        if kind is None:
            raise ProtocolError(f"{BAD_REQUEST}invalid type {str(name).upper()[:60]}")
        kinds.append(kind)
    if not isinstance(data, list) or len(data) != len(kinds):
        size = len(data) if isinstance(data, list) else 0
        raise ProtocolError(f"{BAD_REQUEST}data size {size} != schema size {len(kinds)}")
    return [
        (kind, _parameter(kind, value, place))
        for place, (kind, value) in enumerate(zip(kinds, data, strict=True))
    ]


def _parameter(kind: SqlType, value: Any, place: int) -> Any:
    failed = ProtocolError(f"{BAD_REQUEST}append failed on {place} type {kind.value}")
    if kind is SqlType.DATE:
        if isinstance(value, bool) or not isinstance(value, int):
            raise failed
        try:
            return dt.date((value >> 16) + 1900, (value >> 8 & 255) + 1, value & 255)
        except ValueError:
            raise failed from None
    if value is None:
        raise failed
    try:
        return RowReader(Schema((ColumnDef("", kind),))).read([[value]])[0][0]
    except SqlError:
        raise failed from None


class App:
    """The ASGI application."""

    def __init__(
        self, service: Service, guard: Guard | None = None, consistent: bool = False
    ) -> None:
        self.service = service
        self.consistent = consistent
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
        if self.service.referee.lenient and answer.startswith(_FINE):
            answer = _FINE_LENIENT + answer[len(_FINE) :]
        kind = b"text/plain" if answer == b"OK" else b"application/json"
        sent = [(b"content-type", kind), (b"content-length", str(len(answer)).encode())]
        if self.service.referee.lenient:
            sent.append((b"x-openmldb-mode", b"lenient"))
        if self.consistent and answer == b"OK":
            sent.append((b"x-openmldb-consistency", b"strong"))
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
        """Find the handler of a path, as the API server's own router does."""
        method = request.method
        parts = [part for part in request.url.path.split("/") if part]
        if parts == ["health"]:
            return b"OK"
        if method not in ("GET", "POST", "PUT"):
            raise ProtocolError("unsupported method")
        if parts == ["refresh"] and method == "POST":
            self.service.visibility.refresh()
            return OK
        if parts[:1] == ["dbs"]:
            if len(parts) == 4 and parts[2] in ("deployments", "procedures") and method == "POST":
                procedure = parts[2] == "procedures"
                return await self.request_mode(parts[1], parts[3], body, procedure=procedure)
            if len(parts) == 2 and method == "POST":
                return await self.statement(parts[1], body, request)
            if method == "PUT" and len(parts) == 4 and parts[2] == "tables":
                return await self.blocking(partial(self.put_row, parts[1], parts[3], body))
            if method == "GET":
                return await self.blocking(partial(self.get, parts[1:]))
        raise ProtocolError("no match method")

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
            found = jsons.parse(body, nan=False)
            if not isinstance(found, dict):
                raise ProtocolError(f"{BAD_REQUEST}req is not object")
            mode_name = field(found, "mode", str)
            sql = field(found, "sql", str)
            timeout = field(found, "timeout", int, DEFAULT_TIMEOUT_MS)
            values = parameters(found)
            nan = field(found, "write_nan_and_inf_null", bool, False)
            mode = Mode.of(mode_name)
            if timeout < 0:
                timeout = DEFAULT_TIMEOUT_MS
            reply = self.service.execute(
                db,
                sql,
                mode,
                max(timeout, 1) / 1000,
                values,
                stop,
                null_for_nan=nan,
                has_input="input" in found,
            )
            return write(reply, null_for_nan=nan)
        except jsons.JsonError as error:
            return error_body(ProtocolError(f"{BAD_REQUEST}req is not object: {error}"))
        except Exception as error:
            if not isinstance(error, (SqlError, RecursionError, MemoryError)):
                LOG.exception("a statement failed")
            return error_body(as_error(error))

    # ---------------------------------------------------------------- deployments

    async def request_mode(self, db: str, name: str, body: bytes, *, procedure: bool) -> bytes:
        """``POST /dbs/{db}/deployments/{name}``, and ``procedures``: either takes both kinds."""
        self.service.ask_deployment(db, name)
        runtime = self.service.deployments.ready(db, name)
        if runtime is None:
            runtime = await asyncio.get_running_loop().run_in_executor(
                self.threads, self.service.deployments.runtime, db, name
            )
        if runtime.seconds * max(1, len(body) / ROW_BYTES) < QUICK_SECONDS:
            return self.answer(runtime, body, procedure=procedure)
        return await self.blocking(partial(self.answer, runtime, body, procedure=procedure))

    @staticmethod
    def answer(runtime: Runtime, body: bytes, *, procedure: bool = False) -> bytes:
        """Compute the features of the request rows."""
        try:
            found = jsons.parse_request(body)
            rows = found.get("input") if isinstance(found, dict) else None
            if not isinstance(rows, list) or not rows:
                raise ProtocolError("Field input is invalid: it is an array of rows, not empty")
            made = runtime.deployment.procedure
            if procedure or made:
                rows = common_cols.filled(runtime, found, rows, procedure=procedure)
            stored = runtime.reader.read(rows)
            start = time.perf_counter()
            results = runtime.answer(stored)
            runtime.took((time.perf_counter() - start) / max(len(stored), 1))
            out: Sequence[Any] = runtime.writer.write(
                results, null_for_nan=found.get("write_nan_and_inf_null") is True
            )
            shared: list[Any] = []
            if made:
                out, shared = common_cols.split(runtime.common, out)
            if isinstance(rows[0], dict):
                out = [dict(zip(runtime.names, row, strict=True)) for row in out]
            data: dict[str, Any] = {}
            if found.get("need_schema") is True:
                data["schema"] = runtime.schema
            data["data"] = out
            if made:
                data["common_cols_data"] = shared
            make = quick_body if runtime.writer.finite(results) else body_of
            return make({"code": 0, "msg": "ok", "data": data})
        except jsons.JsonError as error:
            return error_body(ProtocolError(f"Request body json parse failed: {error}"))
        except Exception as error:
            if not isinstance(error, (SqlError, RecursionError, MemoryError)):
                LOG.exception("deployment %s failed", runtime.deployment.name)
            return error_body(as_error(error))

    # ---------------------------------------------------------------- the rest

    def put_row(self, db: str, name: str, body: bytes) -> bytes:
        """``PUT /dbs/{db}/tables/{t}``: exactly one row."""
        try:
            found = jsons.parse(body)
            body.decode()  # what is stored must be text
        except (jsons.JsonError, UnicodeDecodeError) as error:
            raise ProtocolError(f"Json parse failed, error code: 4: {error}") from None
        rows = found.get("value") if isinstance(found, dict) else None
        if not isinstance(rows, list) or len(rows) != 1 or not isinstance(rows[0], list):
            raise ProtocolError("Invalid value in body, only support to put one row")
        values = rows[0]
        try:
            schema = self.service.state.table_schema(db, name)
        except SqlError:
            reason = f"table with name {name} in db {db} does not exist"
            raise ProtocolError(f"fail to get insert info--{reason}", 2000) from None
        if len(values) < len(schema.columns):
            marks = ",".join("?" * len(values))
            reason = f"get default value map of insert into {name} values({marks}); failed"
            raise ProtocolError(f"fail to get insert info--{reason}", 2000)
        self.service.rows.insert_rows(db, name, [put_row(values, schema)])
        return OK

    def get(self, parts: list[str]) -> bytes:
        """``GET /dbs/...``."""
        with self.service.store.lock:
            return body_of({"code": 0, "msg": "ok", **self._get(parts)})

    def _get(self, parts: list[str]) -> dict[str, Any]:
        state, runtime = self.service.state, self.service.deployments.runtime
        if not parts:
            return {"dbs": sorted(state.databases)}
        kind = parts[1:2]
        if kind == ["tables"] and len(parts) in (2, 3):
            if parts[0] not in state.databases:
                raise ProtocolError("DB not found")
            tables = state.databases[parts[0]]
            if len(parts) == 2:
                return {"tables": [table_info(tables[name]) for name in sorted(tables)]}
            if parts[2] not in tables:
                raise ProtocolError("Table not found")
            return {"table": table_info(tables[parts[2]])}
        if len(parts) == 3 and kind in (["deployments"], ["procedures"]):
            made = bool(state.deployment(parts[0], parts[2]).procedure)
            if made != (kind == ["procedures"]):
                raise ProtocolError(f"{parts[1].removesuffix('s')} not found")
            return {"data": deployment_info(runtime(parts[0], parts[2]))}
        raise ProtocolError("no match method")


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
    """A deployment or a procedure as ``GET`` shows it."""
    deployment = runtime.deployment
    tables = sorted(deployment.tables)
    shared = zip(runtime.outputs, runtime.common, strict=True)
    return {
        "name": deployment.name,
        "procedure": deployment.procedure or procedure(deployment, runtime.inputs),
        "input_schema": [{"name": n, "type": kind.lower_name} for n, kind in runtime.inputs],
        "input_common_cols": list(deployment.constants),
        "output_schema": runtime.schema,
        "output_common_cols": [name for (name, _), one in shared if one],
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
    _, compression = kinds_of_storage(table)
    return {
        "name": table.name,
        "seg_cnt": 8,
        "table_partition_size": partitions(table),
        "tid": table.id,
        "partition_num": partitions(table),
        "replica_num": int(str(table.options.get("replicanum", 1))),
        "compress_type": compression.lower(),
        "column_desc": [
            {"name": c.name, "data_type": _PROTO[c.type], "not_null": c.not_null}
            for c in table.schema.columns
        ],
        "column_key": [
            {
                "index_name": index.name,
                "col_name": list(index.keys),
                **({"ts_name": index.ts} if index.ts else {}),
                "flag": 0,
                "ttl": {
                    "ttl_type": index.ttl_type,
                    "abs_ttl": index.ttl_ms_abs // 60_000,
                    "lat_ttl": index.ttl_lat,
                },
            }
            for index in table.schema.indexes
        ],
        "added_column_desc": [],
        "db": table.db,
        "partition_key": [],
        "schema_versions": [],
    }

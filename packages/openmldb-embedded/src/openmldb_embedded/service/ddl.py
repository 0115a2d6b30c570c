"""Databases, tables and indexes: made and dropped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pyarrow.parquet as pq
from openmldb_sql import statements
from openmldb_sql.errors import AstError, SqlError
from openmldb_sql.types import ColumnDef, IndexDef, Schema, SqlType

from openmldb_embedded.catalog import Record, State, index_record, schema_record
from openmldb_embedded.columns import type_from_arrow
from openmldb_embedded.errors import AlreadyExists, ExecutionError, NotFound, TableNotFound
from openmldb_embedded.paths import Roots
from openmldb_embedded.service.call import DONE, Call, Reply
from openmldb_embedded.service.operations import Operations
from openmldb_embedded.store import Store
from openmldb_embedded.wire import Misfit, from_literal


class Definitions:
    """Runs the statements that define what there is.

    Args:
        store: What there is.
        roots: The folders that CREATE TABLE LIKE may read.
        operations: The name server's.
        using: Is told of USE.
    """

    def __init__(
        self, store: Store, roots: Roots, operations: Operations, using: Callable[[str], None]
    ) -> None:
        self._store = store
        self._using = using
        self._state = store.state
        self._roots = roots
        self._operations = operations

    def create_database(self, call: Call, s: statements.CreateDatabase) -> Reply:
        """CREATE DATABASE."""
        try:
            self._store.commit({"op": "create_database", "db": _plain(s.name)})
        except AlreadyExists:
            if not s.if_not_exists:
                raise
        return DONE

    def drop_database(self, call: Call, s: statements.DropDatabase) -> Reply:
        """DROP DATABASE."""
        try:
            self._store.commit({"op": "drop_database", "db": s.name})
        except NotFound:
            if not s.if_exists:
                raise
        return DONE

    def use(self, call: Call, s: statements.Use) -> Reply:
        """USE; it changes nothing but CALL, since each HTTP request names its database."""
        try:
            self._state.database(s.name)
        except NotFound:
            raise NotFound("Use database failed for database not found") from None
        self._using(s.name)
        return DONE

    def drop_function(self, call: Call, s: statements.DropFunction) -> Reply:
        """DROP FUNCTION, of functions that CREATE FUNCTION made: there are none."""
        if not s.if_exists:
            reason = f"{s.name} is none of CREATE FUNCTION's"
            raise NotFound(
                f"drop function failed--ReturnCode[-1]--fun does not exist in nameserver meta: "
                f"{reason}",
                2001,
            )
        return DONE

    def create_table(self, call: Call, s: statements.CreateTable) -> Reply:
        """CREATE TABLE."""
        db, name = call.name(s.table)
        schema = s.schema
        if s.like_parquet is not None:
            schema = self._parquet_schema(s.like_parquet)
        check_options(s.options)
        schema = complete_schema(schema)
        _plain(name)

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
            self._store.commit(make)
            self._operations.visibility.made(db, name)
        except AlreadyExists:
            if not s.if_not_exists:
                raise
        return DONE

    def _parquet_schema(self, path: str) -> Schema:
        file = self._roots.sources(path)[0]
        try:
            found = pq.read_schema(file)
        except (OSError, ValueError) as error:
            raise ExecutionError(f"{file} cannot be read as parquet: {error}") from error
        return Schema(tuple(ColumnDef(f.name, type_from_arrow(f.type)) for f in found))

    def drop_table(self, call: Call, s: statements.DropTable) -> Reply:
        """DROP TABLE; its offline data goes with it."""
        db, name = call.name(s.table)
        try:
            with self._store.lock:
                parts = self._state.table(db, name).parts
            self._store.commit({"op": "drop_table", "db": db, "name": name})
        except NotFound:
            if not s.if_exists:
                raise NotFound("fail to drop, table does not exist!") from None
            return DONE
        self._store.discard_offline(parts)
        return DONE

    def create_index(self, call: Call, s: statements.CreateIndex) -> Reply:
        """CREATE INDEX: an operation of the name server, which the answer does not wait for."""
        db, name = call.name(s.table)

        def make(state: State) -> Record:
            table = state.table(db, name)
            index = replace(s.index, name=s.name)
            for old in table.schema.indexes:
                if old.name == s.name or (old.keys, old.ts) == (index.keys, index.ts):
                    raise AlreadyExists("index has already exist!")
            for key in index.keys:
                if key not in table.schema.names:
                    raise ExecutionError("miss column desc in the request")
            check_index(index, table.schema)
            self._operations.begin(
                "kAddIndexOP", db, name, (index.name,), self._operations.index_seconds
            )
            return {"op": "index", "id": table.id, "index": index_record(index)}

        try:
            self._store.commit(make)
        except TableNotFound:
            raise NotFound("ns add index failed. msg: table does not exist!") from None
        except SqlError as error:
            raise ExecutionError(f"ns add index failed. msg: {error.message}") from None
        return DONE

    def drop_index(self, call: Call, s: statements.DropIndex) -> Reply:
        """DROP INDEX."""
        db, name = call.name(s.table)
        try:
            table = self._state.table(db, name)
        except TableNotFound:
            raise NotFound("table does not exist!") from None
        if s.name in self._operations.unseen(db, name):
            raise NotFound("index doesn't exist!")
        self._store.commit({"op": "drop_index", "id": table.id, "name": s.name})
        return DONE


def _plain(name: str) -> str:
    """A name that can be one.

    Raises:
        ExecutionError: Empty, overlong, or with characters no name holds.
    """
    if not name or len(name) > 128 or not all(c.isprintable() and c not in "/`'\"" for c in name):
        raise ExecutionError(f"{name[:60]!r} cannot be a name")
    return name


def check_options(options: statements.Options) -> None:
    """Refuse options of CREATE TABLE that a cluster of one tablet refuses.

    Raises:
        AstError: An option takes another kind of value.
        ExecutionError: More replicas than tablets, no partition, or an unknown kind of storage.
    """
    for name in ("partitionnum", "replicanum"):
        value = options.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int):
            raise AstError(f"not an ASTIntLiteral: {name}={value!r}")
        if value <= 0:
            raise ExecutionError(f"{name} should be great than 0")
    if int(str(options.get("replicanum", 1))) > TABLETS:
        raise ExecutionError(
            f"set partition info failed: replicanum is greater than the number of tablets, "
            f"{TABLETS}"
        )
    for name, known in _CHOICES.items():
        value = options.get(name)
        if value is not None and str(value).lower() not in known:
            error = ExecutionError if name == "storage_mode" else AstError
            raise error(f"invalid {name} {value!r}: {', '.join(known)}")


TABLETS = 1
"""The tablets of this server, as a cluster would count them."""
_CHOICES = {
    "storage_mode": ("memory", "ssd", "hdd"),
    "compress_type": ("nocompress", "snappy"),
}


def check_index(index: IndexDef, schema: Schema) -> IndexDef:
    """The index, if its columns exist and have the types an index takes.

    Raises:
        SqlError: An unknown column, or one that cannot be a key or a time.
    """
    for place, key in enumerate(index.keys):
        if key in index.keys[:place]:
            raise ExecutionError(f"duplicated col {key}")
        column = schema.columns[schema.position(key)]
        if column.type.is_floating:
            raise ExecutionError(f"float or double type column can not be index, column is: {key}")
    if index.ts is not None:
        if index.ts not in schema.names:
            raise ExecutionError(f"can not find col in schema. col: {index.ts}")
        column = schema.columns[schema.position(index.ts)]
        if column.type not in (SqlType.TIMESTAMP, SqlType.INT64):
            raise ExecutionError(
                f"ts column type should be bigint or timestamp, column is: {index.ts}"
            )
    return index


def complete_schema(schema: Schema) -> Schema:
    """A new table's schema: checked, defaults converted, indexes named, one made if none is there.

    Raises:
        SqlError: Two columns of a name, a default of another type, an index that cannot be.
    """
    names = [column.name for column in schema.columns]
    indexes = [_with_key(index, schema) for index in schema.indexes]
    for index in indexes:
        for key in index.keys:
            if key not in names:
                raise ExecutionError(f"column {key} does not exist")
        if index.ts is not None and index.ts not in names:
            raise ExecutionError(f"TS NAME {index.ts} not exists")
    for column in schema.columns:
        if names.count(column.name) > 1:
            raise ExecutionError(f"check TableMeta failed! duplicated column: {column.name}")
    if not names:
        raise ExecutionError("check TableMeta failed! no column")
    schema = replace(schema, columns=tuple(_with_default(column) for column in schema.columns))
    if not indexes:
        keys = [c.name for c in schema.columns if not c.type.is_floating]
        if not keys:
            raise ExecutionError("check TableMeta failed! no index: no column can be its key")
        indexes = [IndexDef((keys[0],))]
    seen: set[tuple[tuple[str, ...], str | None]] = set()
    for number, index in enumerate(indexes):
        try:
            check_index(index, schema)
        except ExecutionError as error:
            raise ExecutionError(f"check TableMeta failed! {error.message}") from None
        if (index.keys, index.ts) in seen:
            raise ExecutionError(f"check TableMeta failed! duplicate index INDEX_{number}")
        seen.add((index.keys, index.ts))
    now = int(time.time())
    named = tuple(
        index if index.name else replace(index, name=f"INDEX_{number}_{now}")
        for number, index in enumerate(indexes)
    )
    return replace(schema, indexes=named)


def _with_key(index: IndexDef, schema: Schema) -> IndexDef:
    """An index without a key takes the first column that can be one."""
    if index.keys:
        return index
    for column in schema.columns:
        if index.ts is not None and column.name != index.ts and not column.type.is_floating:
            return replace(index, keys=(column.name,))
    raise ExecutionError("INDEX KEY empty" if index.ts is None else "can not found index col")


def _with_default(column: ColumnDef) -> ColumnDef:
    if column.default is None:
        return column
    try:
        return replace(column, default=from_literal(column.default, column))
    except Misfit as error:
        raise ExecutionError(f"default value type mismatch: {error}") from None

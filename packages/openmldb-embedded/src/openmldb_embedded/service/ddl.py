"""Databases, tables and indexes: made and dropped."""

from __future__ import annotations

from dataclasses import replace

import pyarrow.parquet as pq
from openmldb_sql import statements
from openmldb_sql.types import ColumnDef, IndexDef, Schema, SqlType

from openmldb_embedded.catalog import Record, State, index_record, schema_record
from openmldb_embedded.columns import type_from_arrow
from openmldb_embedded.errors import AlreadyExists, ExecutionError, NotFound
from openmldb_embedded.paths import Roots
from openmldb_embedded.service.call import DONE, Call, Reply
from openmldb_embedded.store import Store
from openmldb_embedded.wire import from_literal


class Definitions:
    """Runs the statements that define what there is."""

    def __init__(self, store: Store, roots: Roots) -> None:
        self._store = store
        self._state = store.state
        self._roots = roots

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
        """USE."""
        self._state.database(s.name)
        return DONE

    def create_table(self, call: Call, s: statements.CreateTable) -> Reply:
        """CREATE TABLE."""
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
            self._store.commit(make)
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
                raise
            return DONE
        self._store.discard_offline(parts)
        return DONE

    def create_index(self, call: Call, s: statements.CreateIndex) -> Reply:
        """CREATE INDEX."""
        db, name = call.name(s.table)

        def make(state: State) -> Record:
            table = state.table(db, name)
            index = check_index(replace(s.index, name=s.name), table.schema)
            for old in table.schema.indexes:
                if old.name == s.name or (old.keys, old.ts) == (index.keys, index.ts):
                    raise AlreadyExists(f"index {old.name} already exists on table {db}.{name}")
            return {"op": "index", "id": table.id, "index": index_record(index)}

        self._store.commit(make)
        return DONE

    def drop_index(self, call: Call, s: statements.DropIndex) -> Reply:
        """DROP INDEX."""
        db, name = call.name(s.table)
        self._store.commit(
            lambda state: {
                "op": "drop_index",
                "id": state.table(db, name).id,
                "name": s.name,
            }
        )
        return DONE


def _plain(name: str) -> str:
    """A name that can be one.

    Raises:
        ExecutionError: Empty, overlong, or with characters no name holds.
    """
    if not name or len(name) > 128 or not all(c.isprintable() and c not in "/`'\"" for c in name):
        raise ExecutionError(f"{name[:60]!r} cannot be a name", -1)
    return name


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

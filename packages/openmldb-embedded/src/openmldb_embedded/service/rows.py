"""INSERT, DELETE and TRUNCATE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from openmldb_sql import statements
from openmldb_sql.types import Schema, SqlType

from openmldb_embedded import load
from openmldb_embedded.catalog import Record, State, Table
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.jobs import Context, Finish
from openmldb_embedded.service.background import Background
from openmldb_embedded.service.call import DONE, Call, Reply
from openmldb_embedded.service.offline import adopt_offline
from openmldb_embedded.store import Store
from openmldb_embedded.wire import from_literal, to_log


class Rows:
    """Runs the statements that change a table's rows."""

    def __init__(self, store: Store, background: Background) -> None:
        self._store = store
        self._state = store.state
        self._background = background

    def insert_rows(self, db: str, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Append checked rows to a table online."""

        def make(state: State) -> Record:
            table = state.table(db, name)
            return {"op": "insert", "id": table.id, "rows": to_log(rows, table.schema)}

        self._store.commit(make)

    def insert(self, call: Call, s: statements.Insert) -> Reply:
        """INSERT: at once online, as a job offline."""
        db, name = call.name(s.table)
        rows = stored_rows(s, self._state.table(db, name).schema, db)
        if not call.mode.online:
            work = partial(self._insert_offline, db=db, name=name, rows=rows)
            return self._background.run("InsertOfflineData", call, work)
        if s.or_ignore:
            self._insert_absent(db, name, rows)
        else:
            self.insert_rows(db, name, rows)
        return DONE

    def _insert_absent(self, db: str, name: str, rows: list[tuple[Any, ...]]) -> None:
        def make(state: State) -> Record:
            table = state.table(db, name)
            fresh = [rows[i] for i in absent(table, rows)]
            return {"op": "insert", "id": table.id, "rows": to_log(fresh, table.schema)}

        self._store.commit(make)

    def _insert_offline(
        self, context: Context, db: str, name: str, rows: list[tuple[Any, ...]]
    ) -> Finish:
        table = self._state.table(db, name)
        batch = Batch.from_rows(table.schema.fields, rows)
        with context.staging() as folder:
            path = folder / "rows.parquet"
            load.stage_parquet(iter([batch.to_arrow()]), table.schema, path)
            return adopt_offline(self._store, table, [path], "append", {})

    def delete(self, call: Call, s: statements.Delete) -> Reply:
        """DELETE, of online rows."""
        db, name = call.name(s.table)

        def make(state: State) -> Record:
            table = state.table(db, name)
            return {"op": "delete", "id": table.id, **delete_bounds(s, table.schema)}

        self._store.commit(make)
        return DONE

    def truncate(self, call: Call, s: statements.Truncate) -> Reply:
        """TRUNCATE, of online rows."""
        db, name = call.name(s.table)
        self._store.commit(lambda state: {"op": "truncate", "id": state.table(db, name).id})
        return DONE


def stored_rows(s: statements.Insert, schema: Schema, db: str) -> list[tuple[Any, ...]]:
    """An INSERT's rows as stored values in the schema's order, defaults filled in.

    Raises:
        SqlError: An unknown column, a row of another length, a value of another type.
    """
    if s.columns is None:
        places = list(range(len(schema.columns)))
    else:
        places = [schema.position(name) for name in s.columns]
        if len(set(places)) != len(places):
            raise ExecutionError("a column is named twice in the INSERT", -1)
    given = {place: at for at, place in enumerate(places)}
    rows = []
    for number, row in enumerate(s.rows):
        if len(row) != len(places):
            raise ExecutionError(
                f"insert into {db}.{s.table.name} failed: row {number} has {len(row)} values for "
                f"{len(places)} columns",
                -1,
            )
        values = []
        for place, column in enumerate(schema.columns):
            at = given.get(place)
            value = column.default if at is None else row[at]
            if at is None and column.default is not None:
                values.append(value)
            else:
                values.append(from_literal(value, column))
        rows.append(tuple(values))
    return rows


def absent(table: Table, rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """The places of the rows that the table does not hold yet, each distinct row once."""
    first = table.schema.indexes[0]
    index = table.memory.ensure_index(first.keys, first.ts)
    places = [table.schema.position(key) for key in first.keys]
    seen: set[tuple[Any, ...]] = set()
    found = []
    known: dict[Any, set[tuple[Any, ...]]] = {}
    for number, row in enumerate(rows):
        key = row[places[0]] if len(places) == 1 else tuple(row[p] for p in places)
        if key not in known:
            known[key] = {tuple(old) for old in index.get(key)[1]}
        if row not in known[key] and row not in seen:
            seen.add(row)
            found.append(number)
    return found


def delete_bounds(s: statements.Delete, schema: Schema) -> Record:
    """A DELETE's conditions: columns to equal, and the bounds of one index's time column.

    Raises:
        SqlError: A column that is in no index, or a bound on one that is no time.
    """
    keys = {key for index in schema.indexes for key in index.keys}
    times = {index.ts for index in schema.indexes if index.ts is not None}
    equals: dict[str, Any] = {}
    ts: str | None = None
    low: int | None = None
    high: int | None = None
    for condition in s.where:
        column = schema.columns[schema.position(condition.column)]
        if column.name not in keys | times:
            raise ExecutionError(
                f"DELETE needs indexed columns: {column.name} is in no index of {s.table.name}", -1
            )
        value = from_literal(condition.value, replace(column, not_null=False))
        if condition.operator == "=" and column.name in keys:
            if column.name in equals and equals[column.name] != value:
                raise ExecutionError(f"DELETE compares {column.name} with two values", -1)
            equals[column.name] = value.toordinal() if column.type is SqlType.DATE else value
            continue
        if column.name not in times or value is None:
            raise ExecutionError(
                f"DELETE takes {condition.operator} on an index's ts column only, not on "
                f"{column.name}",
                -1,
            )
        if ts not in (None, column.name):
            raise ExecutionError(f"DELETE takes one ts column, not {ts} and {column.name}", -1)
        ts = column.name
        if condition.operator in ("=", ">", ">="):
            bound = value + (condition.operator == ">")
            low = bound if low is None else max(low, bound)
        if condition.operator in ("=", "<", "<="):
            bound = value - (condition.operator == "<")
            high = bound if high is None else min(high, bound)
    return {"equals": equals, "ts": ts, "min": low, "max": high}

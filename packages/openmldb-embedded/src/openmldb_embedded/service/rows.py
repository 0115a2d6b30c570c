"""INSERT, DELETE and TRUNCATE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from openmldb_sql import statements
from openmldb_sql.types import ColumnDef, Schema

from openmldb_embedded import load
from openmldb_embedded.catalog import Record, State, Table
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import ExecutionError, TableNotFound
from openmldb_embedded.jobs import Context, Finish
from openmldb_embedded.service.background import Background
from openmldb_embedded.service.call import DONE, Call, Reply
from openmldb_embedded.service.deletes import deletion
from openmldb_embedded.service.offline import adopt_offline
from openmldb_embedded.store import Store
from openmldb_embedded.wire import Misfit, from_literal, to_log


class Rows:
    """Runs the statements that change a table's rows."""

    def __init__(self, store: Store, background: Background, *, exact: bool = False) -> None:
        self._store = store
        self._exact = exact
        self._state = store.state
        self._background = background

    def insert_rows(self, db: str, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Append checked rows to a table online."""

        def make(state: State) -> Record:
            table = state.table(db, name)
            return {"op": "insert", "id": table.id, "rows": to_log(rows, table.schema)}

        self._store.commit(make)

    def insert(self, call: Call, s: statements.Insert) -> Reply:
        """INSERT: at once online, as a job offline.

        The good rows of a statement stay when others fail, as they do on a cluster, unless the
        server is strict.

        Raises:
            SqlError: The statement, or a row of it, cannot be stored.
        """
        db, name = call.name(s.table)
        if not call.mode.online:
            work = partial(self._insert_offline, db=db, name=name, s=s)
            return self._background.run("InsertOfflineData", call, work)
        try:
            schema = self._state.table(db, name).schema
        except TableNotFound:
            raise _refused(f"{db}-{name} not exist") from None
        found = stored_rows(s, schema, strict=self._exact)
        if found.rows and not (found.failed and self._exact):
            if s.or_ignore:
                self._insert_absent(db, name, found.rows)
            else:
                self.insert_rows(db, name, found.rows)
        if found.failed:
            peek = ",".join(map(str, found.failed[:10]))
            raise ExecutionError(
                f"insert values {len(found.failed)} failed, failed rows peek: {peek}"
            )
        return DONE

    def _insert_absent(self, db: str, name: str, rows: list[tuple[Any, ...]]) -> None:
        def make(state: State) -> Record:
            table = state.table(db, name)
            fresh = [rows[i] for i in absent(table, rows)]
            return {"op": "insert", "id": table.id, "rows": to_log(fresh, table.schema)}

        self._store.commit(make)

    def _insert_offline(self, context: Context, db: str, name: str, s: statements.Insert) -> Finish:
        table = self._state.table(db, name)
        found = stored_rows(s, replace(table.schema, indexes=()), strict=True)
        if found.failed:
            raise ExecutionError("an offline INSERT takes no parameters")
        batch = Batch.from_rows(table.schema.fields, found.rows)
        with context.staging() as folder:
            path = folder / "rows.parquet"
            load.stage_parquet(iter([batch.to_arrow()]), table.schema, path)
            return adopt_offline(self._store, table, [path], "append", {})

    def delete(self, call: Call, s: statements.Delete) -> Reply:
        """DELETE, of online rows."""
        db, name = call.name(s.table)

        def make(state: State) -> Record:
            table = state.table(db, name)
            found = deletion(s.where, table.schema)
            if found is None:
                return {"op": "nothing"}
            return {"op": "delete", "id": table.id, **found}

        self._store.commit(make)
        return DONE

    def truncate(self, call: Call, s: statements.Truncate) -> Reply:
        """TRUNCATE, of online rows."""
        db, name = call.name(s.table)
        try:
            self._store.commit(lambda state: {"op": "truncate", "id": state.table(db, name).id})
        except TableNotFound:
            raise ExecutionError("table does not exist") from None
        return DONE


@dataclass(frozen=True)
class Insertion:
    """An INSERT's rows.

    Attributes:
        rows: The rows that can be stored.
        failed: Places of the rows that cannot, though each of their values can.
    """

    rows: list[tuple[Any, ...]]
    failed: list[int]


def stored_rows(s: statements.Insert, schema: Schema, *, strict: bool = False) -> Insertion:
    """An INSERT's rows as stored values in the schema's order, defaults filled in.

    As in OpenMLDB, values beyond the last column are not looked at, and a row without its index's
    time (or with a negative one, or with a ``?``) is the only kind that fails by itself.

    Raises:
        SqlError: An unknown column, a row too short, a value that its column does not take.
    """
    given: dict[int, int] = {}
    for at, name in enumerate(s.columns or ()):
        if name not in schema.names:
            raise _refused(f"can't find column {name} in table {s.table.name}")
        place = schema.names.index(name)
        if place in given:
            raise _refused(f"duplicate column of {name}")
        given[place] = at
    if s.columns is None:
        given = {place: place for place in range(len(schema.columns))}
    times = [schema.names.index(i.ts) for i in schema.indexes if i.ts is not None]
    rows: list[tuple[Any, ...]] = []
    failed: list[int] = []
    for number, row in enumerate(s.rows):
        if len(row) < len(given):
            raise _refused(
                f"fail to parse row[{number}]: it has {len(row)} values for {len(given)} columns"
            )
        try:
            stored = tuple(
                _value(row, given.get(place), column, strict=strict)
                for place, column in enumerate(schema.columns)
            )
        except Misfit as error:
            raise _refused(f"fail to parse row[{number}]: {error}") from None
        open_ = any(isinstance(value, statements.Placeholder) for value in stored)
        if open_ or any(stored[place] is None or stored[place] < 0 for place in times):
            failed.append(number)
        else:
            rows.append(stored)
    return Insertion(rows, failed)


def _value(
    row: Sequence[statements.Value], at: int | None, column: ColumnDef, *, strict: bool
) -> Any:
    if at is None:
        if column.default is not None:
            return column.default
        return from_literal(None, column)
    value = row[at]
    if isinstance(value, statements.Placeholder):
        return value
    if isinstance(value, statements.NotConstant):
        raise Misfit(f"{value.text[:60]} is not a constant (column {column.name})")
    return from_literal(value, column, strict=strict)


def _refused(reason: str) -> ExecutionError:
    return ExecutionError(f"Fail to get insert info--{reason}")


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

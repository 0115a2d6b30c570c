"""The engine's one door: SQL text in, something to execute out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from openmldb_embedded.columns import Batch
from openmldb_embedded.memtable import MemTable
from openmldb_embedded.types import IndexDef, Schema, SqlType

TableName = tuple[str, str]
"""(database, table)."""


class Catalog(Protocol):
    """Where the engine learns of tables."""

    def table_schema(self, db: str, name: str) -> Schema:
        """The schema of a table.

        Raises:
            NotFound: There is no such database or table.
        """
        ...


class BatchQuery(Protocol):
    """A checked SELECT over whole tables."""

    schema: list[tuple[str, SqlType]]
    tables: set[TableName]

    def explain(self) -> str:
        """The plan as indented text."""
        ...

    def execute(self, resolve: Callable[[str, str], Batch]) -> Batch:
        """Run over the tables that ``resolve(db, table)`` gives."""
        ...


class RequestQuery(Protocol):
    """A checked SELECT that answers one request row with one row."""

    request_table: TableName
    input_schema: list[tuple[str, SqlType]]
    output_schema: list[tuple[str, SqlType]]
    indexes: list[tuple[str, str, IndexDef]]
    tables: set[TableName]

    def explain(self) -> str:
        """The plan as indented text."""
        ...

    def bind(
        self, resolve: Callable[[str, str], MemTable]
    ) -> Callable[[Sequence[tuple[Any, ...]]], list[tuple[Any, ...]]]:
        """Attach to the online tables; the result answers request rows, and may be kept."""
        ...


def compile_batch(
    select_sql: str, catalog: Catalog, default_db: str, params: Sequence[Any] = ()
) -> BatchQuery:
    """Parse, check and plan a SELECT for batch mode."""
    raise NotImplementedError


def compile_request(select_sql: str, catalog: Catalog, default_db: str) -> RequestQuery:
    """Parse, check and plan a SELECT for request mode."""
    raise NotImplementedError

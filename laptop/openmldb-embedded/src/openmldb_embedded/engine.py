"""The engine's one door: SQL text in, something to execute out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from openmldb_embedded.batch import execute
from openmldb_embedded.check import Catalog, plan_query
from openmldb_embedded.columns import Batch
from openmldb_embedded.parse import parse_select
from openmldb_embedded.plan import Node, Scan, explain, walk
from openmldb_embedded.types import SqlType

TableName = tuple[str, str]
"""(database, table)."""


@dataclass(frozen=True)
class BatchQuery:
    """A checked SELECT over whole tables.

    Attributes:
        schema: (name, type) of each result column.
        tables: The tables it reads.
    """

    plan: Node
    schema: list[tuple[str, SqlType]]
    tables: set[TableName]

    def explain(self) -> str:
        """The plan as indented text."""
        return explain(self.plan)

    def execute(self, resolve: Callable[[str, str], Batch]) -> Batch:
        """Run over the tables that ``resolve(db, table)`` gives."""
        return execute(self.plan, resolve)


def tables_of(plan: Node) -> set[TableName]:
    """The tables a plan reads."""
    return {(n.db, n.table) for n in walk(plan) if isinstance(n, Scan)}


def compile_batch(
    select_sql: str, catalog: Catalog, default_db: str, params: Sequence[Any] = ()
) -> BatchQuery:
    """Parse, check and plan a SELECT for batch mode.

    ``params`` are the values of its ``?``: plain Python values or (SqlType, value).

    Raises:
        SyntaxError_: The text is not a SELECT.
        PlanError: A name, type, window or join that OpenMLDB refuses.
        NotFound: An unknown database or table.
    """
    plan = plan_query(parse_select(select_sql), catalog, default_db, params)
    return BatchQuery(plan, plan.schema, tables_of(plan))

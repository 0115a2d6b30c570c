"""The engine's one door: SQL text in, something to execute out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from openmldb_compiler.beyond import request_refusal
from openmldb_sql.parse import parse_select
from openmldb_sql.types import IndexDef, SqlType

from openmldb_embedded.batch import execute
from openmldb_embedded.check import Catalog, plan_query
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import UnsupportedError
from openmldb_embedded.memtable import MemTable, Row
from openmldb_embedded.plan import Join, Node, Scan, explain, walk
from openmldb_embedded.request import Needed, RequestPlan, request_scan

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

    @property
    def multiplies(self) -> bool:
        """Whether it may make many more rows than its tables hold: a LEFT JOIN does."""
        return any(isinstance(n, Join) and n.kind == "LEFT" for n in walk(self.plan))

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
    select_sql: str,
    catalog: Catalog,
    default_db: str,
    params: Sequence[Any] = (),
    *,
    strict: bool = False,
) -> BatchQuery:
    """Parse, check and plan a SELECT for batch mode.

    ``params`` are the values of its ``?``: plain Python values or (SqlType, value). ``strict``
    refuses what OpenMLDB 0.9.2 refuses, though this engine could compute it.

    Raises:
        SyntaxError_: The text is not a SELECT.
        PlanError: A name, type, window or join that OpenMLDB refuses.
        NotFound: An unknown database or table.
    """
    plan = plan_query(
        parse_select(select_sql, strict=strict), catalog, default_db, params, strict=strict
    )
    return BatchQuery(plan, plan.schema, tables_of(plan))


@dataclass(frozen=True)
class RequestQuery:
    """A checked SELECT that answers one request row with one row.

    Attributes:
        request_table: The leftmost table: a request is a row of it.
        input_schema: (name, type) of a request row.
        output_schema: (name, type) of an answer.
        indexes: (db, table, index) it reads through, with the ttl that its windows imply.
        tables: The tables it reads.
    """

    plan: Node
    request_table: TableName
    input_schema: list[tuple[str, SqlType]]
    output_schema: list[tuple[str, SqlType]]
    indexes: list[tuple[str, str, IndexDef]]
    tables: set[TableName]

    def explain(self) -> str:
        """The plan as indented text."""
        return explain(self.plan)

    def bind(
        self, resolve: Callable[[str, str], MemTable]
    ) -> Callable[[Sequence[tuple[Any, ...]]], list[Row]]:
        """Attach to the online tables; the result answers request rows, and may be kept."""
        return RequestPlan(self.plan, resolve).execute


def compile_request(
    select_sql: str,
    catalog: Catalog,
    default_db: str,
    *,
    strict: bool = False,
    failing: bool = False,
) -> RequestQuery:
    """Parse, check and plan a SELECT for request mode; ``strict`` as in ``compile_batch``.

    ``failing`` takes a query that OpenMLDB deploys although every request to it fails.

    Raises:
        SyntaxError_: The text is not a SELECT.
        PlanError: A name, type, window or join that OpenMLDB refuses, or a relation that has no
            meaning for a single request (GROUP BY of the request table, UNION of results).
        NotFound: An unknown database or table.
    """
    tree = parse_select(select_sql, strict=strict)
    if tree.parameters:
        raise UnsupportedError("a deployment takes no parameters: its request row is its input")
    refused = request_refusal(tree) if strict and not failing else None
    if refused is not None:
        raise UnsupportedError(refused)
    plan = plan_query(tree, catalog, default_db, request=True, strict=strict)
    scan = request_scan(plan)
    needed = Needed()
    RequestPlan(plan, None, needed)
    return RequestQuery(
        plan,
        (scan.db, scan.table),
        scan.declared.fields,
        plan.schema,
        needed.definitions(),
        tables_of(plan),
    )

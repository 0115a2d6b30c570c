"""Holds every query against OpenMLDB 0.9.2: what a cluster would refuse is refused here.

Strict, the default: this engine's own checks and OpenMLDB's own compiler must both accept a query,
and a deployment or an export must have the names and types that OpenMLDB gives it. Where the
compiler is not on the machine, the own checks alone decide. Lenient: the own checks alone decide,
and they accept some SQL of other databases, too; every answer of the server says so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import openmldb_compiler as compiler
from openmldb_compiler import Outcome, Use, Verdict
from openmldb_sql import syntax
from openmldb_sql.errors import SqlError
from openmldb_sql.parse import parse_select
from openmldb_sql.types import Schema, SqlType

from openmldb_embedded import engine
from openmldb_embedded.check import Catalog
from openmldb_embedded.errors import ExecutionError, NotFound, RefusedByOpenMLDB

LOG = logging.getLogger("openmldb_embedded")

Columns = Sequence[tuple[str, SqlType]]


class Referee:
    """Decides which queries run; thread-safe.

    Args:
        lenient: Whether what a cluster would refuse may run.
    """

    def __init__(self, *, lenient: bool = False) -> None:
        self.lenient = lenient
        self._missing = compiler.unavailable_reason()

    def describe(self) -> str:
        """How queries are judged, for the log."""
        if self.lenient:
            return "lenient: queries are not held against OpenMLDB 0.9.2"
        if self._missing is not None:
            return f"strict by this engine's own checks: {self._missing}"
        return f"strict: queries are held against the compiler of OpenMLDB {compiler.VERSION}"

    def confirm(
        self,
        query: engine.BatchQuery,
        sql: str,
        catalog: Catalog,
        db: str,
        params: Sequence[Any] = (),
        *,
        online: bool,
        export: bool = False,
    ) -> engine.BatchQuery:
        """A SELECT over whole tables that the own checks accept, if OpenMLDB accepts it, too.

        Args:
            query: The SELECT as this engine compiles it.
            sql: The SELECT.
            catalog: Where tables are looked up.
            db: The database of names without one.
            params: The values of its ``?``.
            online: Whether it reads a cluster's online tables, which cannot be joined.
            export: Whether its result is written to files, names and all.

        Raises:
            SqlError: It is refused; see ``confirm_deployment``.
        """
        if not self._asks:
            return query
        tables = _tables(sql, catalog, db)
        types = [p[0] for p in params if isinstance(p, tuple)]
        use: Use = "online" if online else "batch"
        self._refuse(sql, use, compiler.judge(sql, db, tables, use, parameters=types))
        if export:
            # The compiler names no columns in batch mode; as a deployment they are the same.
            self._same_columns(query.schema, compiler.shared().judge(sql, db, tables, "request"))
        return query

    def confirm_deployment(
        self,
        query: engine.RequestQuery,
        sql: str,
        catalog: Catalog,
        db: str,
        *,
        failing: bool = False,
    ) -> engine.RequestQuery:
        """A deployment's SELECT that the own checks accept, if OpenMLDB accepts it, too.

        Args:
            query: The SELECT as this engine compiles it.
            sql: The SELECT.
            catalog: Where tables are looked up.
            db: The database of names without one.
            failing: Whether one that OpenMLDB deploys, and to which every request fails, will do.

        Raises:
            RefusedByOpenMLDB: OpenMLDB refuses it; the message is OpenMLDB's, with a hint.
            ExecutionError: This engine and OpenMLDB give it different output columns, or there
                was no verdict in time.
        """
        if not self._asks:
            return query
        judge = compiler.shared().judge if failing else compiler.judge
        verdict = judge(sql, db, _tables(sql, catalog, db), "request")
        self._refuse(sql, "request", verdict)
        self._same_columns(query.output_schema, verdict)
        return query

    @property
    def _asks(self) -> bool:
        return not self.lenient and self._missing is None

    @staticmethod
    def _refuse(sql: str, use: Use, verdict: Verdict) -> None:
        if verdict.outcome is Outcome.TIMED_OUT:
            raise ExecutionError(
                f"{verdict.message}: the query could not be judged; try again, or start the server "
                "with --lenient",
                2001,
            )
        if not verdict.accepted:
            raise refusal(sql, verdict, use)

    @staticmethod
    def _same_columns(ours: Columns, verdict: Verdict) -> None:
        """Hold output columns against OpenMLDB's.

        Raises:
            ExecutionError: They differ: a fault of this engine.
        """
        theirs = verdict.columns
        if theirs is None or list(theirs) == list(ours):
            return
        raise ExecutionError(
            "a fault of the embedded engine: it gives this query other output columns than "
            f"OpenMLDB {compiler.VERSION}. Please report it; AS gives a column a name, CAST a "
            f"type, and --lenient runs the query as it is. Here: {_shown(ours)}; "
            f"OpenMLDB: {_shown(theirs)}",
            2001,
        )


def refusal(sql: str, verdict: Verdict, use: Use) -> RefusedByOpenMLDB:
    """A refusal as a client is told of it: OpenMLDB's words, the line, and how to write it."""
    problem = compiler.problem(sql, verdict, use)
    notes = []
    if problem.line is not None and "[at " not in problem.message:
        notes.append(f"line {problem.line} of the query")
    if problem.hint is not None:
        notes.append(problem.hint)
    text = problem.message + (f" ({'; '.join(notes)})" if notes else "")
    # DEPLOY plans a query as a batch query first, and only then as a request.
    planning = problem.message.startswith("Syntax error") or (
        "plan_api.cc" in verdict.trace and "in online serving" not in problem.message
    )
    return RefusedByOpenMLDB(text, planning=planning, deployment=use == "request")


def _tables(sql: str, catalog: Catalog, db: str) -> dict[str, Schema]:
    """The tables that a query names, as far as there are such."""
    try:
        tree = parse_select(sql, strict=True)  # parsed so before: it is the one tree
    except (SqlError, RecursionError):
        return {}
    found: dict[str, Schema] = {}
    for node in syntax.nodes(tree):
        if isinstance(node, syntax.NamedTable):
            at = node.db or db
            try:
                found[f"{at}.{node.name}"] = catalog.table_schema(at, node.name)
            except NotFound:
                continue
    return found


def _shown(columns: Columns) -> str:
    return ", ".join(f"{name} {kind.lower_name}" for name, kind in columns)

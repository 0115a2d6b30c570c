"""DEPLOY's option LONG_WINDOWS: which windows a cluster is to keep aggregates of beforehand.

The embedded engine needs none, so the option changes nothing here; what a cluster refuses
(``HandleLongWindows`` in OpenMLDB's ``sql_cluster_router.cc``, ``ddl_parser.cc`` and
``aggregator.cc``) is refused all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from openmldb_sql import syntax as s
from openmldb_sql.errors import SqlError
from openmldb_sql.types import SqlType

from openmldb_embedded import engine
from openmldb_embedded.aggregates.registry import AGGREGATES
from openmldb_embedded.catalog import State

DEFAULT_BUCKET = "1d"
_BUCKET = re.compile(r"\d+|\s*\d+\s*[smhd]", re.IGNORECASE)
_KEPT = frozenset({"sum", "min", "max", "count", "avg"})


def check_long_windows(
    options: dict[str, Any], tree: s.Query, query: engine.RequestQuery, state: State
) -> None:
    """Refuse a LONG_WINDOWS that a cluster refuses; nothing where the option is not given.

    Args:
        options: Of DEPLOY, by lower-case name: ``'w1:1d,w2'``, a window and the size of its
            buckets (a number of rows, or a time), is what the option holds.
        tree: The deployment's SELECT.
        query: The same, compiled.
        state: Where its tables are.

    Raises:
        SqlError: It names no window of the query with aggregates that are kept beforehand, the
            query reads several tables, or its table holds rows already.
    """
    given = str(options.get("long_windows", ""))
    if not given:
        return
    if len(query.tables) != 1:
        raise SqlError("unsupported multi tables with long window options", 101)
    buckets: dict[str, str] = {}
    for part in given.split(","):
        name, *bucket = part.split(":")
        if len(bucket) > 1:
            raise SqlError(
                f"illegal long window format: {part!r}, LONG_WINDOWS takes 'window:size,...'", 1001
            )
        buckets[name] = bucket[0] if bucket else DEFAULT_BUCKET
    calls = list(_calls(tree))
    kept = [call for call in calls if call.over in buckets]
    if {call.over for call in kept} != set(buckets):
        missing = sorted(set(buckets) - {str(call.over) for call in kept})
        raise SqlError(
            f"long_windows option doesn't match window in sql: no aggregate over "
            f"{', '.join(map(repr, missing))} in the outermost SELECT",
            1001,
        )
    ((db, name),) = query.tables
    table = state.table(db, name)
    if table.memory.num_rows:
        raise SqlError(
            f"table {name} has online data, cannot deploy with long_windows option. please drop "
            f"this table and create a new one",
            100,
        )
    types = {column.name: column.type for column in table.schema.columns}
    for call in kept:
        _check_call(call, buckets[str(call.over)], types)


def _calls(tree: s.Query) -> Iterator[s.Call]:
    """The aggregates over windows of the outermost SELECT.

    Raises:
        SqlError: A window or an aggregate of a shape for which nothing can be kept beforehand.
    """
    for select in tree.selects:
        if isinstance(select, s.Query):
            yield from _calls(select)
            continue
        for item in select.items:
            inside = [c for c in s.nodes(item.expr) if isinstance(c, s.Call) and c.over is not None]
            if not inside:
                continue
            call = item.expr
            if not isinstance(call, s.Call) or call.name.lower() not in AGGREGATES:
                raise _failed("an aggregate in an expression: give it a column of its own")
            window = select.windows.get(call.over) if isinstance(call.over, str) else call.over
            if window is not None:
                keys = (*window.partition, *(key.expr for key in window.order))
                if not all(isinstance(key, s.ColumnRef) for key in keys):
                    raise _failed("a window whose keys are not columns")
            yield call


def _check_call(call: s.Call, bucket: str, types: dict[str, SqlType]) -> None:
    name = call.name.lower()
    if not 1 <= len(call.args) <= 2:
        raise _failed(f"{call.name} takes {len(call.args)} arguments: one column and a condition")
    if len(call.args) == 2:
        condition = call.args[1]
        sides = (condition.left, condition.right) if isinstance(condition, s.Binary) else ()
        columns = [side for side in sides if isinstance(side, s.ColumnRef)]
        if len(columns) != 1 or not any(isinstance(side, s.Literal) for side in sides):
            raise _failed(f"the condition of {call.name} compares no column with a constant")
        if name.endswith("_where"):
            if bucket.isdigit():
                raise SqlError(
                    f"unsupported *_where op ({name}) for rows bucket type long window", 100
                )
            column = columns[0].path[-1]
            if types.get(column) in (SqlType.DATE, SqlType.TIMESTAMP):
                raise SqlError(f"unsupported date or timestamp as filter column ({column})", 100)
    if not _BUCKET.fullmatch(bucket):
        raise SqlError(
            f"create aggregator failed: {bucket!r} is not a size of buckets (100, 3s, 5m, 2h, 1d)",
            2,
        )
    if name.removesuffix("_where") not in _KEPT:
        raise SqlError(
            f"create aggregator failed: {call.name} is none of {', '.join(sorted(_KEPT))} and "
            f"their _where forms",
            2,
        )


def _failed(why: str) -> SqlError:
    return SqlError(f"TraverseNode failed: LONG_WINDOWS and {why}", 102)

"""How long a deployment keeps the rows that its windows reach."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from openmldb_sql import statements
from openmldb_sql.types import IndexDef

from openmldb_embedded import engine
from openmldb_embedded.catalog import State, index_record
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.expiry import merged


@dataclass(frozen=True)
class Bias:
    """What DEPLOY adds to the ttl its windows imply; None is for ever.

    Attributes:
        range_ms: Whole minutes, in milliseconds.
        rows: Rows.
        sync: Whether DEPLOY waits for its indexes.
        skip_index_check: Leave the ttl of indexes that are there as it is.
    """

    range_ms: int | None = 0
    rows: int | None = 0
    sync: bool = True
    skip_index_check: bool = False


def deploy_options(options: statements.Options) -> Bias:
    """OPTIONS of DEPLOY, checked as OpenMLDB does: what it does not know it ignores.

    Raises:
        ExecutionError: A bias that is not a number, no ``'inf'`` and (RANGE_BIAS) no duration.
    """
    span = _bias(options.get("range_bias", 0), "range")
    return Bias(
        None if span is None else statements.whole_minutes(span),
        _bias(options.get("rows_bias", 0), "rows"),
        str(options.get("sync", "true")).lower() != "false",
        str(options.get("skip_index_check", "false")).lower() == "true",
    )


def _bias(value: Any, which: str) -> int | None:
    if isinstance(value, str) and value.lower() == "inf":
        return None
    if which == "range" and isinstance(value, statements.Duration):
        return statements.duration_ms(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return int(value)
    units = ", a duration such as 10h (without quotes)" if which == "range" else ""
    raise ExecutionError(f"{which} bias '{value}' is illegal: it is a number{units} or 'inf'")


def biased(index: IndexDef, bias: Bias) -> IndexDef:
    """An index whose ttl is longer by the bias."""
    span, count = index.ttl_ms_abs, index.ttl_lat
    if index.ttl_type != "latest" and span:
        span = 0 if bias.range_ms is None else span + bias.range_ms
    if index.ttl_type != "absolute" and count:
        count = 0 if bias.rows is None else count + bias.rows
    return replace(index, ttl_ms_abs=span, ttl_lat=count)


def needed_indexes(
    state: State, query: engine.RequestQuery, bias: Bias
) -> tuple[list[list[Any]], dict[tuple[str, str], tuple[str, ...]]]:
    """The indexes a deployment adds or widens.

    Returns:
        ``[table id, index]`` of each, and the names of the new ones by (database, table).
    """
    changes = []
    new: dict[tuple[str, str], tuple[str, ...]] = {}
    now = int(time.time())
    for db, name, index in query.indexes:
        table = state.table(db, name)
        longer = biased(index, bias)
        old = next(
            (i for i in table.schema.indexes if (i.keys, i.ts) == (index.keys, index.ts)), None
        )
        if old is None:
            added = new.get((db, name), ())
            number = len(table.schema.indexes) + len(added)
            found = replace(longer, name=f"INDEX_{number}_{now}")
            new[db, name] = (*added, found.name)
        else:
            found = merged(old, longer)
            if found == old or bias.skip_index_check:
                continue
        changes.append([table.id, index_record(found)])
    return changes, new

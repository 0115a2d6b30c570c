"""How long a deployment keeps the rows that its windows reach."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from openmldb_sql import statements
from openmldb_sql.types import IndexDef

from openmldb_embedded import engine
from openmldb_embedded.catalog import State, index_record
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.options import flag_option


@dataclass(frozen=True)
class Bias:
    """What DEPLOY adds to the ttl its windows imply; None is for ever."""

    range_ms: int | None = 0
    rows: int | None = 0
    sync: bool = True


def deploy_options(options: statements.Options) -> Bias:
    """OPTIONS of DEPLOY, checked.

    Raises:
        ExecutionError: An unknown option or a value it does not take.
    """
    known = {"range_bias", "rows_bias", "long_windows", "skip_index_check", "sync"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ExecutionError(
            f"DEPLOY has no option {', '.join(unknown)}; it has {', '.join(sorted(known))}", -1
        )
    span = options.get("range_bias", 0)
    range_ms: int | None
    if isinstance(span, str) and span.lower() == "inf":
        range_ms = None
    elif isinstance(span, str):
        range_ms = statements.duration_ms(span)
    elif isinstance(span, int) and not isinstance(span, bool) and span >= 0:
        range_ms = span
    else:
        raise ExecutionError(f"RANGE_BIAS takes 'inf', a duration or ms, not {span!r}", -1)
    count = options.get("rows_bias", 0)
    rows: int | None
    if isinstance(count, str) and count.lower() == "inf":
        rows = None
    elif isinstance(count, str) and count.isdecimal():
        rows = int(count)
    elif isinstance(count, int) and not isinstance(count, bool) and count >= 0:
        rows = count
    else:
        raise ExecutionError(f"ROWS_BIAS takes 'inf' or a number, not {count!r}", -1)
    return Bias(range_ms, rows, flag_option(options, "sync", default=True))


def biased(index: IndexDef, bias: Bias) -> IndexDef:
    """An index whose ttl is longer by the bias."""
    span, count = index.ttl_ms_abs, index.ttl_lat
    if span:
        span = 0 if bias.range_ms is None else span + bias.range_ms
    if count:
        count = 0 if bias.rows is None else count + bias.rows
    return replace(index, ttl_ms_abs=span, ttl_lat=count)


def widest(first: IndexDef, second: IndexDef) -> IndexDef:
    """An index that keeps what either keeps."""
    if not first.expires:
        return first
    if not second.expires:
        return replace(second, name=first.name or second.name)
    if first.ttl_type == second.ttl_type and first.ttl_type != "absorlat":
        span = (
            0
            if 0 in (first.ttl_ms_abs, second.ttl_ms_abs)
            else max(first.ttl_ms_abs, second.ttl_ms_abs)
        )
        count = 0 if 0 in (first.ttl_lat, second.ttl_lat) else max(first.ttl_lat, second.ttl_lat)
        return replace(first, ttl_ms_abs=span, ttl_lat=count)
    # Kinds that differ: a row goes only when both limits say so.
    span = max(first.ttl_ms_abs, second.ttl_ms_abs)
    count = max(first.ttl_lat, second.ttl_lat)
    if not span or not count:
        return replace(first, ttl_type="absolute", ttl_ms_abs=0, ttl_lat=0)
    return replace(first, ttl_type="absandlat", ttl_ms_abs=span, ttl_lat=count)


def needed_indexes(state: State, query: engine.RequestQuery, bias: Bias) -> list[list[Any]]:
    """The indexes a deployment adds or widens: ``[table id, index]``."""
    wanted: dict[tuple[int, tuple[str, ...], str | None], IndexDef] = {}
    for db, name, index in query.indexes:
        table = state.table(db, name)
        key = (table.id, index.keys, index.ts)
        longer = biased(index, bias)
        wanted[key] = widest(wanted[key], longer) if key in wanted else longer
    changes = []
    counts: dict[int, int] = {}
    for (number, keys, ts), index in wanted.items():
        table = state.by_id[number]
        old = next((i for i in table.schema.indexes if (i.keys, i.ts) == (keys, ts)), None)
        if old is not None:
            found = widest(old, index)
            if found == old:
                continue
        else:
            counts[number] = counts.get(number, len(table.schema.indexes)) + 1
            found = replace(index, name=f"INDEX_{counts[number] - 1}")
        changes.append([number, index_record(found)])
    return changes

"""What a DELETE's condition means, by OpenMLDB's rules (``src/sdk/node_adapter.cc``).

A DELETE finds rows by whole keys of an index, by the time of one, or by both; every other
condition is refused, and some kinds of it end the real API server.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openmldb_sql import syntax as s
from openmldb_sql.types import IndexDef, Schema, SqlType

from openmldb_embedded.catalog import Record
from openmldb_embedded.errors import ExecutionError, Fatal
from openmldb_embedded.wire import RANGES, is_encodable

_COMPARED = ("=", "<", "<=", ">", ">=")


@dataclass(frozen=True)
class Condition:
    """``column operator value``; the value as text, None for NULL."""

    column: str
    operator: str
    value: str | None
    parameter: bool = False


@dataclass
class _Bounds:
    """What the conditions on the index's time say: above ``after``, up to ``until``."""

    ts: str | None = None
    until: int | None = None
    after: int | None = None


def deletion(where: s.Expr, schema: Schema) -> Record | None:
    """The rows that a DELETE removes; None where no row can be meant.

    Returns:
        ``equals``: values by column; ``ts``, ``min`` and ``max``: the inclusive bounds of a time.

    Raises:
        ExecutionError: The condition finds no rows by an index and its time alone.
        Fatal: A condition that ends the real server: IN, BETWEEN, NOT, a bare value.
    """
    if not isinstance(where, s.Binary) and not _is_like(where):
        raise Fatal(f"DELETE takes comparisons joined by AND, not {s.show(where)[:80]}")
    conditions = _conditions(where, schema)
    _check_hit(conditions, schema.indexes)
    if any(condition.parameter for condition in conditions):
        raise ExecutionError("unsupported placeholder in sql")
    index, bounds = _choose(conditions, schema.indexes)
    equals: dict[str, Any] = {}
    if index is not None:
        for condition in conditions:
            if condition.column in index.keys:
                kind = schema.columns[schema.position(condition.column)].type
                found = _stored(condition.value, kind)
                if condition.value is not None and found is None:
                    return None
                if equals.get(condition.column, found) != found:
                    return None
                equals[condition.column] = found
    elif bounds.until is None and bounds.after is None:
        raise ExecutionError("invalid args: the condition bounds no time")
    low = None if bounds.after is None else bounds.after + 1
    return {"equals": equals, "ts": bounds.ts, "min": low, "max": bounds.until}


def _is_like(where: s.Expr) -> bool:
    return isinstance(where, s.Like) and not where.negated


def _conditions(where: s.Expr, schema: Schema) -> list[Condition]:
    if isinstance(where, s.Like):
        raise ExecutionError(f"unsupport operator type {where.op}")
    if not isinstance(where, s.Binary):
        raise ExecutionError("parse expr node failed")
    if where.op == "AND":
        return _conditions(where.left, schema) + _conditions(where.right, schema)
    if where.op not in _COMPARED:
        raise ExecutionError(f"unsupport operator type {where.op}")
    if not isinstance(where.left, s.ColumnRef):
        raise ExecutionError(
            f"parse node failed: a column stands on the left, not {s.show(where.left)[:60]}"
        )
    name = where.left.path[-1]
    if name not in schema.names:
        raise ExecutionError(f"col {name} does not exist")
    if isinstance(where.right, s.Parameter):
        return [Condition(name, where.op, "?", parameter=True)]
    if not isinstance(where.right, s.Literal):
        raise ExecutionError(
            f"parse node failed: a constant stands on the right, not {s.show(where.right)[:60]}"
        )
    kind = schema.columns[schema.position(name)].type
    return [Condition(name, where.op, _text(where.right, kind))]


def _text(literal: s.Literal, kind: SqlType) -> str | None:
    """A constant as the text by which keys are found."""
    value = literal.value
    if value is None:
        return None
    if kind is SqlType.DATE and isinstance(value, str):
        parts = [part for part in value.split("-") if part]
        digits = all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts)
        if len(parts) < 3 or not digits or not is_encodable(*map(int, parts[:3])):
            raise ExecutionError("invalid date value")
        return "-".join(str(int(part)) for part in parts[:3])
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:f}"
    return str(value)


def _stored(text: str | None, kind: SqlType) -> Any:
    """The stored value whose key has this text, as the log keeps it; None where none has."""
    if text is None:
        return None
    if kind is SqlType.STRING:
        return text
    if kind is SqlType.BOOL:
        return {"true": True, "false": False}.get(text)
    if kind is SqlType.DATE:
        try:
            return dt.date(*map(int, text.split("-"))).toordinal()
        except (ValueError, TypeError):
            return None
    if kind in RANGES and re.fullmatch(r"-?\d{1,19}", text) and str(int(text)) == text:
        low, high = RANGES[kind]
        return int(text) if low <= int(text) <= high else None
    return None


def _hits(index: IndexDef, conditions: Sequence[Condition]) -> int:
    """How many conditions are on an index's keys.

    Raises:
        ExecutionError: One is not an equality.
    """
    hits = [c for key in index.keys for c in conditions if c.column == key]
    if any(c.operator != "=" for c in hits):
        raise ExecutionError("only support equal condition on index col")
    return len(hits)


def _check_hit(conditions: Sequence[Condition], indexes: Sequence[IndexDef]) -> None:
    """Refuse conditions that are on no index's whole key and on no index's time."""
    hit = False
    ts: str | None = None
    for index in indexes:
        hits = _hits(index, conditions)
        if hits and hits != len(index.keys):
            continue
        hit = hit or hits > 0
        for condition in conditions:
            if index.ts is None or condition.column != index.ts:
                continue
            if ts not in (None, index.ts):
                raise ExecutionError(
                    "setting more than one ts column is not allowed in delete statement"
                )
            ts = index.ts
            if condition.value is None:
                raise ExecutionError("ts column cannot be null")
    if not hit and ts is None:
        raise ExecutionError("no index or ts columnhit")


def _choose(
    conditions: Sequence[Condition], indexes: Sequence[IndexDef]
) -> tuple[IndexDef | None, _Bounds]:
    """The index whose key is given, if one is, and the bounds of the time."""
    bounds = _Bounds()
    chosen: IndexDef | None = None
    used: set[str] = set()
    for index in sorted(indexes, key=lambda i: -len(i.keys)):
        hits = _hits(index, conditions)
        if hits and hits != len(index.keys):
            continue
        if index.ts is not None:
            for condition in conditions:
                if condition.column == index.ts:
                    bounds.ts = bounds.ts or index.ts
                    used.add(bounds.ts)
                    _bound(bounds, condition)
            if None not in (bounds.until, bounds.after) and bounds.after >= bounds.until:  # type: ignore[operator]
                raise ExecutionError("invalid ts condition")
        elif bounds.ts is not None and hits:
            raise ExecutionError("ts name mismatch")
        if not hits:
            continue
        if bounds.ts is not None or chosen is None:
            chosen = index
        elif chosen.keys != index.keys:
            raise ExecutionError("hit multiple indexs")
        used.update(chosen.keys)
        if bounds.ts is not None:
            break
    if bounds.ts is not None and chosen is not None and chosen.ts != bounds.ts:
        raise ExecutionError("ts name mismatch")
    if any(condition.column not in used for condition in conditions):
        raise ExecutionError("has redundant condition")
    return chosen, bounds


def _bound(bounds: _Bounds, condition: Condition) -> None:
    value = condition.value or ""
    if not value.isascii() or not value.isdecimal() or int(value) >= 2**64:
        raise ExecutionError(f"cannot convert to integer! value {value[:40]}")
    moment = int(value)
    if condition.operator == "=":
        bounds.until = moment
        if moment:
            bounds.after = moment - 1
    elif condition.operator == "<=":
        bounds.until = moment
    elif condition.operator == "<":
        if not moment:
            raise ExecutionError("invalid condition with ts column")
        bounds.until = moment - 1
    elif condition.operator == ">" and moment:
        bounds.after = moment
    elif condition.operator == ">=" and moment > 1:
        bounds.after = moment - 1

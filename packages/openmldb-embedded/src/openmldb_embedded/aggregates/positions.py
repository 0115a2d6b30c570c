"""Values by their place in the frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded.aggregates.kinds import whole_number
from openmldb_embedded.aggregates.registry import AggregateImpl, register

T = SqlType


@register("first_value", "(any)", "the oldest row's value")
def _first_value(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 1 or types[0] is T.LIST:
        return None
    return AggregateImpl(types[0], lambda items: items[-1] if items else None, kernel="oldest")


@register("last_value", "(any)", "the newest row's value")
def _last_value(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 1 or types[0] is T.LIST:
        return None
    return AggregateImpl(types[0], lambda items: items[0] if items else None, kernel="nth")


@register("lag at", "(any, INT constant)", "the value so many rows before the current one")
def _lag(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 2 or types[0] is T.LIST or not whole_number(constants[1]):
        return None
    n = constants[1]
    if n < 0:
        return None
    return AggregateImpl(
        types[0],
        lambda items: items[n] if n < len(items) else None,
        kernel="nth",
        parameter=n,
        offset=n,
    )


@register(
    "nth_value_where",
    "(any, INT constant, condition)",
    "the n-th value where the condition holds, from the oldest (negative: from the newest)",
)
def _nth_value_where(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 3 or types[2] not in (T.BOOL, T.NULL) or not whole_number(constants[1]):
        return None
    n = constants[1]
    if n == 0:
        return None

    def fold(items: Sequence[Any], _: Sequence[Any], conditions: Sequence[Any]) -> Any:
        kept = [x for x, c in zip(items, conditions, strict=True) if c]
        if abs(n) > len(kept):
            return None
        return kept[-n] if n > 0 else kept[-n - 1]

    return AggregateImpl(types[0], fold, 3)

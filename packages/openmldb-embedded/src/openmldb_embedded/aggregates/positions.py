"""Values by their place in the frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded.aggregates.folds import present
from openmldb_embedded.aggregates.registry import AggregateImpl, Join, Resolve, register

T = SqlType


def _end(at: int, kernel: str) -> Resolve:
    """The value at one end of the frame; with true as second argument, of those not NULL."""

    def resolve(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
        if len(types) not in (1, 2):
            return None
        if len(types) == 2 and (types[1] is not T.BOOL or not isinstance(constants[1], bool)):
            return None
        if len(types) == 2 and constants[1]:
            return AggregateImpl(
                types[0], lambda items: kept[at] if (kept := present(items)) else None
            )
        return AggregateImpl(types[0], lambda items: items[at] if items else None, kernel=kernel)

    return resolve


register("first_value", "(any[, BOOL constant])", "the oldest row's value (true: not NULL)")(
    _end(-1, "oldest")
)
register("last_value", "(any[, BOOL constant])", "the newest row's value (true: not NULL)")(
    _end(0, "nth")
)


@register("lag at", "(any, INT constant)", "the value so many rows before the current one")
def _lag(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 2 or not isinstance(constants[1], (bool, int, float)):
        return None
    n = int(constants[1])

    def finish(kept: Sequence[Any], newest: Any) -> Any:
        if n == 0 or n == -len(kept) - 1:
            return newest
        return kept[n - (n > 0)] if -len(kept) <= n <= len(kept) else None

    return AggregateImpl(
        types[0],
        lambda items: items[n] if -len(items) <= n < len(items) else None,
        kernel="nth" if n >= 0 else None,
        parameter=n,
        offset=n if n >= 0 else None,
        join=Join(lambda items: items, finish),
    )


@register(
    "nth_value_where",
    "(any, INT constant, condition)",
    "the n-th value where the condition holds, from the oldest (negative: from the newest)",
)
def _nth_value_where(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 3 or types[2] is not T.BOOL or not types[1].is_integer:
        return None

    def fold(items: Sequence[Any], places: Sequence[Any], conditions: Sequence[Any]) -> Any:
        n = next((p for p in places if p), 0)  # the newest that is not 0, where a column gives them
        kept = [x for x, p, c in zip(items, places, conditions, strict=True) if c and p]
        if n == 0 or abs(n) > len(kept):
            return None
        return kept[-n] if n > 0 else kept[-n - 1]

    return AggregateImpl(types[0], fold, 3)

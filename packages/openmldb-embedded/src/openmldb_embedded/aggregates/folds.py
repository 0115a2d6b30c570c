"""What the commonest aggregates compute of a frame's values."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.aggregates.registry import Fold

T = SqlType


def present(items: Sequence[Any]) -> list[Any]:
    """The values that are not NULL."""
    return [x for x in items if x is not None]


def count_fold(items: Sequence[Any]) -> int:
    """How many are not NULL."""
    return len(items) - items.count(None)


def sum_fold(type_: SqlType) -> Fold:
    """The sum in the argument's own type."""
    if type_ in v.WRAP:
        wrap = v.WRAP[type_]

        def whole(items: Sequence[Any]) -> int | None:
            kept = present(items)
            return wrap(sum(kept)) if kept else None

        return whole

    def real(items: Sequence[Any]) -> float | None:
        kept = present(items)
        if not kept:
            return None
        total = 0.0
        for x in kept:  # not sum(): it compensates from Python 3.12 on, the kernel does not
            total += x
        return v.to_float32(total) if type_ is T.FLOAT else total

    return real


def avg_fold(items: Sequence[Any]) -> float | None:
    """The mean."""
    kept = present(items)
    if not kept:
        return None
    total = 0.0
    for x in kept:
        total += x
    return total / len(kept)


def max_fold(items: Sequence[Any]) -> Any:
    """The greatest value."""
    return max(present(items), default=None)


def min_fold(items: Sequence[Any]) -> Any:
    """The least value."""
    return min(present(items), default=None)


_ZERO: dict[SqlType, Any] = {
    T.BOOL: False,
    T.STRING: "",
    T.DATE: dt.date.min,  # the unset date equals no real one
}


def zero_value(type_: SqlType) -> Any:
    """What a NULL counts as for distinct_count: the type's zero (udaf case 5 and 6)."""
    return _ZERO.get(type_, 0)


def distinct_count_fold(type_: SqlType) -> Fold:
    """How many distinct values there are."""
    zero = zero_value(type_)

    def fold(items: Sequence[Any]) -> int:
        found = set(items)
        if None in found:
            found.discard(None)
            found.add(zero)
        return len(found)

    return fold


def top1_ratio_fold(items: Sequence[Any]) -> float:
    """The share of the most frequent value."""
    counts = Counter(items)
    nulls = counts.pop(None, 0)
    return max(counts.values()) / (len(items) - nulls) if counts else 0.0


def topn_text(ranked: Sequence[str], n: int) -> str:
    """The first n keys, padded with the text NULL."""
    return ",".join([*ranked[:n], *(["NULL"] * (n - len(ranked)))])


def topn_frequency_fold(type_: SqlType, n: int) -> Fold:
    """The n most frequent values as text."""
    text = type_ is T.STRING

    def fold(items: Sequence[Any]) -> str:
        counts = Counter(items)
        counts.pop(None, None)
        if not items:
            return ""
        if len(counts) == 1:
            (only,) = counts
            return topn_text([only if text else v.key_string(only, type_)], n)
        ranked = sorted(counts.items(), key=lambda p: (-p[1], p[0]))[:n]
        return topn_text([k if text else v.key_string(k, type_) for k, _ in ranked], n)

    return fold


def where_fold(fold: Fold) -> Fold:
    """The fold of the values whose condition, a second argument, holds."""
    return lambda items, conditions: fold([x for x, c in zip(items, conditions, strict=True) if c])

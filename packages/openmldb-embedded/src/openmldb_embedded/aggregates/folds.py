"""What the commonest aggregates compute of a frame's values."""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import compress
from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.aggregates.registry import Fold, Join

T = SqlType


def present(items: Sequence[Any]) -> list[Any]:
    """The values that are not NULL."""
    return [x for x in items if x is not None]


def count_fold(items: Sequence[Any]) -> int:
    """How many are not NULL."""
    return len(items) - items.count(None)


def sum_fold(type_: SqlType) -> Fold:
    """The sum in the argument's own type; FLOATs are added newest first in 32 bits."""
    if type_ in v.WRAP:
        wrap = v.WRAP[type_]

        def whole(items: Sequence[Any]) -> int | None:
            kept = present(items)
            return wrap(sum(kept)) if kept else None

        return whole
    if type_ is T.FLOAT:
        return _float_sum

    def real(items: Sequence[Any]) -> float | None:
        kept = present(items)
        if not kept:
            return None
        total = 0.0
        for x in kept:  # not sum(): it compensates from Python 3.12 on, the kernel does not
            total += x
        return total

    return real


def _float_sum(items: Sequence[Any]) -> float | None:
    kept = present(items)
    if not kept:
        return None
    narrow, total = v.to_float32, 0.0
    for x in kept:
        total = narrow(total + x)
    return total


def avg_fold(items: Sequence[Any]) -> float | None:
    """The mean."""
    kept = present(items)
    if not kept:
        return None
    total = 0.0
    for x in kept:
        total += x
    return total / len(kept)


FLOAT_MAX = 3.4028234663852886e38
LIMITS: dict[SqlType, tuple[Any, Any]] = {
    T.FLOAT: (-FLOAT_MAX, FLOAT_MAX),
    T.DOUBLE: (-sys.float_info.max, sys.float_info.max),
    T.TIMESTAMP: (0, 2**63 - 1),
}
"""What max and min start from where that shows: infinities and NaN do not beat it, nor do times
before 1970 beat the epoch."""


def extreme_fold(type_: SqlType, *, greatest: bool) -> Fold:
    """The greatest or least value, found as OpenMLDB does: each value is compared with the best."""
    limits = LIMITS.get(type_)
    if limits is None:
        pick = max if greatest else min
        return lambda items: pick(present(items), default=None)
    start = limits[0] if greatest else limits[1]

    def fold(items: Sequence[Any]) -> Any:
        kept = present(items)
        if not kept:
            return None
        best = start
        for x in kept:
            if x > best if greatest else x < best:
                best = x
        return best

    return fold


def extreme_where_fold(type_: SqlType, *, greatest: bool) -> Fold:
    """max_where and min_where: the newest value that counts is the first best."""

    def fold(items: Sequence[Any], conditions: Sequence[Any]) -> Any:
        best = None
        for x, c in zip(items, conditions, strict=True):
            if c and x is not None and (best is None or (x > best if greatest else x < best)):
                best = x
        return best

    return fold


_ZERO: dict[SqlType, Any] = {
    T.BOOL: False,
    T.STRING: "",
    T.DATE: dt.date.min,  # the unset date equals no real one
}


def zero_value(type_: SqlType) -> Any:
    """What a NULL counts as for distinct_count: the type's zero (udaf case 5 and 6)."""
    return _ZERO.get(type_, 0)


def _distinct(items: Sequence[Any], zero: Any) -> set[Any]:
    found = set(items)
    if None in found:
        found.discard(None)
        found.add(zero)
    return found


def distinct_count_fold(type_: SqlType) -> Fold:
    """How many distinct values there are; each NaN differs from all others."""
    zero = zero_value(type_)

    def fold(items: Sequence[Any]) -> int:
        return len(_distinct(items, zero))

    def of_floats(items: Sequence[Any]) -> int:
        numbers = [0.0 if x is None else x for x in items]
        nans = sum(1 for x in numbers if math.isnan(x))
        return len({x for x in numbers if not math.isnan(x)}) + nans

    return of_floats if type_.is_floating else fold


def top1_ratio_fold(items: Sequence[Any]) -> float:
    """The share of the most frequent value."""
    counts = Counter(items)
    nulls = counts.pop(None, 0)
    return max(counts.values()) / (len(items) - nulls) if counts else 0.0


def count_join(type_: SqlType) -> Join | None:
    """``count_fold`` of one more value."""
    return Join(count_fold, lambda kept, newest: kept + (newest is not None), lambda kept: ())


def distinct_count_join(type_: SqlType) -> Join | None:
    """``distinct_count_fold`` of one more value."""
    if type_.is_floating:
        return None
    zero = zero_value(type_)

    def keep(items: Sequence[Any]) -> set[Any]:
        return _distinct(items, zero)

    def finish(kept: set[Any], newest: Any) -> int:
        return len(kept) + ((zero if newest is None else newest) not in kept)

    return Join(keep, finish, lambda kept: kept)


def top1_ratio_join(type_: SqlType) -> Join | None:
    """``top1_ratio_fold`` of one more value."""
    if type_.is_floating:
        return None

    def keep(items: Sequence[Any]) -> tuple[dict[Any, int], int, int]:
        counts = Counter(items)
        nulls = counts.pop(None, 0)
        return counts, max(counts.values(), default=0), len(items) - nulls

    def finish(kept: tuple[dict[Any, int], int, int], newest: Any) -> float:
        counts, most, total = kept
        if newest is None:
            return most / total if total else 0.0
        return max(most, counts.get(newest, 0) + 1) / (total + 1)

    return Join(keep, finish, lambda kept: kept[0])


def no_join(type_: SqlType) -> Join | None:
    """For an aggregate that has none."""
    return None


MOST_KEYS = 1024
"""Keys that topn_frequency gives at most, and for a negative number."""


def topn_limit(n: int) -> int:
    """How many keys topn_frequency gives for ``n``."""
    return n if 0 <= n <= MOST_KEYS else MOST_KEYS


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
    return lambda items, conditions: fold(list(compress(items, conditions)))


def nonzero_where_fold(fold: Fold) -> Fold:
    """The same without zeros: sum_where and avg_where take a value for a condition of its own."""
    return lambda items, conditions: fold(
        [x for x, c in zip(items, conditions, strict=True) if c and x]
    )

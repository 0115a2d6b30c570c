"""Statistics of a frame's values."""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.aggregates.folds import present
from openmldb_embedded.aggregates.kinds import whole_number
from openmldb_embedded.aggregates.registry import AggregateImpl, Resolve, register
from openmldb_embedded.functions.arithmetic import finish

T = SqlType


def _over_numbers(fn: Callable[[list[float]], float | None]) -> Resolve:
    def resolve(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
        if len(types) != 1 or not types[0].is_numeric:
            return None
        return AggregateImpl(T.DOUBLE, lambda items: fn([float(x) for x in present(items)]))

    return resolve


def _median(type_: SqlType) -> Callable[[list[Any]], float | None]:
    """The two middle values are added in their own type: integers wrap."""
    end = finish(T.INT32 if type_ is T.INT16 else type_)

    def fn(xs: list[Any]) -> float | None:
        if not xs:
            return None
        xs = sorted(xs)
        half = len(xs) // 2
        return float(xs[half]) if len(xs) % 2 else end(xs[half - 1] + xs[half]) / 2

    return fn


def _variance(less: int) -> Callable[[list[float]], float | None]:
    """Squared distances from the mean, added newest first."""

    def fn(xs: list[float]) -> float | None:
        if len(xs) <= less:
            return None
        total = squares = 0.0
        for x in xs:
            total += x
        mean = total / len(xs)
        for x in xs:
            squares += (x - mean) * (x - mean)
        return squares / (len(xs) - less)

    return fn


def _deviation(less: int) -> Callable[[list[float]], float | None]:
    variance = _variance(less)

    def fn(xs: list[float]) -> float | None:
        found = variance(xs)
        return None if found is None else math.sqrt(found)

    return fn


@register("median", "(number)", "the middle value, DOUBLE")
def _middle(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 1 or not types[0].is_numeric:
        return None
    fn = _median(types[0])
    return AggregateImpl(T.DOUBLE, lambda items: fn(present(items)))


register("variance var_samp", "(number)", "sample variance")(_over_numbers(_variance(1)))
register("var_pop", "(number)", "population variance")(_over_numbers(_variance(0)))
register("stddev std stddev_samp", "(number)", "sample standard deviation")(
    _over_numbers(_deviation(1))
)
register("stddev_pop", "(number)", "population standard deviation")(_over_numbers(_deviation(0)))


@register("entropy", "(any)", "Shannon entropy of the values' frequencies, in bits")
def _entropy(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 1:
        return None

    def fold(items: Sequence[Any]) -> float | None:
        kept = present(items)
        if not kept:
            return None
        shares = [c / len(kept) for c in Counter(kept).values()]
        return -math.fsum([p * math.log2(p) for p in shares]) + 0.0

    return AggregateImpl(T.DOUBLE, fold)


@register(
    "drawdown",
    "(number)",
    "the greatest fall from a high to a later low, as a share; values below 0 do not count",
)
def _drawdown(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 1 or not types[0].is_numeric:
        return None

    def fold(items: Sequence[Any]) -> float | None:
        worst = low = None
        for x in items:  # newest first: the lowest value seen so far lies after x in time
            if x is None or x < 0:
                continue
            fall = 0.0
            if low is None or not low < x:
                low = x
            else:
                fall = (x - low) / x
            worst = fall if worst is None or worst < fall else worst
        return worst

    return AggregateImpl(T.DOUBLE, fold)


@register("ew_avg", "(number, DOUBLE)", "mean weighted by (1 - smoothing) ** age")
def _ew_avg(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 2 or not types[0].is_numeric or types[1] is not T.DOUBLE:
        return None

    def fold(items: Sequence[Any], smoothings: Sequence[Any]) -> float | None:
        total = weights = 0.0
        weight = 1.0
        for x, smoothing in zip(items, smoothings, strict=True):
            if x is not None:
                total += weight * x
                weights += weight
                weight *= 1.0 - (smoothing or 0.0)
        return total / weights if weights else None

    return AggregateImpl(T.DOUBLE, fold, 2)


@register("top", "(any, INT constant)", "the k greatest values, descending, as text")
def _top_k(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 2 or types[0] in (T.BOOL, T.NULL) or types[1] not in (T.INT32, T.INT64):
        return None
    key = types[0]

    def text(kept: Sequence[Any]) -> str:
        return ",".join(v.key_string(x, key) for x in kept)

    if whole_number(constants[1]):
        k = max(constants[1], 0)
        return AggregateImpl(T.STRING, lambda items: text(sorted(present(items), reverse=True)[:k]))

    def fold(items: Sequence[Any], bounds: Sequence[Any]) -> str:
        """The bound is a column's value: the newest row's that is above 0."""
        kept: list[Any] = []
        bound = -1
        for x, b in zip(items, bounds, strict=True):
            bound = bound if bound > 0 else (b or 0)
            if x is not None:
                insort(kept, x)
                if len(kept) > bound:
                    del kept[0]
        return text(kept[::-1])

    return AggregateImpl(T.STRING, fold, 2)

"""The aggregate functions: one entry each, with types, meaning and doc line.

The meaning is a fold over a frame's values, newest first. ``kernel`` names a vectorised equivalent
in ``kernels`` where there is one; otherwise batch mode folds frame by frame.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from openmldb_sql.errors import TypeCheckError
from openmldb_sql.types import SqlType

from openmldb_embedded import values as v

T = SqlType
Fold = Callable[..., Any]
"""One list of values, newest first, for each argument taken row by row."""


@dataclass(frozen=True)
class AggregateImpl:
    """An aggregate for given argument types.

    Attributes:
        type: The result type.
        fold: The meaning.
        arguments: How many arguments are taken row by row (the rest are constants, bound in).
        kernel: The vectorised equivalent, or None.
        parameter: The kernel's constant.
        conditional: The second row-by-row argument is a condition: rows where it is not true do
            not count. ``fold`` has that built in; a kernel masks the first argument.
        offset: For ``lag``: rows before the current one, out of the frame's bounds too.
    """

    type: SqlType
    fold: Fold
    arguments: int = 1
    kernel: str | None = None
    parameter: Any = None
    conditional: bool = False
    offset: int | None = None


@dataclass(frozen=True)
class AggregateFunction:
    """An aggregate function; see ScalarFunction for the attributes."""

    names: tuple[str, ...]
    signature: str
    doc: str
    resolve: Callable[[Sequence[SqlType], Sequence[Any]], AggregateImpl | None]


NOT_CONSTANT = object()
"""Stands for the value of an argument that is not a constant."""

AGGREGATES: dict[str, AggregateFunction] = {}

Resolve = Callable[[Sequence[SqlType], Sequence[Any]], AggregateImpl | None]


def _register(names: str, signature: str, doc: str) -> Callable[[Resolve], Resolve]:
    def add(resolve: Resolve) -> Resolve:
        entry = AggregateFunction(tuple(names.split()), signature, doc, resolve)
        for name in entry.names:
            AGGREGATES[name] = entry
        return resolve

    return add


def resolve_aggregate(
    name: str, types: Sequence[SqlType], constants: Sequence[Any]
) -> AggregateImpl:
    """What an aggregate does for arguments of these types.

    Args:
        name: The function's name, in any case.
        types: The arguments' types.
        constants: Their values where they are constants, else NOT_CONSTANT.

    Raises:
        TypeCheckError: It takes other arguments.
    """
    entry = AGGREGATES[name.lower()]
    impl = entry.resolve(types, constants)
    if impl is None:
        given = ", ".join(t.value for t in types)
        raise TypeCheckError(
            f"Fail to resolve expression: no aggregate {name}({given}); it takes {entry.signature}"
        )
    return impl


# -- folds


def _present(items: Sequence[Any]) -> list[Any]:
    return [x for x in items if x is not None]


def _count(items: Sequence[Any]) -> int:
    return len(items) - items.count(None)


def _sum_of(type_: SqlType) -> Fold:
    if type_ in v.WRAP:
        wrap = v.WRAP[type_]

        def whole(items: Sequence[Any]) -> int | None:
            kept = _present(items)
            return wrap(sum(kept)) if kept else None

        return whole

    def real(items: Sequence[Any]) -> float | None:
        kept = _present(items)
        if not kept:
            return None
        total = 0.0
        for x in kept:  # not sum(): it compensates from Python 3.12 on, the kernel does not
            total += x
        return v.to_float32(total) if type_ is T.FLOAT else total

    return real


def _avg(items: Sequence[Any]) -> float | None:
    kept = _present(items)
    if not kept:
        return None
    total = 0.0
    for x in kept:
        total += x
    return total / len(kept)


def _max(items: Sequence[Any]) -> Any:
    return max(_present(items), default=None)


def _min(items: Sequence[Any]) -> Any:
    return min(_present(items), default=None)


_ZERO: dict[SqlType, Any] = {
    T.BOOL: False,
    T.STRING: "",
    T.DATE: dt.date.min,  # the unset date equals no real one
}


def zero_value(type_: SqlType) -> Any:
    """What a NULL counts as for distinct_count: the type's zero (udaf case 5 and 6)."""
    return _ZERO.get(type_, 0)


def _distinct_count(type_: SqlType) -> Fold:
    zero = zero_value(type_)

    def fold(items: Sequence[Any]) -> int:
        found = set(items)
        if None in found:
            found.discard(None)
            found.add(zero)
        return len(found)

    return fold


def _top1_ratio(items: Sequence[Any]) -> float:
    counts = Counter(items)
    nulls = counts.pop(None, 0)
    return max(counts.values()) / (len(items) - nulls) if counts else 0.0


def topn_text(ranked: Sequence[str], n: int) -> str:
    """The first n keys, padded with the text NULL."""
    return ",".join([*ranked[:n], *(["NULL"] * (n - len(ranked)))])


def _topn_frequency(type_: SqlType, n: int) -> Fold:
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


def _where(fold: Fold) -> Fold:
    return lambda items, conditions: fold([x for x, c in zip(items, conditions, strict=True) if c])


def _simple(
    allowed: Callable[[SqlType], bool],
    result: Callable[[SqlType], SqlType],
    make: Callable[[SqlType], Fold],
    kernel: str | None,
) -> tuple[Resolve, Resolve]:
    """An aggregate of one value, and its ``_where`` form."""

    def plain(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
        if len(types) != 1 or not allowed(types[0]):
            return None
        return AggregateImpl(result(types[0]), make(types[0]), kernel=kernel)

    def where(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
        if len(types) != 2 or not allowed(types[0]) or types[1] not in (T.BOOL, T.NULL):
            return None
        fold = _where(make(types[0]))
        return AggregateImpl(result(types[0]), fold, 2, kernel, conditional=True)

    return plain, where


def _numeric(t: SqlType) -> bool:
    return t.is_numeric


def _summable(t: SqlType) -> bool:
    return t.is_numeric or t is T.TIMESTAMP


def _ordered(t: SqlType) -> bool:
    return t.is_numeric or t in (T.TIMESTAMP, T.DATE, T.STRING)


def _any(t: SqlType) -> bool:
    return t is not T.LIST


def _listed(t: SqlType) -> bool:
    return True


_same: Callable[[SqlType], SqlType] = lambda t: t  # noqa: E731
_int64: Callable[[SqlType], SqlType] = lambda t: T.INT64  # noqa: E731
_double: Callable[[SqlType], SqlType] = lambda t: T.DOUBLE  # noqa: E731

_count_plain, _count_where = _simple(_listed, _int64, lambda t: _count, "count")
_sum_plain, _ = _simple(_summable, _same, _sum_of, "sum")
_, _sum_where = _simple(_numeric, _same, _sum_of, "sum")
_avg_plain, _avg_where = _simple(_numeric, _double, lambda t: _avg, "avg")
_max_plain, _ = _simple(_ordered, _same, lambda t: _max, "max")
_, _max_where = _simple(_numeric, _same, lambda t: _max, "max")
_min_plain, _ = _simple(_ordered, _same, lambda t: _min, "min")
_, _min_where = _simple(_numeric, _same, lambda t: _min, "min")
_distinct, _ = _simple(_listed, _int64, _distinct_count, "distinct_count")
_ratio, _ = _simple(_listed, _double, lambda t: _top1_ratio, "top1_ratio")

_register("count", "(any | *)", "values that are not NULL; rows, for *")(_count_plain)
_register("sum", "(number | TIMESTAMP)", "the sum, in the argument's own type")(_sum_plain)
_register("avg", "(number)", "the mean, DOUBLE")(_avg_plain)
_register("max", "(number | TIMESTAMP | DATE | STRING)", "the greatest value")(_max_plain)
_register("min", "(number | TIMESTAMP | DATE | STRING)", "the least value")(_min_plain)
_register("count_where", "(any | *, condition)", "values where the condition holds")(_count_where)
_register("sum_where", "(number, condition)", "the sum where the condition holds")(_sum_where)
_register("avg_where", "(number, condition)", "the mean where the condition holds")(_avg_where)
_register("max_where", "(number, condition)", "the greatest where it holds")(_max_where)
_register("min_where", "(number, condition)", "the least where it holds")(_min_where)
_register("distinct_count", "(any)", "distinct values; NULL counts as the zero of its type")(
    _distinct
)
_register("top1_ratio fz_top1_ratio", "(any)", "the share of the most frequent value")(_ratio)


def _whole_number(x: Any) -> bool:
    return isinstance(x, int) and not isinstance(x, bool)


@_register(
    "topn_frequency fz_topn_frequency",
    "(any, INT constant)",
    "the n most frequent values (ties: the lesser first), padded with the text NULL",
)
def _topn(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 2 or not _whole_number(constants[1]) or constants[1] < 0:
        return None
    key = T.STRING if types[0] is T.LIST else types[0]
    n = min(constants[1], 1_000_000)
    return AggregateImpl(T.STRING, _topn_frequency(key, n), 1, "topn_frequency", n)


# -- by category

_CATEGORIES = (T.INT16, T.INT32, T.INT64, T.TIMESTAMP, T.DATE, T.STRING)


def _groups(items: Sequence[Any], keys: Sequence[Any]) -> dict[Any, list[Any]]:
    out: dict[Any, list[Any]] = {}
    for x, k in zip(items, keys, strict=True):
        if x is not None and k is not None:
            out.setdefault(k, []).append(x)
    return out


Pick = Callable[[list[tuple[Any, Any]]], list[tuple[Any, Any]]]


def _cate_text(
    groups: dict[Any, list[Any]],
    fold: Fold,
    key_type: SqlType,
    out_type: SqlType,
    pick: Pick,
) -> str:
    pairs = pick([(k, fold(xs)) for k, xs in groups.items()])
    return ",".join(f"{v.key_string(k, key_type)}:{v.key_string(x, out_type)}" for k, x in pairs)


def _by_key(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    return sorted(pairs, key=lambda p: p[0])


def _top_key(n: int) -> Callable[[list[tuple[Any, Any]]], list[tuple[Any, Any]]]:
    return lambda pairs: sorted(pairs, key=lambda p: p[0], reverse=True)[:n]


def _top_value(n: int) -> Callable[[list[tuple[Any, Any]]], list[tuple[Any, Any]]]:
    return lambda pairs: sorted(pairs, key=lambda p: (p[1], p[0]), reverse=True)[:n]


_BASES: dict[str, tuple[Callable[[SqlType], bool], Callable[[SqlType], SqlType], Any]] = {
    "count": (_any, _int64, lambda t: len),
    "sum": (_numeric, _same, _sum_of),
    "avg": (_numeric, _double, lambda t: _avg),
    "max": (_numeric, _same, lambda t: _max),
    "min": (_numeric, _same, lambda t: _min),
}


def _cate(base: str, where: bool, top: str | None) -> Resolve:
    allowed, result, make = _BASES[base]

    def resolve(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
        expected = 2 + where + (top is not None)
        if len(types) != expected or not allowed(types[0]):
            return None
        if where and types[1] not in (T.BOOL, T.NULL):
            return None
        key = types[1 + where]
        if key not in _CATEGORIES:
            return None
        pick: Pick = _by_key
        if top is not None:
            n = constants[-1]
            if not _whole_number(n):
                return None
            n = max(n, 0)
            pick = _top_key(n) if top == "key" else _top_value(n)
        fold, out = make(types[0]), result(types[0])
        if not where:
            return AggregateImpl(
                T.STRING,
                lambda items, keys: _cate_text(_groups(items, keys), fold, key, out, pick),
                2,
            )

        def filtered(items: Sequence[Any], conditions: Sequence[Any], keys: Sequence[Any]) -> str:
            kept = [(x, k) for x, c, k in zip(items, conditions, keys, strict=True) if c]
            groups = _groups([x for x, _ in kept], [k for _, k in kept])
            return _cate_text(groups, fold, key, out, pick)

        return AggregateImpl(T.STRING, filtered, 3)

    return resolve


for _base in _BASES:
    _register(f"{_base}_cate", "(value, category)", f"{_base} in each category, as k:v,...")(
        _cate(_base, False, None)
    )
    _register(
        f"{_base}_cate_where",
        "(value, condition, category)",
        f"{_base} in each category where the condition holds, as k:v,...",
    )(_cate(_base, True, None))
    for _top in ("key", "value"):
        _register(
            f"top_n_{_top}_{_base}_cate_where",
            "(value, condition, category, INT constant)",
            f"{_base} in each category where the condition holds: the n greatest by {_top}",
        )(_cate(_base, True, _top))


def _ratio_cate(top: str) -> Resolve:
    def resolve(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
        if len(types) != 4 or types[1] not in (T.BOOL, T.NULL) or types[2] not in _CATEGORIES:
            return None
        if not _whole_number(constants[3]):
            return None
        n = max(constants[3], 0)
        pick = _top_key(n) if top == "key" else _top_value(n)
        key = types[2]

        def fold(items: Sequence[Any], conditions: Sequence[Any], keys: Sequence[Any]) -> str:
            pairs = [(c if x is not None else None) for x, c in zip(items, conditions, strict=True)]
            every = _groups(items, keys)
            hits = Counter(k for p, k in zip(pairs, keys, strict=True) if p and k is not None)
            ratios = pick([(k, hits.get(k, 0) / len(xs)) for k, xs in every.items()])
            return ",".join(f"{v.key_string(k, key)}:{v.format_fixed(r)}" for k, r in ratios)

        return AggregateImpl(T.STRING, fold, 3)

    return resolve


for _top in ("key", "value"):
    _register(
        f"top_n_{_top}_ratio_cate",
        "(value, condition, category, INT constant)",
        f"the share of rows where the condition holds in each category: the n greatest by {_top}",
    )(_ratio_cate(_top))


# -- by position


@_register("first_value", "(any)", "the oldest row's value")
def _first_value(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 1 or types[0] is T.LIST:
        return None
    return AggregateImpl(types[0], lambda items: items[-1] if items else None, kernel="oldest")


@_register("last_value", "(any)", "the newest row's value")
def _last_value(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 1 or types[0] is T.LIST:
        return None
    return AggregateImpl(types[0], lambda items: items[0] if items else None, kernel="nth")


@_register("lag at", "(any, INT constant)", "the value so many rows before the current one")
def _lag(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 2 or types[0] is T.LIST or not _whole_number(constants[1]):
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


@_register(
    "nth_value_where",
    "(any, INT constant, condition)",
    "the n-th value where the condition holds, from the oldest (negative: from the newest)",
)
def _nth_value_where(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 3 or types[2] not in (T.BOOL, T.NULL) or not _whole_number(constants[1]):
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


# -- of numbers


def _over_numbers(fn: Callable[[list[float]], float | None]) -> Resolve:
    def resolve(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
        if len(types) != 1 or not types[0].is_numeric:
            return None
        return AggregateImpl(T.DOUBLE, lambda items: fn([float(x) for x in _present(items)]))

    return resolve


def _sum(xs: list[float]) -> float:
    """Exactly rounded; of values that leave the range, what adding them gives."""
    try:
        return math.fsum(xs)
    except (OverflowError, ValueError):
        return sum(xs)


def _median(xs: list[float]) -> float | None:
    if not xs:
        return None
    xs = sorted(xs)
    half = len(xs) // 2
    return xs[half] if len(xs) % 2 else (xs[half - 1] + xs[half]) / 2


def _variance(less: int) -> Callable[[list[float]], float | None]:
    def fn(xs: list[float]) -> float | None:
        if len(xs) <= less:
            return None
        mean = _sum(xs) / len(xs)
        return _sum([(x - mean) * (x - mean) for x in xs]) / (len(xs) - less)

    return fn


def _deviation(less: int) -> Callable[[list[float]], float | None]:
    variance = _variance(less)

    def fn(xs: list[float]) -> float | None:
        found = variance(xs)
        return None if found is None else math.sqrt(found)

    return fn


_register("median", "(number)", "the middle value, DOUBLE")(_over_numbers(_median))
_register("variance var_samp", "(number)", "sample variance")(_over_numbers(_variance(1)))
_register("var_pop", "(number)", "population variance")(_over_numbers(_variance(0)))
_register("stddev std stddev_samp", "(number)", "sample standard deviation")(
    _over_numbers(_deviation(1))
)
_register("stddev_pop", "(number)", "population standard deviation")(_over_numbers(_deviation(0)))


@_register("entropy", "(any)", "Shannon entropy of the values' frequencies, in bits")
def _entropy(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 1:
        return None

    def fold(items: Sequence[Any]) -> float | None:
        kept = _present(items)
        if not kept:
            return None
        shares = [c / len(kept) for c in Counter(kept).values()]
        return -_sum([p * math.log2(p) for p in shares]) + 0.0

    return AggregateImpl(T.DOUBLE, fold)


@_register("drawdown", "(number)", "the greatest fall from a high to a later low, as a share")
def _drawdown(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 1 or not types[0].is_numeric:
        return None

    def fold(items: Sequence[Any]) -> float | None:
        kept = _present(items)
        if not kept:
            return None
        worst, low = 0.0, math.inf
        for x in kept:  # newest first: the lowest value seen so far lies after x in time
            if x > 0 and low < x:
                worst = max(worst, (x - low) / x)
            low = min(low, x)
        return float(worst)

    return AggregateImpl(T.DOUBLE, fold)


@_register("ew_avg", "(number, DOUBLE constant)", "mean weighted by (1 - smoothing) ** age")
def _ew_avg(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 2 or not types[0].is_numeric or not isinstance(constants[1], (int, float)):
        return None
    keep = 1.0 - float(constants[1])

    def fold(items: Sequence[Any]) -> float | None:
        kept = _present(items)
        if not kept:
            return None
        weights = [keep**i for i in range(len(kept))]
        total = _sum(weights)
        if not total:
            return None
        return _sum([w * x for w, x in zip(weights, kept, strict=True)]) / total

    return AggregateImpl(T.DOUBLE, fold)


@_register("top", "(any, INT constant)", "the k greatest values, descending, as text")
def _top_k(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 2 or types[0] in (T.LIST, T.BOOL) or not _whole_number(constants[1]):
        return None
    k, key = max(constants[1], 0), types[0]

    def fold(items: Sequence[Any]) -> str:
        kept = sorted(_present(items), reverse=True)[:k]
        return ",".join(v.key_string(x, key) for x in kept)

    return AggregateImpl(T.STRING, fold)


# -- lists of text (FeatureZero): the window's texts split, newest row first

LIST_AGGREGATES = {
    "window_split": "split",
    "fz_window_split": "split",
    "window_split_by_key": "split_by_key",
    "fz_window_split_by_key": "split_by_key",
    "window_split_by_value": "split_by_value",
    "fz_window_split_by_value": "split_by_value",
}
"""Aggregates that give a list, only ever an argument of another, and their scalar counterparts."""


def join_fold(separator: str) -> Fold:
    """``join(window_split(...), separator)``: the whole window's parts, joined."""
    return lambda items: separator.join(_present(items))

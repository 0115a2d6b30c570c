"""Aggregates in each category, written as ``key:value,...``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.aggregates.folds import avg_fold, extreme_fold, sum_fold
from openmldb_embedded.aggregates.kinds import double, int64, numeric, same, scalar, whole_number
from openmldb_embedded.aggregates.registry import AggregateImpl, Fold, Resolve, register

T = SqlType
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
    return _joined((v.key_string(k, key_type), v.key_string(x, out_type)) for k, x in pairs)


MAX_TEXT = 4096
"""Bytes that the text may have; the pairs from the first that does not fit on are left out."""


def _joined(pairs: Iterable[tuple[str, str]]) -> str:
    """``key:value,...`` as far as OpenMLDB writes it."""
    parts = []
    room = MAX_TEXT
    for key, value in pairs:
        room -= len(key.encode("utf-8", "surrogateescape")) + len(value) + 2
        if room < 0:
            break
        parts.append(f"{key}:{value}")
    return ",".join(parts)


def _by_key(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    return sorted(pairs, key=lambda p: p[0])


def _top_key(n: int) -> Callable[[list[tuple[Any, Any]]], list[tuple[Any, Any]]]:
    return lambda pairs: sorted(pairs, key=lambda p: p[0], reverse=True)[: _limit(n)]


def _top_value(n: int) -> Callable[[list[tuple[Any, Any]]], list[tuple[Any, Any]]]:
    return lambda pairs: sorted(pairs, key=lambda p: (p[1], p[0]), reverse=True)[: _limit(n)]


def _limit(n: int) -> int | None:
    """A negative number keeps every category."""
    return n if n >= 0 else None


_BASES: dict[str, tuple[Callable[[SqlType], bool], Callable[[SqlType], SqlType], Any]] = {
    "count": (scalar, int64, lambda t: len),
    "sum": (numeric, same, sum_fold),
    "avg": (numeric, double, lambda t: avg_fold),
    "max": (numeric, same, lambda t: extreme_fold(t, greatest=True)),
    "min": (numeric, same, lambda t: extreme_fold(t, greatest=False)),
}


def _cate(base: str, where: bool, top: str | None) -> Resolve:
    allowed, result, make = _BASES[base]

    def resolve(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
        expected = 2 + where + (top is not None)
        if len(types) != expected or not allowed(types[0]):
            return None
        if where and types[1] is not T.BOOL:
            return None
        key = types[1 + where]
        if key not in _CATEGORIES:
            return None
        pick: Pick = _by_key
        if top is not None:
            n = constants[-1]
            if not whole_number(n):
                return None
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
    register(f"{_base}_cate", "(value, category)", f"{_base} in each category, as k:v,...")(
        _cate(_base, False, None)
    )
    register(
        f"{_base}_cate_where",
        "(value, condition, category)",
        f"{_base} in each category where the condition holds, as k:v,...",
    )(_cate(_base, True, None))
    for _top in ("key", "value"):
        register(
            f"top_n_{_top}_{_base}_cate_where",
            "(value, condition, category, INT constant)",
            f"{_base} in each category where the condition holds: the n greatest by {_top}",
        )(_cate(_base, True, _top))


def _ratio_cate(top: str) -> Resolve:
    def resolve(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
        if len(types) != 4 or types[1] is not T.BOOL or types[2] not in _CATEGORIES:
            return None
        if not whole_number(constants[3]):
            return None
        n = constants[3]
        pick = _top_key(n) if top == "key" else _top_value(n)
        key = types[2]

        def fold(items: Sequence[Any], conditions: Sequence[Any], keys: Sequence[Any]) -> str:
            pairs = [(c if x is not None else None) for x, c in zip(items, conditions, strict=True)]
            every = _groups(items, keys)
            hits = Counter(k for p, k in zip(pairs, keys, strict=True) if p and k is not None)
            ratios = pick([(k, hits.get(k, 0) / len(xs)) for k, xs in every.items()])
            return _joined((v.key_string(k, key), v.format_fixed(r)) for k, r in ratios)

        return AggregateImpl(T.STRING, fold, 3)

    return resolve


for _top in ("key", "value"):
    register(
        f"top_n_{_top}_ratio_cate",
        "(value, condition, category, INT constant)",
        f"the share of rows where the condition holds in each category: the n greatest by {_top}",
    )(_ratio_cate(_top))

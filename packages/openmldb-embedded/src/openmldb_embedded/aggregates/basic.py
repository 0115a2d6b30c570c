"""Counts, sums, means and extremes, with their ``_where`` forms; and the most frequent values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded.aggregates.folds import (
    avg_fold,
    count_fold,
    count_join,
    distinct_count_fold,
    distinct_count_join,
    extreme_fold,
    extreme_where_fold,
    no_join,
    nonzero_where_fold,
    sum_fold,
    top1_ratio_fold,
    top1_ratio_join,
    topn_frequency_fold,
    topn_limit,
    where_fold,
)
from openmldb_embedded.aggregates.kinds import (
    double,
    frequent,
    int64,
    listed,
    numeric,
    ordered,
    same,
    summable,
    whole_number,
)
from openmldb_embedded.aggregates.registry import AggregateImpl, Fold, Join, Resolve, register

T = SqlType


def _simple(
    allowed: Callable[[SqlType], bool],
    result: Callable[[SqlType], SqlType],
    make: Callable[[SqlType], Fold],
    kernel: str | None,
    join: Callable[[SqlType], Join | None] = no_join,
) -> tuple[Resolve, Resolve]:
    """An aggregate of one value, and its ``_where`` form."""

    def plain(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
        if len(types) != 1 or not allowed(types[0]):
            return None
        return AggregateImpl(result(types[0]), make(types[0]), kernel=kernel, join=join(types[0]))

    def where(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
        if len(types) != 2 or not allowed(types[0]) or types[1] is not T.BOOL:
            return None
        fold = where_fold(make(types[0]))
        return AggregateImpl(result(types[0]), fold, 2, kernel, conditional=True)

    return plain, where


_count_plain, _count_where = _simple(listed, int64, lambda t: count_fold, "count", count_join)
_sum_plain, _ = _simple(summable, same, sum_fold, "sum")
_avg_plain, _ = _simple(numeric, double, lambda t: avg_fold, "avg")
_max_plain, _ = _simple(ordered, same, lambda t: extreme_fold(t, greatest=True), "max")
_min_plain, _ = _simple(ordered, same, lambda t: extreme_fold(t, greatest=False), "min")
_distinct, _ = _simple(listed, int64, distinct_count_fold, "distinct_count", distinct_count_join)
_ratio, _ = _simple(frequent, double, lambda t: top1_ratio_fold, "top1_ratio", top1_ratio_join)


def _where(
    make: Callable[[SqlType], Fold], result: Callable[[SqlType], SqlType], kernel: str | None
) -> Resolve:
    """An aggregate of the values whose condition holds; ``make`` gives the fold of both."""

    def resolve(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
        if len(types) != 2 or not numeric(types[0]) or types[1] is not T.BOOL:
            return None
        return AggregateImpl(
            result(types[0]),
            make(types[0]),
            2,
            kernel,
            conditional=True,
            nonzero=kernel is not None,
        )

    return resolve


_sum_where = _where(lambda t: nonzero_where_fold(sum_fold(t)), same, "sum")
_avg_where = _where(lambda t: nonzero_where_fold(avg_fold), double, "avg")
_max_where = _where(lambda t: extreme_where_fold(t, greatest=True), same, None)
_min_where = _where(lambda t: extreme_where_fold(t, greatest=False), same, None)

register("count", "(any | *)", "values that are not NULL; rows, for *")(_count_plain)
register("sum", "(number | TIMESTAMP)", "the sum, in the argument's own type")(_sum_plain)
register("avg", "(number)", "the mean, DOUBLE")(_avg_plain)
register("max", "(number | TIMESTAMP | DATE | STRING)", "the greatest value")(_max_plain)
register("min", "(number | TIMESTAMP | DATE | STRING)", "the least value")(_min_plain)
register("count_where", "(any | *, condition)", "values where the condition holds")(_count_where)
register(
    "sum_where",
    "(number, condition)",
    "the sum where the condition holds, NULL where no value but 0 does",
)(_sum_where)
register(
    "avg_where", "(number, condition)", "the mean of the values but 0 where the condition holds"
)(_avg_where)
register("max_where", "(number, condition)", "the greatest where it holds")(_max_where)
register("min_where", "(number, condition)", "the least where it holds")(_min_where)
register("distinct_count", "(any)", "distinct values; NULL counts as the zero of its type")(
    _distinct
)
register("top1_ratio fz_top1_ratio", "(any)", "the share of the most frequent value")(_ratio)


@register(
    "topn_frequency fz_topn_frequency",
    "(any, INT constant)",
    "the n most frequent values (ties: the lesser first), padded with the text NULL",
)
def _topn(types: Sequence[SqlType], constants: Sequence[Any]) -> AggregateImpl | None:
    if len(types) != 2 or types[1] is not T.INT32 or not frequent(types[0]):
        return None
    if whole_number(constants[1]):
        n = topn_limit(constants[1])
        return AggregateImpl(T.STRING, topn_frequency_fold(types[0], n), 1, "topn_frequency", n)

    def fold(items: Sequence[Any], numbers: Sequence[Any]) -> str:
        """How many keys is a column's value: that of the oldest row counts."""
        return (
            str(topn_frequency_fold(types[0], topn_limit(numbers[-1] or 0))(items)) if items else ""
        )

    return AggregateImpl(T.STRING, fold, 2)

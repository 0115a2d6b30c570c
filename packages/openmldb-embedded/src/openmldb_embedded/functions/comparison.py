"""The operators that give BOOL, but for LIKE and RLIKE."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.compute as pc
from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.columns import Array, Column, null_column, remap, unify
from openmldb_embedded.expr import Impl
from openmldb_embedded.functions.arithmetic import both_valid

T = SqlType


def logical_not() -> Impl:
    """NOT of a BOOL."""
    return Impl(T.BOOL, operator.not_, lambda a, n: Column(T.BOOL, ~a[0].values, a[0].valid))


def logical_xor() -> Impl:
    """XOR of two BOOLs; NULL with NULL."""
    return Impl(
        T.BOOL,
        operator.ne,
        lambda a, n: Column(T.BOOL, a[0].values ^ a[1].values, both_valid(a[0], a[1])),
    )


_COMPARE: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Array, Array], Array]]] = {
    "=": (operator.eq, np.equal),
    "!=": (operator.ne, np.not_equal),
    "<": (operator.lt, np.less),
    "<=": (operator.le, np.less_equal),
    ">": (operator.gt, np.greater),
    ">=": (operator.ge, np.greater_equal),
}


def comparison_type(left: SqlType, right: SqlType) -> SqlType | None:
    """The type two sides are compared in: numbers widen, text turns any other side to text.

    None where OpenMLDB refuses: TIMESTAMP and DATE compare with themselves and with text only.
    """
    if T.LIST in (left, right):
        return None
    if left is T.NULL or right is T.NULL:
        return right if left is T.NULL else left
    if left is right:
        return left
    if T.STRING in (left, right):
        return T.STRING
    return v.wider(left, right)


def comparison(op: str, type_: SqlType) -> Impl:
    """Compare two values already of one type."""
    row, vector = _COMPARE[op]
    if type_ is T.STRING:
        # Byte order, which for UTF-8 is code point order: Python's own order of str.
        return Impl(T.BOOL, row, lambda args, n: _compare_strings(op, vector, args, n))
    if type_ is T.NULL:
        return Impl(T.BOOL, lambda a, b: None, lambda args, n: null_column(T.BOOL, n))

    def run(args: list[Column], n: int) -> Column:
        a, b = args
        return Column(T.BOOL, vector(a.values, b.values), both_valid(a, b))

    return Impl(T.BOOL, row, run)


_MIRROR = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ARROW_COMPARE = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def _compare_strings(
    op: str, vector: Callable[[Array, Array], Array], args: list[Column], n: int
) -> Column:
    a, b = args
    if len(a.dictionary) == 1 and len(b.dictionary) != 1:
        a, b, op = b, a, _MIRROR[op]
    mask = both_valid(a, b)
    if len(b.dictionary) == 1 and len(a.dictionary) > 0:
        # Against one text: compare the dictionary once, then look the answers up.
        answers = np.asarray(_ARROW_COMPARE[op](a.dictionary.arrow, b.dictionary.arrow[0]))
        return Column(T.BOOL, answers[a.values], mask)
    strings, maps = unify([a.dictionary, b.dictionary])
    left, right = remap(a.values, maps[0]), remap(b.values, maps[1])
    if op in ("=", "!="):
        return Column(T.BOOL, _COMPARE[op][1](left, right), mask)
    if len(strings) == 0:
        return null_column(T.BOOL, n)
    ranks = strings.ranks
    return Column(T.BOOL, _COMPARE[op][1](ranks[left], ranks[right]), mask)


def is_null(negated: bool) -> Impl:
    """IS [NOT] NULL."""

    def run(args: list[Column], n: int) -> Column:
        valid = args[0].mask() if args[0].type is not T.LIST else np.ones(n, dtype=np.bool_)
        return Column(T.BOOL, valid if negated else ~valid)

    return Impl(
        T.BOOL, (lambda a: a is not None) if negated else (lambda a: a is None), run, strict=False
    )

"""The operators that compute: + - * / % DIV, & | ^ and the unary ones."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.columns import Array, Column, column, null_column
from openmldb_embedded.dtypes import NUMPY
from openmldb_embedded.expr import Impl, VectorFunction

T = SqlType


def both_valid(a: Column, b: Column) -> Array | None:
    """The mask of rows where both are valid, None when all are."""
    if a.valid is None:
        return b.valid
    return a.valid if b.valid is None else a.valid & b.valid


def _numeric(type_: SqlType, fn: Callable[[Array, Array], Array]) -> VectorFunction:
    dtype = NUMPY[type_]

    def run(args: list[Column], n: int) -> Column:
        a, b = args
        with np.errstate(all="ignore"):
            out = fn(a.values.astype(dtype, copy=False), b.values.astype(dtype, copy=False))
        return Column(type_, out, both_valid(a, b))

    return run


def _dividing(type_: SqlType, fn: Callable[[Array, Array], Array]) -> VectorFunction:
    dtype = NUMPY[type_]

    def run(args: list[Column], n: int) -> Column:
        a, b = args
        right = b.values.astype(dtype, copy=False)
        zero = right == 0
        mask = both_valid(a, b)
        if zero.any():
            right = np.where(zero, np.ones(1, dtype), right)
            mask = ~zero if mask is None else mask & ~zero
        with np.errstate(all="ignore"):
            out = fn(a.values.astype(dtype, copy=False), right)
        return column(type_, out, mask)

    return run


def _int_div(a: Array, b: Array) -> Array:
    quotient = a // b
    return quotient + ((a % b != 0) & ((a < 0) != (b < 0))).astype(a.dtype)  # type: ignore[no-any-return]


def _row_div(a: int, b: int) -> int:
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


def finish(type_: SqlType) -> Callable[[Any], Any]:
    """What brings a result into its type: integers wrap, FLOAT is rounded to 32 bits."""
    if type_ in v.WRAP:
        return v.WRAP[type_]
    return v.to_float32 if type_ is T.FLOAT else float


_PLAIN: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Array, Array], Array]]] = {
    "+": (operator.add, np.add),
    "-": (operator.sub, np.subtract),
    "*": (operator.mul, np.multiply),
}


def _bit_arithmetic(op: str) -> Impl | None:
    """Two BOOLs compute as one-bit integers do: + and - are XOR, * is AND."""
    row: Callable[[bool, bool], bool | None]
    if op in "+-":
        row = operator.xor
    elif op == "*":
        row = operator.and_
    elif op == "DIV":
        row = lambda a, b: a if b else None  # noqa: E731
    elif op == "%":
        row = lambda a, b: False if b else None  # noqa: E731
    else:
        return None
    return Impl(T.BOOL, row)


def _with_null(op: str, left: SqlType, right: SqlType) -> Impl | None:
    """An operator of an untyped NULL: NULL of the type that the other operand gives it."""
    known = right if left is T.NULL else left
    if known is T.NULL and op == "/":
        return None
    if known is T.TIMESTAMP:
        fits = op in "+-"
    elif op == "DIV":
        fits = known.is_integer or known in (T.BOOL, T.NULL)
    else:
        fits = known.is_numeric or known in (T.BOOL, T.NULL)
    if not fits:
        return None
    out = T.DOUBLE if op == "/" else T.BOOL if known is T.NULL else known
    return Impl(out, lambda a, b: None, lambda args, n: null_column(out, n))


def _minus_time(right: SqlType) -> Impl:
    """TIMESTAMP - integer: the integer is negated in its own width, then added."""
    wrap = v.WRAP.get(right, int)
    dtype = NUMPY[T.INT64 if right is T.BOOL else right]

    def run(args: list[Column], n: int) -> Column:
        a, b = args
        less = -b.values.astype(dtype)
        return Column(T.TIMESTAMP, a.values + less.astype(np.int64), both_valid(a, b))

    return Impl(T.TIMESTAMP, lambda a, b: v.wrap64(a + wrap(-b)), run)


def arithmetic(op: str, left: SqlType, right: SqlType) -> Impl | None:
    """The operators + - * / % DIV of two types; None where OpenMLDB refuses them.

    Integers wrap at their own width, the wider operand decides the type (BOOL counts as
    SMALLINT), / gives DOUBLE, and division by zero is NULL.
    """
    if left is T.NULL or right is T.NULL:
        return _with_null(op, left, right)
    if left is T.BOOL and right is T.BOOL and op != "/":
        return _bit_arithmetic(op)
    type_ = v.wider(left, right)
    times = T.TIMESTAMP in (left, right)
    if times:
        other = right if left is T.TIMESTAMP else left
        whole = other.is_integer or other is T.BOOL
        if (op == "+" and (whole or other is T.TIMESTAMP)) or (
            op == "-" and left is T.TIMESTAMP and whole
        ):
            type_ = T.TIMESTAMP
            if op == "-":
                return _minus_time(right)
        else:
            return None
    if type_ is None:
        return None
    if op in _PLAIN:
        row, vector = _PLAIN[op]
        end = finish(type_)
        if type_ is T.FLOAT:
            row = _as_float32(row)
        return Impl(type_, lambda a, b: end(row(a, b)), _numeric(type_, vector))
    if op == "/":

        def divide(a: Any, b: Any) -> Any:
            return None if b == 0 else float(a) / float(b)

        return Impl(T.DOUBLE, divide, _dividing(T.DOUBLE, np.divide))
    if op == "DIV":
        if not type_.is_integer:
            return None
        wrap = v.WRAP[type_]
        return Impl(
            type_,
            lambda a, b: None if b == 0 else wrap(_row_div(int(a), int(b))),
            _dividing(type_, _int_div),
        )
    if op == "%":
        end = finish(type_)
        if type_.is_integer:
            return Impl(
                type_,
                lambda a, b: None if b == 0 else end(int(math.copysign(1, a)) * (abs(a) % abs(b))),
                _dividing(type_, np.fmod),
            )
        floats = finish(type_)
        return Impl(
            type_,
            lambda a, b: None if b == 0 else end(_fmod(floats(float(a)), floats(float(b)))),
            _dividing(type_, np.fmod),
        )
    return None


def _fmod(a: float, b: float) -> float:
    return math.nan if math.isinf(a) else math.fmod(a, b)


def _as_float32(fn: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    narrow = v.to_float32
    return lambda a, b: fn(narrow(float(a)), narrow(float(b)))


_BITS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Array, Array], Array]]] = {
    "&": (operator.and_, np.bitwise_and),
    "|": (operator.or_, np.bitwise_or),
    "^": (operator.xor, np.bitwise_xor),
}


def bitwise(op: str, left: SqlType, right: SqlType) -> Impl | None:
    """The operators & | ^ of two integers."""
    if op not in _BITS:
        return None
    if T.NULL in (left, right):
        known = right if left is T.NULL else left
        if not (known.is_integer or known is T.NULL):
            return None
        out = T.BOOL if known is T.NULL else known
        return Impl(out, lambda a, b: None, lambda args, n: null_column(out, n))
    if not (left.is_integer and right.is_integer):
        return None
    type_ = v.wider(left, right)
    assert type_ is not None
    row, vector = _BITS[op]
    return Impl(type_, row, _numeric(type_, vector))


def negate(type_: SqlType) -> Impl | None:
    """Unary minus."""
    if type_ is T.NULL:
        return Impl(T.BOOL, lambda a: None, lambda args, n: null_column(T.BOOL, n))
    if not (type_.is_numeric or type_ is T.BOOL):
        return None
    if type_ is T.BOOL:
        return Impl(T.BOOL, lambda a: a, lambda args, n: args[0])  # one bit: its own negative
    out = type_
    end = finish(out)

    def run(args: list[Column], n: int) -> Column:
        return Column(out, -args[0].values.astype(NUMPY[out]), args[0].valid)

    return Impl(out, lambda a: end(-a), run)


def invert(type_: SqlType) -> Impl | None:
    """Unary ~ of an integer."""
    if type_ is T.NULL:
        return Impl(T.BOOL, lambda a: None, lambda args, n: null_column(T.BOOL, n))
    if not type_.is_integer:
        return None
    return Impl(type_, operator.invert, lambda a, n: Column(type_, ~a[0].values, a[0].valid))

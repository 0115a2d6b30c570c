"""The functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from openmldb_sql.types import INTEGERS, SqlType

from openmldb_embedded import values as v
from openmldb_embedded.columns import Array, Column
from openmldb_embedded.dtypes import NUMPY
from openmldb_embedded.expr import Impl, cast_impl
from openmldb_embedded.functions.arithmetic import arithmetic, finish
from openmldb_embedded.functions.conversion import common_type
from openmldb_embedded.functions.registry import Resolve, Types, register

T = SqlType


def _is_number(t: SqlType) -> bool:
    return t.is_numeric or t is T.NULL


def _math(fn: Callable[[float], float], vector: Callable[[Array], Array]) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 or not _is_number(types[0]):
            return None
        to_double = v.converter(types[0], T.DOUBLE)
        assert to_double is not None

        def row(a: Any) -> float | None:
            x = to_double(a)
            if x is None:
                return None
            try:
                return float(fn(x))
            except ValueError:
                return math.nan
            except OverflowError:
                return math.inf

        def run(args: list[Column], n: int) -> Column:
            with np.errstate(all="ignore"):
                return Column(T.DOUBLE, vector(args[0].values.astype(np.float64)), args[0].valid)

        plain = types[0].is_numeric
        return Impl(T.DOUBLE, row, run if plain else None)

    return resolve


def _log(base: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: base(x) if x > 0 else (-math.inf if x == 0 else math.nan)


for _names, _fn, _vec, _doc in (
    ("log ln", _log(math.log), np.log, "natural logarithm"),
    ("log2", _log(math.log2), np.log2, "logarithm to base 2"),
    ("log10", _log(math.log10), np.log10, "logarithm to base 10"),
    ("exp", math.exp, np.exp, "e to the power"),
    ("sqrt", math.sqrt, np.sqrt, "square root"),
    ("sin", math.sin, np.sin, "sine"),
    ("cos", math.cos, np.cos, "cosine"),
    ("tan", math.tan, np.tan, "tangent"),
    ("asin", math.asin, np.arcsin, "arc sine"),
    ("acos", math.acos, np.arccos, "arc cosine"),
    ("atan", math.atan, np.arctan, "arc tangent"),
    ("degrees", math.degrees, np.degrees, "radians to degrees"),
    ("radians", math.radians, np.radians, "degrees to radians"),
):
    register(_names, "(number)", _doc)(_math(_fn, _vec))


def _rounding(fn: Callable[[float], int], vector: Callable[[Array], Array]) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 or not _is_number(types[0]):
            return None
        if types[0].is_integer or types[0] is T.NULL:
            return cast_impl(types[0], T.INT64)

        def row(a: float) -> float:
            return float(fn(a)) if math.isfinite(a) else a

        def run(args: list[Column], n: int) -> Column:
            return Column(T.DOUBLE, vector(args[0].values.astype(np.float64)), args[0].valid)

        return Impl(T.DOUBLE, row, run)

    return resolve


register("floor", "(number)", "the whole number below")(_rounding(math.floor, np.floor))
register("ceil ceiling", "(number)", "the whole number above")(_rounding(math.ceil, np.ceil))


@register("round", "(number[, INT])", "rounded, halves away from zero")
def _round(types: Types) -> Impl | None:
    if not 1 <= len(types) <= 2 or not _is_number(types[0]):
        return None
    if len(types) == 2 and types[1] not in INTEGERS:
        return None
    if types[0].is_integer and len(types) == 1:
        return cast_impl(types[0], T.INT64)
    out = types[0] if types[0].is_integer else T.DOUBLE

    def row(a: Any, digits: int = 0) -> Any:
        if isinstance(a, float) and not math.isfinite(a):
            return a
        scale = 10.0 ** max(-300, min(300, digits))
        scaled = abs(a) * scale
        if not math.isfinite(scaled):  # too large to have digits to round
            return a
        rounded = math.copysign(math.floor(scaled + 0.5), a) / scale
        return int(rounded) if out.is_integer else rounded

    return Impl(out, row)


@register("truncate trunc", "(number)", "without its fraction")
def _truncate(types: Types) -> Impl | None:
    if len(types) != 1 or not _is_number(types[0]):
        return None
    if types[0].is_integer:
        return cast_impl(types[0], T.INT64)
    return Impl(T.DOUBLE, lambda a: float(math.trunc(a)) if math.isfinite(a) else a)


@register("abs", "(number)", "absolute value, of the same type")
def _abs(types: Types) -> Impl | None:
    if len(types) != 1 or not _is_number(types[0]):
        return None
    out = types[0] if types[0].is_integer else T.DOUBLE
    if types[0] is T.FLOAT:
        out = T.FLOAT
    end = finish(out)

    def run(args: list[Column], n: int) -> Column:
        return Column(out, np.abs(args[0].values.astype(NUMPY[out])), args[0].valid)

    return Impl(out, lambda a: end(abs(a)), run if types[0] is not T.NULL else None)


@register("pow power", "(number, number)", "the first to the power of the second, DOUBLE")
def _pow(types: Types) -> Impl | None:
    if len(types) != 2 or not all(_is_number(t) for t in types):
        return None

    def row(a: Any, b: Any) -> float:
        try:
            out = math.pow(a, b)
        except OverflowError:
            return math.inf
        except ValueError:
            return math.nan if a else math.inf
        return out

    return Impl(T.DOUBLE, row)


@register("inc", "(integer)", "one more")
def _inc(types: Types) -> Impl | None:
    if len(types) != 1 or not types[0].is_integer:
        return None
    end = finish(types[0])
    return Impl(types[0], lambda a: end(a + 1))


@register("atan2", "(number, number)", "the angle of a point")
def _atan2(types: Types) -> Impl | None:
    if len(types) != 2 or not all(_is_number(t) for t in types):
        return None
    return Impl(T.DOUBLE, lambda a, b: math.atan2(a, b))


@register("mod", "(number, number)", "the operator %, as a function")
def _mod(types: Types) -> Impl | None:
    return arithmetic("%", *types) if len(types) == 2 else None


def _extreme(pick: Callable[..., Any]) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        out = common_type(types)
        if out is None or not types:
            return None
        casts = [cast_impl(t, out) for t in types]

        def row(*args: Any) -> Any:
            found = [c.row(a) for a, c in zip(args, casts, strict=True) if c is not None]
            return None if None in found else pick(found)

        return Impl(out, row)

    return resolve


register("greatest", "(a, ...)", "the greatest; NULL if any is NULL")(_extreme(max))
register("least", "(a, ...)", "the least; NULL if any is NULL")(_extreme(min))

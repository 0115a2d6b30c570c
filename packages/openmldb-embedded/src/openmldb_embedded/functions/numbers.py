"""The functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.columns import Array, Column
from openmldb_embedded.dtypes import NUMPY
from openmldb_embedded.expr import Impl, VectorFunction, cast_impl
from openmldb_embedded.functions.arithmetic import arithmetic, both_valid, finish
from openmldb_embedded.functions.comparison import comparison, comparison_type
from openmldb_embedded.functions.conversion import common_type
from openmldb_embedded.functions.registry import Resolve, Types, register

T = SqlType
NUMBERS = (T.INT16, T.INT32, T.INT64, T.FLOAT, T.DOUBLE)
ARITHMETIC = (T.BOOL, *NUMBERS)
"""What OpenMLDB computes with: a BOOL is 0 or 1 to most functions."""


def _guarded(fn: Callable[..., float], fallback: Callable[..., float]) -> Callable[..., float]:
    """``fn``; where Python raises what C answers, ``fallback``."""

    def run(*xs: float) -> float:
        try:
            return float(fn(*xs))
        except (ValueError, OverflowError, ZeroDivisionError):
            return fallback(*xs)

    return run


def _c_math(fn: Callable[..., float], vector: Callable[..., Array]) -> Callable[..., float]:
    """A function of C's math library: numpy answers where Python's own raises."""

    def fallback(*xs: float) -> float:
        with np.errstate(all="ignore"):
            return float(vector(*(np.float64(x) for x in xs)))

    return _guarded(fn, fallback)


def _math(
    fn: Callable[[float], float],
    vector: Callable[[Array], Array],
    allowed: tuple[SqlType, ...] = NUMBERS,
) -> Resolve:
    """A function of one number: FLOAT of a FLOAT, else DOUBLE."""
    exact = _c_math(fn, vector)

    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 or types[0] not in allowed:
            return None
        out = T.FLOAT if types[0] is T.FLOAT else T.DOUBLE
        end = finish(out)

        def run(args: list[Column], n: int) -> Column:
            with np.errstate(all="ignore"):
                found = vector(args[0].values.astype(np.float64)).astype(NUMPY[out])
            return Column(out, found, args[0].valid)

        return Impl(out, lambda a: end(exact(float(a))), run)

    return resolve


def _cot(x: Any) -> Any:
    return np.cos(x) / np.sin(x)


_DOUBLE_ONLY = (T.DOUBLE,)
for _names, _fn, _vec, _allowed, _doc in (
    ("ln", math.log, np.log, ARITHMETIC, "natural logarithm"),
    ("log2", math.log2, np.log2, ARITHMETIC, "logarithm to base 2"),
    ("log10", math.log10, np.log10, ARITHMETIC, "logarithm to base 10"),
    ("exp", math.exp, np.exp, NUMBERS, "e to the power"),
    ("sqrt", math.sqrt, np.sqrt, NUMBERS, "square root"),
    ("sin", math.sin, np.sin, NUMBERS, "sine"),
    ("cos", math.cos, np.cos, NUMBERS, "cosine"),
    ("tan", math.tan, np.tan, NUMBERS, "tangent"),
    ("cot", lambda x: math.cos(x) / math.sin(x), _cot, NUMBERS, "cotangent"),
    ("asin", math.asin, np.arcsin, NUMBERS, "arc sine"),
    ("acos", math.acos, np.arccos, NUMBERS, "arc cosine"),
    ("degrees", math.degrees, np.degrees, _DOUBLE_ONLY, "radians to degrees"),
):
    register(_names, "(DOUBLE)" if _allowed is _DOUBLE_ONLY else "(number)", _doc)(
        _math(_fn, _vec, _allowed)
    )


@register("radians", "(number)", "degrees to radians, DOUBLE")
def _radians(types: Types) -> Impl | None:
    if len(types) != 1 or types[0] not in NUMBERS:
        return None
    return Impl(
        T.DOUBLE,
        lambda a: math.radians(float(a)),
        lambda args, n: Column(
            T.DOUBLE, np.radians(args[0].values.astype(np.float64)), args[0].valid
        ),
    )


_log = _math(math.log, np.log, ARITHMETIC)
_natural = _c_math(math.log, np.log)


@register("log", "(number) | (base, any)", "natural logarithm, or to a base", nulls=True)
def _logarithm(types: Types) -> Impl | None:
    if len(types) == 1:
        return _log(types)
    if len(types) != 2 or types[0] not in ARITHMETIC:
        return None
    to_double = v.converter(types[1], T.DOUBLE)
    if to_double is None:
        return None

    def row(base: Any, x: Any) -> float | None:
        value = to_double(x)
        divisor = _natural(float(base))
        if value is None or divisor == 0:
            return None
        return _natural(value) / divisor

    return Impl(T.DOUBLE, row)


def _two_numbers(fn: Callable[[float, float], float], vector: Callable[..., Array]) -> Resolve:
    """A function of two numbers: FLOAT of two FLOATs, else DOUBLE."""
    exact = _c_math(fn, vector)

    def resolve(types: Types) -> Impl | None:
        if len(types) != 2 or any(t not in ARITHMETIC for t in types):
            return None
        out = T.FLOAT if types[0] is types[1] is T.FLOAT else T.DOUBLE
        end = finish(out)

        def run(args: list[Column], n: int) -> Column:
            a, b = args
            with np.errstate(all="ignore"):
                found = vector(a.values.astype(np.float64), b.values.astype(np.float64))
            return Column(out, found.astype(NUMPY[out]), both_valid(a, b))

        return Impl(out, lambda a, b: end(exact(float(a), float(b))), run)

    return resolve


_arc = _math(math.atan, np.arctan)
_arc2 = _two_numbers(math.atan2, np.arctan2)
register("pow power", "(number, number)", "the first to the power of the second")(
    _two_numbers(math.pow, np.power)
)
register("atan2", "(number, number)", "the angle of a point")(_arc2)


@register("atan", "(number[, number])", "arc tangent; of two numbers, the angle of a point")
def _atan(types: Types) -> Impl | None:
    return _arc(types) if len(types) == 1 else _arc2(types)


def _through_double(
    types: Types,
    whole: dict[SqlType, SqlType],
    fn: Callable[[float], float],
    vector: VectorFunction,
) -> Impl | None:
    """A rounding: integers go through DOUBLE and back (large ones lose digits), others stay."""
    if len(types) != 1 or types[0] not in ARITHMETIC:
        return None
    given = types[0]
    if given in whole:
        out = whole[given]
        if given is not T.INT64:
            return cast_impl(given, out)
        wrap = v.wrap64
        return Impl(
            out,
            lambda a: wrap(min(int(float(a)), 2**63)),
            lambda args, n: Column(out, _int64(args[0].values.astype(np.float64)), args[0].valid),
        )
    return Impl(T.DOUBLE, lambda a: fn(float(a)), vector)


def _int64(x: Array) -> Array:
    """Doubles to 64 bits as x86 converts: what does not fit is the least integer."""
    safe = np.abs(x) < 2.0**63
    return np.where(safe, np.where(safe, x, 0).astype(np.int64), np.int64(-(2**63)))


_TO_INT64 = {T.INT16: T.INT64, T.INT32: T.INT64, T.INT64: T.INT64}
_TO_INT32 = {T.INT16: T.INT32, T.INT32: T.INT32, T.INT64: T.INT64}


def _rounding(
    whole: dict[SqlType, SqlType], fn: Callable[[float], float], vector: Callable[[Array], Array]
) -> Resolve:
    def row(a: float) -> float:
        return math.copysign(float(fn(a)), a) if math.isfinite(a) else a

    def run(args: list[Column], n: int) -> Column:
        return Column(T.DOUBLE, vector(args[0].values.astype(np.float64)), args[0].valid)

    return lambda types: _through_double(types, whole, row, run)


register("floor", "(number)", "the whole number below; BIGINT of an integer, else DOUBLE")(
    _rounding(_TO_INT64, math.floor, np.floor)
)
register("ceil ceiling", "(number)", "the whole number above; BIGINT of an integer, else DOUBLE")(
    _rounding(_TO_INT64, math.ceil, np.ceil)
)
register("truncate", "(number)", "without its fraction")(_rounding(_TO_INT32, math.trunc, np.trunc))
register("trunc", "(number)", "without its fraction", instead="truncate(x)")(
    _rounding(_TO_INT32, math.trunc, np.trunc)
)


def _half_away(x: float) -> float:
    """C's round(): halves away from zero."""
    if not math.isfinite(x) or abs(x) >= 2.0**52:
        return x
    whole = math.floor(abs(x))
    return math.copysign(whole + (abs(x) - whole >= 0.5), x)


def _power_of_ten(n: int) -> float:
    return 10.0**n if -330 < n < 309 else (math.inf if n > 0 else 0.0)


@register("round", "(number[, number])", "rounded, halves away from zero; of the number's own type")
def _round(types: Types) -> Impl | None:
    if not 1 <= len(types) <= 2 or types[0] not in NUMBERS:
        return None
    if len(types) == 2 and types[1] not in ARITHMETIC:
        return None
    out = types[0]
    end = finish(out)
    to_int = v.converter(types[1], T.INT32) if len(types) == 2 else None

    def whole(a: int, digits: Any = 0) -> int:
        places = 0 if to_int is None else to_int(digits)
        if places >= 0:
            return a
        factor = _power_of_ten(v.wrap32(-places))
        if factor == 0.0:
            return v.float_to_int(math.nan, out)
        return v.float_to_int(_half_away(a / factor) * factor, out)

    def real(a: float, digits: Any = 0) -> float:
        scale = _power_of_ten(0 if to_int is None else to_int(digits))
        scaled = _half_away(a * scale)
        if scale == 0.0:
            return math.nan
        return float(end(scaled / scale))

    return Impl(out, whole if out.is_integer else real)


@register("abs", "(number)", "absolute value: INT of a SMALLINT, DOUBLE of a FLOAT")
def _abs(types: Types) -> Impl | None:
    if len(types) != 1 or types[0] not in ARITHMETIC:
        return None
    out = {T.INT16: T.INT32, T.INT32: T.INT32, T.INT64: T.INT64}.get(types[0], T.DOUBLE)
    end = finish(out)

    def run(args: list[Column], n: int) -> Column:
        return Column(out, np.abs(args[0].values.astype(NUMPY[out])), args[0].valid)

    return Impl(out, lambda a: end(abs(a)), run)


@register("inc", "(number)", "one more")
def _inc(types: Types) -> Impl | None:
    if len(types) != 1 or types[0] not in NUMBERS:
        return None
    end = finish(types[0])
    return Impl(types[0], lambda a: end(a + 1))


@register("mod", "(number, number)", "the operator %, as a function", instead="a % b")
def _mod(types: Types) -> Impl | None:
    return arithmetic("%", *types) if len(types) == 2 else None


@register("add", "(a, b)", "the operator +, as a function", nulls=True)
def _add(types: Types) -> Impl | None:
    return arithmetic("+", *types) if len(types) == 2 else None


@register("pmod", "(number, number)", "the remainder, of the divisor's sign", nulls=True)
def _pmod(types: Types) -> Impl | None:
    if len(types) != 2 or types[1] is T.NULL is types[0]:
        return None
    plain = arithmetic("%", *types)
    if plain is None:
        return None
    once = arithmetic("+", plain.type, types[1])
    if once is None:
        return None
    again = arithmetic("%", once.type, types[1])
    if again is None:
        return None
    add, mod, first = once.row, again.row, plain.row

    def row(a: Any, b: Any) -> Any:
        found = first(a, b)
        return mod(add(found, b), b) if found is not None and found < 0 else found

    return Impl(plain.type, row)


def _pick(op: str) -> Resolve:
    """``minimum(a, b)`` is ``CASE WHEN a < b THEN a ELSE b END``, so NULL for a gives b."""

    def resolve(types: Types) -> Impl | None:
        if len(types) != 2 or types[0] is T.NULL is types[1]:
            return None
        out, compared = common_type(types), comparison_type(*types)
        if out is None or compared is None:
            return None
        test = comparison(op, compared).row
        both = [cast_impl(t, compared) for t in types]
        ends = [cast_impl(t, out) for t in types]
        if None in both or None in ends:
            return None
        left, right = (c.row for c in both if c is not None)
        first, second = (c.row for c in ends if c is not None)

        def row(a: Any, b: Any) -> Any:
            if a is not None and b is not None:
                x, y = left(a), right(b)
                if x is not None and y is not None and test(x, y):
                    return first(a)
            return None if b is None else second(b)

        return Impl(out, row, strict=False)

    return resolve


register("minimum", "(a, b)", "the lesser; b where a is NULL", nulls=True)(_pick("<"))
register("maximum", "(a, b)", "the greater; b where a is NULL", nulls=True)(_pick(">"))


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


register("greatest", "(a, ...)", "the greatest; NULL if any is NULL", instead="maximum(a, b)")(
    _extreme(max)
)
register("least", "(a, ...)", "the least; NULL if any is NULL", instead="minimum(a, b)")(
    _extreme(min)
)

_EARTH_RADIUS_KM = 6372.8


def _distance(la1: float, lo1: float, la2: float, lo2: float) -> float | None:
    """Great circle distance in km by the haversine formula; NULL for angles off the globe."""
    if not (abs(la1) <= 90 and abs(la2) <= 90 and abs(lo1) <= 180 and abs(lo2) <= 180):
        return None
    a, b, c, d = (math.pi * x / 180.0 for x in (la1, lo1, la2, lo2))
    h = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 2 * _EARTH_RADIUS_KM * math.asin(math.sqrt(h))


@register(
    "earth_distance",
    "(latitude, longitude, latitude, longitude)",
    "kilometres between",
    nulls=True,
)
def _earth_distance(types: Types) -> Impl | None:
    casts = [v.converter(t, T.DOUBLE) for t in types]
    if len(types) != 4 or None in casts:
        return None

    def row(*args: Any) -> float | None:
        angles = [c(a) for a, c in zip(args, casts, strict=True) if c is not None]
        return None if None in angles else _distance(*angles)

    return Impl(T.DOUBLE, row)

"""The scalar functions and operators: one entry each, with types, meaning and doc line."""

from __future__ import annotations

import calendar
import datetime as dt
import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from openmldb_sql.errors import TypeCheckError
from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.columns import Array, Column, column, null_column, remap, unify
from openmldb_embedded.dtypes import NUMPY
from openmldb_embedded.errors import ExecutionError, ResourceLimitError
from openmldb_embedded.expr import Impl, VectorFunction, cast_impl

T = SqlType
Types = Sequence[SqlType]
Resolve = Callable[[Types], Impl | None]


@dataclass(frozen=True)
class ScalarFunction:
    """A scalar function.

    Attributes:
        names: Its name and aliases, lower case.
        signature: What it takes and gives, for the docs.
        doc: One line of meaning.
        resolve: From argument types to what to do, or None where they do not fit.
    """

    names: tuple[str, ...]
    signature: str
    doc: str
    resolve: Resolve


SCALARS: dict[str, ScalarFunction] = {}


def _register(names: str, signature: str, doc: str) -> Callable[[Resolve], Resolve]:
    def add(resolve: Resolve) -> Resolve:
        entry = ScalarFunction(tuple(names.split()), signature, doc, resolve)
        for name in entry.names:
            SCALARS[name] = entry
        return resolve

    return add


def resolve_scalar(name: str, types: Types) -> Impl:
    """What a function does for arguments of these types.

    Raises:
        TypeCheckError: It takes other types, or another number of arguments.
    """
    entry = SCALARS[name.lower()]
    impl = entry.resolve(types)
    if impl is None:
        given = ", ".join(t.value for t in types)
        raise TypeCheckError(
            f"Fail to resolve expression: no function {name}({given}); it takes {entry.signature}"
        )
    return impl


# -- operators


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


def _finish(type_: SqlType) -> Callable[[Any], Any]:
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


def arithmetic(op: str, left: SqlType, right: SqlType) -> Impl | None:
    """The operators + - * / % DIV of two types; None where OpenMLDB refuses them.

    Integers wrap at their own width, the wider operand decides the type (BOOL counts as
    SMALLINT), / gives DOUBLE, and division by zero is NULL.
    """
    if left is T.NULL or right is T.NULL:
        known = right if left is T.NULL else left
        out = T.DOUBLE if op == "/" or known is T.NULL else known
        if known.is_numeric or known in (T.BOOL, T.NULL, T.TIMESTAMP):
            return Impl(out, lambda a, b: None, lambda args, n: null_column(out, n))
        return None
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
        else:
            return None
    if type_ is None:
        return None
    if op in _PLAIN:
        row, vector = _PLAIN[op]
        end = _finish(type_)
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
        end = _finish(type_)
        if type_.is_integer:
            return Impl(
                type_,
                lambda a, b: None if b == 0 else end(int(math.copysign(1, a)) * (abs(a) % abs(b))),
                _dividing(type_, np.fmod),
            )
        floats = _finish(type_)
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
        return Impl(known, lambda a, b: None, lambda args, n: null_column(known, n))
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
    end = _finish(out)

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


def like(op: str, escape: str | None) -> Impl:
    """LIKE and ILIKE (``%`` any text, ``_`` any character, ``escape`` before either), RLIKE."""
    if op == "RLIKE":
        return Impl(T.BOOL, matches_regex)
    escape = "\\" if escape is None else escape
    fold = op == "ILIKE"
    cache: dict[str, list[str | None]] = {}

    def match(text: str, pattern: str) -> bool:
        parts = cache.get(pattern)
        if parts is None:
            if len(cache) > 256:
                cache.clear()
            parts = cache[pattern] = _like_parts(pattern.lower() if fold else pattern, escape)
        return _wildcards_match(text.lower() if fold else text, parts)

    return Impl(T.BOOL, match)


_MANY = None
_ONE = ""


def _like_parts(pattern: str, escape: str) -> list[str | None]:
    """A LIKE pattern as characters, _ONE for ``_`` and _MANY for ``%``."""
    out: list[str | None] = []
    chars = iter(pattern)
    for ch in chars:
        if escape and ch == escape:
            out.append(next(chars, escape))
        elif ch == "%":
            out.append(_MANY)
        else:
            out.append(_ONE if ch == "_" else ch)
    return out


def _wildcards_match(text: str, parts: list[str | None]) -> bool:
    """Wildcard match that goes back to the last ``%`` only: length times pattern at worst."""
    t = p = 0
    star = mark = -1
    while t < len(text):
        part = parts[p] if p < len(parts) else "\0\0"
        if part is _MANY:
            star, mark = p, t
            p += 1
        elif part == _ONE or part == text[t]:
            t += 1
            p += 1
        elif star >= 0:
            mark += 1
            t, p = mark, star + 1
        else:
            return False
    return all(part is _MANY for part in parts[p:])


def matches_regex(text: str, pattern: str) -> bool | None:
    """Whether the whole text fits a regular expression.

    By RE2, as on a cluster: its time is linear in the text whatever the expression.
    """
    try:
        found = pc.match_substring_regex(pa.scalar(text), pattern=rf"\A(?:{pattern})\z")
    except pa.ArrowInvalid as error:
        raise ExecutionError(f"regular expression {pattern!r}: {error}") from error
    return bool(found.as_py())


# -- NULL handling


def _common(types: Types) -> SqlType | None:
    out: SqlType | None = T.NULL
    for t in types:
        out = v.common(out, t) if out is not None else None
    return out


def _coalescing(types: Types) -> Impl | None:
    out = _common(types)
    if out is None or len(types) < 1:
        return None
    casts = [cast_impl(t, out) for t in types]
    if any(c is None for c in casts):
        return None

    def row(*args: Any) -> Any:
        for a, c in zip(args, casts, strict=True):
            if a is not None and c is not None:
                return c.row(a)
        return None

    return Impl(out, row, strict=False)


@_register("ifnull nvl", "(a, b)", "a, or b where a is NULL")
def _ifnull(types: Types) -> Impl | None:
    return _coalescing(types) if len(types) == 2 else None


@_register("coalesce", "(a, ...)", "the first argument that is not NULL")
def _coalesce(types: Types) -> Impl | None:
    return _coalescing(types)


@_register("nvl2", "(x, a, b)", "a where x is not NULL, else b")
def _nvl2(types: Types) -> Impl | None:
    if len(types) != 3:
        return None
    picked = _if([T.BOOL, *types[1:]])
    if picked is None:
        return None
    row = picked.row
    return Impl(picked.type, lambda x, a, b: row(x is not None, a, b), strict=False)


@_register("if", "(condition, a, b)", "a where the condition is true, else b")
def _if(types: Types) -> Impl | None:
    if len(types) != 3 or types[0] not in (T.BOOL, T.NULL):
        return None
    out = _common(types[1:])
    if out is None:
        return None
    first, second = cast_impl(types[1], out), cast_impl(types[2], out)
    if first is None or second is None:
        return None

    def row(c: Any, a: Any, b: Any) -> Any:
        if c:
            return None if a is None else first.row(a)
        return None if b is None else second.row(b)

    return Impl(out, row, strict=False)


@_register("nullif", "(a, b)", "NULL where a = b, else a")
def _nullif(types: Types) -> Impl | None:
    if len(types) != 2 or comparison_type(*types) is None:
        return None
    return Impl(types[0], lambda a, b: None if a is not None and a == b else a, strict=False)


@_register("isnull is_null", "(x)", "whether x is NULL")
def _isnull(types: Types) -> Impl | None:
    return is_null(False) if len(types) == 1 else None


@_register("identity", "(x)", "x itself")
def _identity(types: Types) -> Impl | None:
    if len(types) != 1:
        return None
    return Impl(types[0], lambda a: a, lambda args, n: args[0], strict=False)


SCALARS["scalar"] = SCALARS["identity"]


# -- times


def _shifted(c: Column) -> tuple[Array, Array]:
    """Days since the epoch and milliseconds of the day, in UTC+8."""
    if c.type is T.DATE:
        days = c.values.astype(np.int64)
        return days, np.zeros_like(days)
    ms = c.values.astype(np.int64)
    within = np.mod(ms, v.DAY_MS) + v.UTC8_MS  # the shift comes last: nothing overflows
    return np.floor_divide(ms, v.DAY_MS) + within // v.DAY_MS, np.mod(within, v.DAY_MS)


def _date_of(type_: SqlType) -> Callable[[Any], dt.date | None]:
    return (lambda a: a) if type_ is T.DATE else v.timestamp_date


def _date_part(
    part: Callable[[dt.date], int], vector: Callable[[Array], Array] | None = None
) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 or types[0] not in (T.INT64, T.TIMESTAMP, T.DATE, T.NULL):
            return None
        date_of = _date_of(types[0])

        def row(a: Any) -> Any:
            date = date_of(a)
            return None if date is None else part(date)

        def run(args: list[Column], n: int) -> Column:
            if args[0].type is T.NULL:
                return null_column(T.INT32, n)
            days, _ = _shifted(args[0])
            inside = (days >= -719_162) & (days <= 2_932_896)
            mask = args[0].valid
            if not inside.all():
                mask = inside if mask is None else mask & inside
                days = np.where(inside, days, 0)
            assert vector is not None
            return column(T.INT32, vector(days), mask)

        return Impl(T.INT32, row, None if vector is None else run)

    return resolve


def _clock_part(part: Callable[[int], int]) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 or types[0] not in (T.INT64, T.TIMESTAMP, T.NULL):
            return None

        def run(args: list[Column], n: int) -> Column:
            if args[0].type is T.NULL:
                return null_column(T.INT32, n)
            out = _of_array(_shifted(args[0])[1])
            return Column(T.INT32, out.astype(np.int32), args[0].valid)

        def _of_array(ms: Array) -> Array:
            return np.asarray(part(ms))  # type: ignore[arg-type]

        return Impl(T.INT32, lambda a: part((a + v.UTC8_MS) % v.DAY_MS), run)

    return resolve


def _months(days: Array) -> Array:
    return days.astype("datetime64[D]").astype("datetime64[M]")


def _iso_week(days: Array) -> Array:
    thursday = days - (days + 3) % 7 + 3
    year = thursday.astype("datetime64[D]").astype("datetime64[Y]")
    return np.asarray((thursday - year.astype("datetime64[D]").astype(np.int64)) // 7 + 1)


_FROM = "(TIMESTAMP | BIGINT | DATE)"
_register("year", _FROM, "the year, in UTC+8")(
    _date_part(lambda d: d.year, lambda x: _months(x).astype("datetime64[Y]").astype(int) + 1970)
)
_register("month", _FROM, "the month, 1 to 12, in UTC+8")(
    _date_part(lambda d: d.month, lambda x: _months(x).astype(int) % 12 + 1)
)
_register("day dayofmonth", _FROM, "the day of the month, in UTC+8")(
    _date_part(
        lambda d: d.day, lambda x: x - _months(x).astype("datetime64[D]").astype(np.int64) + 1
    )
)
_register("dayofweek", _FROM, "1 = Sunday to 7 = Saturday, in UTC+8")(
    _date_part(lambda d: d.isoweekday() % 7 + 1, lambda x: (x + 4) % 7 + 1)
)
_register("dayofyear", _FROM, "the day of the year, in UTC+8")(
    _date_part(
        lambda d: d.timetuple().tm_yday,
        lambda x: (
            x - _months(x).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64) + 1
        ),
    )
)
_register("week weekofyear", _FROM, "the ISO week of the year, in UTC+8")(
    _date_part(lambda d: d.isocalendar().week, _iso_week)
)
_register("hour", "(TIMESTAMP | BIGINT)", "the hour, in UTC+8")(
    _clock_part(lambda ms: ms // 3_600_000)
)
_register("minute", "(TIMESTAMP | BIGINT)", "the minute")(_clock_part(lambda ms: ms // 60_000 % 60))
_register("second", "(TIMESTAMP | BIGINT)", "the second")(_clock_part(lambda ms: ms // 1000 % 60))

_STRFTIME = re.compile(r"%(.)")


def _strftime(when: dt.datetime, pattern: str) -> str:
    def one(m: re.Match[str]) -> str:
        # Python's %Y does not pad years below 1000 on every platform.
        return f"{when.year:04d}" if m[1] == "Y" else when.strftime(f"%{m[1]}")

    return _STRFTIME.sub(one, pattern)


@_register("date_format", "(TIMESTAMP | DATE, STRING)", "the time as text by a strftime pattern")
def _date_format(types: Types) -> Impl | None:
    if len(types) != 2 or types[1] is not T.STRING:
        return None
    if types[0] is T.TIMESTAMP:

        def time(a: int, pattern: str) -> str | None:
            when = v.timestamp_datetime(a)
            return None if when is None else _strftime(when, pattern)

        return Impl(T.STRING, time)
    if types[0] is T.DATE:
        midnight = dt.time()
        return Impl(T.STRING, lambda a, p: _strftime(dt.datetime.combine(a, midnight), p))
    return None


@_register("unix_timestamp", "(TIMESTAMP | DATE | STRING)", "seconds since the epoch")
def _unix_timestamp(types: Types) -> Impl | None:
    if len(types) != 1 or types[0] not in (T.TIMESTAMP, T.DATE, T.STRING):
        return None
    to_ms = v.converter(types[0], T.TIMESTAMP)
    assert to_ms is not None

    def row(a: Any) -> int | None:
        ms = to_ms(a)
        return None if ms is None else ms // 1000

    return Impl(T.INT64, row)


@_register("datediff", "(DATE | TIMESTAMP | STRING, same)", "days from the second to the first")
def _datediff(types: Types) -> Impl | None:
    if len(types) != 2 or any(t not in (T.DATE, T.TIMESTAMP, T.STRING) for t in types):
        return None
    first, second = v.converter(types[0], T.DATE), v.converter(types[1], T.DATE)
    assert first is not None
    assert second is not None

    def row(a: Any, b: Any) -> int | None:
        x, y = first(a), second(b)
        return None if x is None or y is None else (x - y).days

    return Impl(T.INT32, row)


@_register("last_day", "(TIMESTAMP | BIGINT | DATE)", "the last day of the month, in UTC+8")
def _last_day(types: Types) -> Impl | None:
    if len(types) != 1 or types[0] not in (T.INT64, T.TIMESTAMP, T.DATE):
        return None
    date_of = _date_of(types[0])

    def row(a: Any) -> dt.date | None:
        date = date_of(a)
        if date is None:
            return None
        return date.replace(day=calendar.monthrange(date.year, date.month)[1])

    return Impl(T.DATE, row)


@_register("add_months", "(TIMESTAMP | DATE, INT)", "the date so many months later")
def _add_months(types: Types) -> Impl | None:
    if len(types) != 2 or types[0] not in (T.TIMESTAMP, T.DATE) or not types[1].is_integer:
        return None
    date_of = _date_of(types[0])

    def row(a: Any, months: int) -> dt.date | None:
        date = date_of(a)
        if date is None:
            return None
        at = date.year * 12 + date.month - 1 + months
        year, month = at // 12, at % 12 + 1
        if not 1 <= year <= 9999:
            return None
        day = min(date.day, calendar.monthrange(year, month)[1])
        return dt.date(year, month, day)

    return Impl(T.DATE, row)


# -- text


MAX_TEXT = 16 << 20
"""Characters a computed text may have: nested calls could otherwise grow one without bound."""


def bounded(text: str) -> str:
    """The text, if it is not too long.

    Raises:
        ResourceLimitError: It is longer than MAX_TEXT.
    """
    if len(text) > MAX_TEXT:
        raise ResourceLimitError(f"a text of {len(text)} characters; the limit is {MAX_TEXT}")
    return text


def _replaced(text: str, old: str, new: str) -> str:
    if not old:
        return text
    grown = len(text) + text.count(old) * (len(new) - len(old))
    if grown > MAX_TEXT:
        raise ResourceLimitError(f"a text of {grown} characters; the limit is {MAX_TEXT}")
    return text.replace(old, new)


@_register("concat", "(any, ...)", "the arguments as text, joined; NULL if any is NULL")
def _concat(types: Types) -> Impl | None:
    if not types or T.LIST in types:
        return None
    casts = [v.converter(t, T.STRING) for t in types]

    def row(*args: Any) -> str | None:
        parts = [c(a) if c is not None else None for a, c in zip(args, casts, strict=True)]
        return None if None in parts else bounded("".join(parts))  # type: ignore[arg-type]

    return Impl(T.STRING, row)


@_register("concat_ws", "(any, any, ...)", "the arguments after the first, joined by the first")
def _concat_ws(types: Types) -> Impl | None:
    if len(types) < 2 or T.LIST in types:
        return None
    casts = [v.converter(t, T.STRING) for t in types]

    def row(*args: Any) -> str | None:
        parts = [c(a) if c is not None else None for a, c in zip(args, casts, strict=True)]
        if None in parts:
            return None
        return bounded(str(parts[0]).join(parts[1:]))  # type: ignore[arg-type]

    return Impl(T.STRING, row)


def _on_text(type_: SqlType, fn: Callable[..., Any], *more: tuple[SqlType, ...]) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 + len(more) or types[0] not in (T.STRING, T.NULL):
            return None
        if any(t not in (*allowed, T.NULL) for t, allowed in zip(types[1:], more, strict=True)):
            return None
        return Impl(type_, fn)

    return resolve


_INTS = (T.INT16, T.INT32, T.INT64)


@_register("strcmp", "(STRING, STRING)", "-1, 0 or 1 as the first sorts before, with, after")
def _strcmp(types: Types) -> Impl | None:
    if len(types) != 2 or any(t not in (T.STRING, T.NULL) for t in types):
        return None
    return Impl(T.INT32, lambda a, b: (a > b) - (a < b))


def _substring(text: str, start: int, count: int | None = None) -> str:
    # Positions count bytes in OpenMLDB; text that is not ASCII is cut by bytes likewise.
    raw = text.encode() if not text.isascii() else None
    size = len(text) if raw is None else len(raw)
    if start == 0 or (count is not None and count <= 0):
        return ""
    at = start - 1 if start > 0 else size + start
    if at < 0 or at >= size:
        return ""
    end = size if count is None else min(size, at + count)
    return text[at:end] if raw is None else raw[at:end].decode(errors="ignore")


@_register("substring substr", "(STRING, INT[, INT])", "from a position (1 first, -1 last) on")
def _substr(types: Types) -> Impl | None:
    if len(types) not in (2, 3) or types[0] not in (T.STRING, T.NULL):
        return None
    if any(t not in (*_INTS, T.NULL) for t in types[1:]):
        return None
    return Impl(T.STRING, _substring)


_register("lower lcase", "(STRING)", "in lower case")(_on_text(T.STRING, str.lower))
_register("upper ucase", "(STRING)", "in upper case")(_on_text(T.STRING, str.upper))
_register("reverse", "(STRING)", "backwards")(_on_text(T.STRING, lambda s: s[::-1]))
_register("char_length character_length", "(STRING)", "its length in bytes")(
    _on_text(T.INT32, lambda s: len(s.encode()))
)
_register("replace", "(STRING, STRING, STRING)", "every occurrence replaced")(
    _on_text(T.STRING, _replaced, (T.STRING,), (T.STRING,))
)
_register("starts_with", "(STRING, STRING)", "whether it starts so")(
    _on_text(T.BOOL, str.startswith, (T.STRING,))
)
_register("lstrip ltrim", "(STRING)", "without leading blanks")(
    _on_text(T.STRING, lambda s: s.lstrip(" "))
)
_register("rstrip rtrim", "(STRING)", "without trailing blanks")(
    _on_text(T.STRING, lambda s: s.rstrip(" "))
)
_register("trim", "(STRING)", "without blanks at either end")(
    _on_text(T.STRING, lambda s: s.strip(" "))
)


@_register("hex", "(number | STRING)", "in hexadecimal, upper case")
def _hex(types: Types) -> Impl | None:
    if len(types) != 1 or not (types[0].is_numeric or types[0] is T.STRING):
        return None
    if types[0] is T.STRING:
        return Impl(T.STRING, lambda s: s.encode().hex().upper())
    whole = v.converter(types[0], T.INT64)
    assert whole is not None
    if types[0].is_floating:
        return Impl(T.STRING, lambda a: f"{whole(math.copysign(abs(a) + 0.5, a)) & (2**64 - 1):X}")
    return Impl(T.STRING, lambda a: f"{whole(a) & (2**64 - 1):X}")


def _unhex_text(text: str) -> str | None:
    try:
        return bytes.fromhex(text if len(text) % 2 == 0 else f"0{text}").decode()
    except ValueError:
        return None


_register("unhex", "(STRING)", "the text that hexadecimal spells, NULL where it spells none")(
    _on_text(T.STRING, _unhex_text)
)


@_register("char", "(INT)", "the ASCII character of the number modulo 256")
def _char(types: Types) -> Impl | None:
    if len(types) != 1 or not types[0].is_integer:
        return None
    return Impl(T.STRING, lambda a: chr(a % 256) if a % 256 < 128 else "")


_register("regexp_like", "(STRING, STRING)", "whether the whole text fits the expression")(
    _on_text(T.BOOL, matches_regex, (T.STRING,))
)


@_register("like_match", "(STRING, STRING)", "LIKE, as a function")
def _like_match(types: Types) -> Impl | None:
    return like("LIKE", None) if list(types) == [T.STRING, T.STRING] else None


@_register("ilike_match", "(STRING, STRING)", "ILIKE, as a function")
def _ilike_match(types: Types) -> Impl | None:
    return like("ILIKE", None) if list(types) == [T.STRING, T.STRING] else None


# -- lists of text (FeatureZero)


def split(text: str, separator: str) -> list[str]:
    """The parts of a text; nothing for an empty separator or text."""
    return text.split(separator) if separator and text else []


def split_by(text: str, separator: str, inner: str, part: int) -> list[str]:
    """The key (part 0) or value (part 1) of each ``key<inner>value`` part that has two sides."""
    if not separator or not inner:
        return []
    pairs = (p.split(inner) for p in text.split(separator))
    return [p[part] for p in pairs if len(p) == 2]


def split_by_key(text: str, separator: str, inner: str) -> list[str]:
    """The keys of ``key<inner>value`` parts."""
    return split_by(text, separator, inner, 0)


def split_by_value(text: str, separator: str, inner: str) -> list[str]:
    """The values of ``key<inner>value`` parts."""
    return split_by(text, separator, inner, 1)


def _splitter(fn: Callable[..., Any], count: int) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if len(types) != count or any(t not in (T.STRING, T.NULL) for t in types):
            return None

        def row(*args: Any) -> list[str]:
            return [] if None in args else list(fn(*args))

        return Impl(T.LIST, row, strict=False)

    return resolve


_register("split fz_split", "(STRING, separator)", "the parts, as a list")(_splitter(split, 2))
_register("split_by_key fz_split_by_key", "(STRING, separator, inner)", "the keys, as a list")(
    _splitter(split_by_key, 3)
)
_register(
    "split_by_value fz_split_by_value", "(STRING, separator, inner)", "the values, as a list"
)(_splitter(split_by_value, 3))


@_register("join fz_join", "(list, separator)", "the list's parts, joined")
def _join(types: Types) -> Impl | None:
    if list(types) != [T.LIST, T.STRING]:
        return None
    return Impl(T.STRING, lambda parts, separator: separator.join(parts))


# -- numbers


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
    _register(_names, "(number)", _doc)(_math(_fn, _vec))


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


_register("floor", "(number)", "the whole number below")(_rounding(math.floor, np.floor))
_register("ceil ceiling", "(number)", "the whole number above")(_rounding(math.ceil, np.ceil))


@_register("round", "(number[, INT])", "rounded, halves away from zero")
def _round(types: Types) -> Impl | None:
    if not 1 <= len(types) <= 2 or not _is_number(types[0]):
        return None
    if len(types) == 2 and types[1] not in _INTS:
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


@_register("truncate trunc", "(number)", "without its fraction")
def _truncate(types: Types) -> Impl | None:
    if len(types) != 1 or not _is_number(types[0]):
        return None
    if types[0].is_integer:
        return cast_impl(types[0], T.INT64)
    return Impl(T.DOUBLE, lambda a: float(math.trunc(a)) if math.isfinite(a) else a)


@_register("abs", "(number)", "absolute value, of the same type")
def _abs(types: Types) -> Impl | None:
    if len(types) != 1 or not _is_number(types[0]):
        return None
    out = types[0] if types[0].is_integer else T.DOUBLE
    if types[0] is T.FLOAT:
        out = T.FLOAT
    end = _finish(out)

    def run(args: list[Column], n: int) -> Column:
        return Column(out, np.abs(args[0].values.astype(NUMPY[out])), args[0].valid)

    return Impl(out, lambda a: end(abs(a)), run if types[0] is not T.NULL else None)


@_register("pow power", "(number, number)", "the first to the power of the second, DOUBLE")
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


@_register("inc", "(integer)", "one more")
def _inc(types: Types) -> Impl | None:
    if len(types) != 1 or not types[0].is_integer:
        return None
    end = _finish(types[0])
    return Impl(types[0], lambda a: end(a + 1))


@_register("atan2", "(number, number)", "the angle of a point")
def _atan2(types: Types) -> Impl | None:
    if len(types) != 2 or not all(_is_number(t) for t in types):
        return None
    return Impl(T.DOUBLE, lambda a, b: math.atan2(a, b))


@_register("mod", "(number, number)", "the operator %, as a function")
def _mod(types: Types) -> Impl | None:
    return arithmetic("%", *types) if len(types) == 2 else None


def _extreme(pick: Callable[..., Any]) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        out = _common(types)
        if out is None or not types:
            return None
        casts = [cast_impl(t, out) for t in types]

        def row(*args: Any) -> Any:
            found = [c.row(a) for a, c in zip(args, casts, strict=True) if c is not None]
            return None if None in found else pick(found)

        return Impl(out, row)

    return resolve


_register("greatest", "(a, ...)", "the greatest; NULL if any is NULL")(_extreme(max))
_register("least", "(a, ...)", "the least; NULL if any is NULL")(_extreme(min))


def _cast_function(target: SqlType) -> Resolve:
    return lambda types: cast_impl(types[0], target) if len(types) == 1 else None


for _names, _target in (
    ("bool", T.BOOL),
    ("smallint int16", T.INT16),
    ("int int32", T.INT32),
    ("bigint int64", T.INT64),
    ("float", T.FLOAT),
    ("double", T.DOUBLE),
    ("string", T.STRING),
    ("date", T.DATE),
    ("timestamp", T.TIMESTAMP),
):
    _register(_names, "(any that casts to it)", f"the value as {_target.value}")(
        _cast_function(_target)
    )

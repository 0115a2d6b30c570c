"""Checked expressions: every node knows its type and computes in two ways with one meaning.

``vector`` computes a whole column; ``row`` compiles to a function of one row, for request mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.columns import (
    Column,
    Mask,
    column,
    column_from_list,
    concat_columns,
    constant_column,
    null_column,
)
from openmldb_embedded.dtypes import NUMPY

Row = Sequence[Any]
RowFunction = Callable[[Row], Any]
VectorFunction = Callable[[list[Column], int], Column]


@dataclass(frozen=True)
class Impl:
    """What a function does once its argument types are known.

    Attributes:
        type: The result type.
        row: The meaning, of one value for each argument.
        vector: The same for columns and their length; None lets ``row`` be mapped.
        strict: NULL for any NULL argument without calling ``row`` (``vector`` sees to it itself).
    """

    type: SqlType
    row: Callable[..., Any]
    vector: VectorFunction | None = None
    strict: bool = True


class Expr:
    """A checked expression."""

    type: SqlType

    def vector(self, columns: Sequence[Column], length: int) -> Column:
        """The value for each of ``length`` rows of ``columns``."""
        raise NotImplementedError

    def row(self) -> RowFunction:
        """A function from a row's values to this expression's value."""
        raise NotImplementedError

    def children(self) -> Sequence[Expr]:
        """The operands."""
        return ()

    def describe(self) -> str:
        """Short text for EXPLAIN."""
        raise NotImplementedError


@dataclass(frozen=True)
class Col(Expr):
    """The ``index``-th column of the input."""

    index: int
    type: SqlType
    name: str = ""

    def vector(self, columns: Sequence[Column], length: int) -> Column:
        """The column itself."""
        return columns[self.index]

    def row(self) -> RowFunction:
        """Pick the value."""
        return itemgetter(self.index)

    def describe(self) -> str:
        """The column's name."""
        return self.name or f"#{self.index}"


@dataclass(frozen=True)
class Const(Expr):
    """One value for every row."""

    value: Any
    type: SqlType

    def vector(self, columns: Sequence[Column], length: int) -> Column:
        """The value repeated."""
        return constant_column(self.type, self.value, length)

    def row(self) -> RowFunction:
        """The value."""
        value = self.value
        return lambda r: value

    def describe(self) -> str:
        """The value as SQL spells it."""
        if self.value is None:
            return "NULL"
        if self.type is SqlType.BOOL:
            return "true" if self.value else "false"
        if self.type is SqlType.DATE:
            return f"date('{self.value}')"
        if self.type is SqlType.TIMESTAMP:
            return f"timestamp({self.value})"
        return repr(self.value)


@dataclass(frozen=True)
class Apply(Expr):
    """A function of expressions."""

    name: str
    impl: Impl
    args: tuple[Expr, ...]

    @property
    def type(self) -> SqlType:  # type: ignore[override]
        """The function's result type."""
        return self.impl.type

    def children(self) -> Sequence[Expr]:
        """The arguments."""
        return self.args

    def describe(self) -> str:
        """``name(args)``."""
        return f"{self.name}({', '.join(a.describe() for a in self.args)})"

    def vector(self, columns: Sequence[Column], length: int) -> Column:
        """Apply the vector meaning, or map the row meaning."""
        args = [a.vector(columns, length) for a in self.args]
        if self.impl.vector is not None:
            return self.impl.vector(args, length)
        return map_rows(self.impl, args, self.args, length)

    def row(self) -> RowFunction:
        """A closure over the compiled arguments."""
        fn = self.impl.row
        args = [a.row() for a in self.args]
        if not self.impl.strict:
            if len(args) == 1:
                only = args[0]
                return lambda r: fn(only(r))
            return lambda r: fn(*[a(r) for a in args])
        if len(args) == 1:
            first = args[0]

            def unary(r: Row) -> Any:
                x = first(r)
                return None if x is None else fn(x)

            return unary
        if len(args) == 2:
            left, right = args

            def binary(r: Row) -> Any:
                x = left(r)
                if x is None:
                    return None
                y = right(r)
                return None if y is None else fn(x, y)

            return binary

        def many(r: Row) -> Any:
            got = [a(r) for a in args]
            return None if None in got else fn(*got)

        return many


def map_rows(impl: Impl, args: list[Column], exprs: Sequence[Expr], length: int) -> Column:
    """The row meaning for each row; over the dictionary where only one string column varies."""
    varying = [i for i, e in enumerate(exprs) if not isinstance(e, Const)]
    if (
        impl.strict
        and len(varying) == 1
        and args[varying[0]].type is SqlType.STRING
        and len(args[varying[0]].dictionary) < length
    ):
        at = varying[0]
        source = args[at]
        fixed = [e.value if isinstance(e, Const) else None for e in exprs]
        if any(x is None for i, x in enumerate(fixed) if i != at):
            return null_column(impl.type, length)
        distinct = []
        for text in source.dictionary.objects:
            fixed[at] = text
            distinct.append(impl.row(*fixed))
        distinct.append(None)  # code -1
        return column_of(impl.type, distinct).take(source.values)
    lists = [a.to_list() for a in args]
    if impl.strict:
        out = [
            None if None in row else impl.row(*row)
            for row in (zip(*lists, strict=True) if lists else [()] * length)
        ]
    else:
        out = [impl.row(*row) for row in (zip(*lists, strict=True) if lists else [()] * length)]
    return column_of(impl.type, out)


def column_of(type_: SqlType, items: list[Any]) -> Column:
    """A column from Python values; lists, maps and features stay Python objects."""
    if type_ in v.COMPOSITE:
        array = np.empty(len(items), dtype=object)
        for i, item in enumerate(items):
            array[i] = item
        return Column(type_, array)
    return column_from_list(type_, items)


@dataclass(frozen=True)
class CaseWhen(Expr):
    """The value of the first branch whose condition is true."""

    branches: tuple[tuple[Expr, Expr], ...]
    otherwise: Expr
    type: SqlType

    def children(self) -> Sequence[Expr]:
        """Conditions, values and the ELSE."""
        return [e for pair in self.branches for e in pair] + [self.otherwise]

    def describe(self) -> str:
        """``CASE ... END``."""
        parts = [f"WHEN {c.describe()} THEN {x.describe()}" for c, x in self.branches]
        return f"CASE {' '.join(parts)} ELSE {self.otherwise.describe()} END"

    def vector(self, columns: Sequence[Column], length: int) -> Column:
        """Pick among the branches' columns row by row."""
        undecided = np.ones(length, dtype=np.bool_)
        choice = np.full(length, len(self.branches), dtype=np.int64)
        parts: list[Column] = []
        for i, (condition, value) in enumerate(self.branches):
            hit = truth(condition.vector(columns, length)) & undecided
            choice[hit] = i
            undecided &= ~hit
            parts.append(value.vector(columns, length))
        parts.append(self.otherwise.vector(columns, length))
        return select(choice, parts, length)

    def row(self) -> RowFunction:
        """Try the branches in turn."""
        branches = [(c.row(), x.row()) for c, x in self.branches]
        otherwise = self.otherwise.row()
        if len(branches) == 1:
            condition, value = branches[0]
            return lambda r: value(r) if condition(r) else otherwise(r)

        def choose(r: Row) -> Any:
            for c, x in branches:
                if c(r):
                    return x(r)
            return otherwise(r)

        return choose


def select(choice: np.ndarray[Any, Any], parts: list[Column], length: int) -> Column:
    """Row i of the ``choice[i]``-th column; the columns are of one type (or NULL)."""
    whole = concat_columns(parts)
    return whole.take(choice * length + np.arange(length))


def truth(c: Column) -> Mask:
    """Where a BOOL column is true (not NULL)."""
    bits = c.values.astype(np.bool_, copy=False)
    return bits if c.valid is None else bits & c.valid


@dataclass(frozen=True)
class Logic(Expr):
    """AND, OR in three-valued logic; the right side is not computed where the left decides."""

    op: str
    left: Expr
    right: Expr
    type: SqlType = SqlType.BOOL

    def children(self) -> Sequence[Expr]:
        """Both sides."""
        return (self.left, self.right)

    def describe(self) -> str:
        """``(left op right)``."""
        return f"({self.left.describe()} {self.op} {self.right.describe()})"

    def vector(self, columns: Sequence[Column], length: int) -> Column:
        """Combine masks: NULL where neither side decides and one is NULL."""
        a, b = self.left.vector(columns, length), self.right.vector(columns, length)
        ta, tb = truth(a), truth(b)
        if a.valid is None and b.valid is None:
            return Column(SqlType.BOOL, ta & tb if self.op == "AND" else ta | tb)
        fa, fb = a.mask() & ~ta, b.mask() & ~tb
        if self.op == "AND":
            return column(SqlType.BOOL, ta & tb, (ta & tb) | fa | fb)
        return column(SqlType.BOOL, ta | tb, ta | tb | (fa & fb))

    def row(self) -> RowFunction:
        """Decide as early as possible."""
        left, right = self.left.row(), self.right.row()
        if self.op == "AND":

            def both(r: Row) -> Any:
                a = left(r)
                if a is not None and not a:
                    return False
                b = right(r)
                if b is not None and not b:
                    return False
                return None if a is None or b is None else True

            return both

        def either(r: Row) -> Any:
            a = left(r)
            if a:
                return True
            b = right(r)
            if b:
                return True
            return None if a is None or b is None else False

        return either


# -- casts


def cast_impl(source: SqlType, target: SqlType) -> Impl | None:
    """How a type is cast to another, or None where it cannot be."""
    convert = v.converter(source, target)
    if convert is None:
        return None
    return Impl(target, convert, _vector_cast(source, target))


def cast_to(e: Expr, target: SqlType) -> Expr:
    """The expression as ``target``; the cast is known to exist."""
    if e.type is target:
        return e
    if isinstance(e, Const):
        if e.value is None:
            return Const(None, target)
        convert = v.converter(e.type, target)
        assert convert is not None
        return Const(convert(e.value), target)
    impl = cast_impl(e.type, target)
    if impl is None:
        raise AssertionError(f"no cast from {e.type} to {target}")
    return Apply(target.value, impl, (e,))


def _vector_cast(source: SqlType, target: SqlType) -> VectorFunction | None:
    number = source.is_numeric or source in (SqlType.BOOL, SqlType.TIMESTAMP)
    if source is SqlType.NULL:
        return lambda args, n: null_column(target, n)
    if source is target:
        return lambda args, n: args[0]
    if not number:
        return None
    if target is SqlType.BOOL:
        return lambda args, n: Column(target, args[0].values != 0, args[0].valid)
    if target is SqlType.TIMESTAMP and not source.is_floating:

        def to_time(args: list[Column], n: int) -> Column:
            ms = args[0].values.astype(np.int64)
            if source is SqlType.BOOL or not (ms < 0).any():
                return Column(target, ms, args[0].valid)
            return column(target, ms, args[0].mask() & (ms >= 0))

        return to_time
    if target.is_integer and source.is_floating:

        def truncate(args: list[Column], n: int) -> Column:
            raw = args[0].values.astype(np.float64)
            safe = np.isfinite(raw) & (
                np.abs(raw) < (2.0**62 if target is SqlType.INT64 else 2.0**31)
            )
            if not safe.all():
                return _mapped(source, target)(args, n)
            return Column(target, raw.astype(np.int64).astype(NUMPY[target]), args[0].valid)

        return truncate
    if target.is_numeric:

        def convert(args: list[Column], n: int) -> Column:
            with np.errstate(over="ignore"):
                out = args[0].values.astype(NUMPY[target])
            return Column(target, out, args[0].valid)

        return convert
    return None


def _mapped(source: SqlType, target: SqlType) -> VectorFunction:
    one = v.converter(source, target)
    assert one is not None

    def run(args: list[Column], n: int) -> Column:
        return column_from_list(target, [None if x is None else one(x) for x in args[0].to_list()])

    return run

"""Expressions of the syntax tree to checked ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from openmldb_sql import syntax as s
from openmldb_sql.errors import PlanError, TypeCheckError
from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.check.calls import FunctionCalls
from openmldb_embedded.check.operators import (
    binary,
    boolean,
    cast,
    filtering,
    in_list,
    unary,
)
from openmldb_embedded.check.scope import Context, Place, resolve_column
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.expr import Apply, CaseWhen, Col, Const, Expr, Logic, cast_to
from openmldb_embedded.functions.comparison import is_null
from openmldb_embedded.functions.composites import array, element_of
from openmldb_embedded.functions.patterns import like

T = SqlType


class Expressions:
    """Checks expressions, each where it stands.

    Args:
        params: The values of the statement's ``?``.
        strict: Whether to refuse what OpenMLDB 0.9.2 refuses and this engine could compute.
    """

    def __init__(self, params: Sequence[Any], *, strict: bool) -> None:
        self._params = params
        self._strict = strict
        self._calls = FunctionCalls(self.expr, strict=strict)

    def condition(self, e: s.Expr, context: Context, where: str) -> Expr:
        """A checked condition; ``where`` says in errors what asks for one.

        Raises:
            PlanError: See ``expr``; or it has no truth value.
        """
        found = self.expr(e, context)
        return boolean(found, where) if where == "ON" else filtering(found, where)

    def expr(self, e: s.Expr, c: Context) -> Expr:
        """A checked expression.

        Raises:
            PlanError: A name, type or call that OpenMLDB refuses.
        """
        match e:
            case s.Literal(value, type_):
                if type_ is T.INT64 and not -(2**63) <= value < 2**63:
                    raise PlanError(f"integer {value} does not fit 64 bits")
                return Const(v.to_float32(value) if type_ is T.FLOAT else value, type_)
            case s.Parameter(position):
                return _parameter(self._params[position])
            case Place(path):
                at = int(path[0])
                return Col(at, c.fields[at].type, path[1])
            case s.ColumnRef(path):
                return resolve_column(path, c)
            case s.Star():
                raise PlanError("* stands alone in a select list or in count(*)")
            case s.Unary(op, operand):
                return unary(op, self.expr(operand, c), strict=self._strict)
            case s.Binary(op, left, right):
                return binary(op, self.expr(left, c), self.expr(right, c), strict=self._strict)
            case s.IsNull(operand, negated):
                if self._strict:
                    raise TypeCheckError(
                        f"Unsupport binary operator: IS{' NOT' if negated else ''} (write "
                        f"{'!' if negated else ''}isnull({s.show(operand)}))"
                    )
                return Apply("is null", is_null(negated), (self.expr(operand, c),))
            case s.InList(operand, items, negated):
                member = in_list(self.expr(operand, c), [self.expr(i, c) for i in items])
                return unary("NOT", member) if negated else member
            case s.Between(operand, low, high, negated):
                x, lo, hi = self.expr(operand, c), self.expr(low, c), self.expr(high, c)
                if negated:  # not the opposite: NaN is neither between nor not between
                    return Logic("OR", binary("<", x, lo), binary(">", x, hi))
                return Logic("AND", binary(">=", x, lo), binary("<=", x, hi))
            case s.Like():
                return self._like(e, c)
            case s.Case(subject, branches, otherwise):
                return self._case(subject, branches, otherwise, c)
            case s.Cast(operand, type_, _):
                return cast(self.expr(operand, c), type_)
            case s.Array(items, element):
                made = array([self.expr(i, c) for i in items], element)
                if made is None:
                    raise TypeCheckError(f"{s.show(e)}: elements of types that do not fit")
                return made
            case s.Element(container, key):
                found = self.expr(container, c), self.expr(key, c)
                taken = element_of(*found)
                if taken is None:
                    raise TypeCheckError(
                        f"{s.show(e)}: only a map has elements to take, by a key of its keys' "
                        f"type, not {found[0].type.value}[{found[1].type.value}]"
                    )
                return taken
            case s.Call():
                return self._calls.call(e, c)
        raise AssertionError(e)

    def _like(self, e: s.Like, c: Context) -> Expr:
        operand, pattern = self.expr(e.operand, c), self.expr(e.pattern, c)
        for side in (operand, pattern):
            if side.type not in (T.STRING, T.NULL):
                raise TypeCheckError(f"{e.op} takes text, not {side.type.value}")
        args = [operand, pattern]
        if e.escape is not None:
            if e.op == "RLIKE":
                raise TypeCheckError("RLIKE takes no ESCAPE")
            escape = self.expr(e.escape, c)
            if escape.type is not T.STRING:
                raise TypeCheckError(f"ESCAPE takes text, not {escape.type.value}")
            if isinstance(escape, Const) and len((escape.value or "").encode()) > 1:
                raise TypeCheckError(
                    f"escape value is not string or string size >= 2: {escape.describe()}"
                )
            args.append(escape)
        if T.NULL in (operand.type, pattern.type):
            if self._strict:
                raise TypeCheckError(
                    f"Resolve udf signature failure: {e.op} of an untyped NULL (OpenMLDB takes "
                    f"CAST(NULL AS string))"
                )
            return Const(None, T.BOOL)
        found = Apply(e.op.lower(), like(e.op, len(args)), tuple(args))
        return unary("NOT", found) if e.negated else found

    def _case(
        self,
        subject: s.Expr | None,
        branches: Sequence[tuple[s.Expr, s.Expr]],
        otherwise: s.Expr | None,
        c: Context,
    ) -> Expr:
        tested = None if subject is None else self.expr(subject, c)
        pairs: list[tuple[Expr, Expr]] = []
        for condition, value in branches:
            test = self.expr(condition, c)
            if tested is not None:
                test = binary("=", tested, test)
            elif self._strict and test.type is not T.BOOL:
                raise TypeCheckError(
                    f"Condition must be boolean type: CASE WHEN {test.describe()} is "
                    f"{test.type.value}"
                )
            pairs.append((boolean(test, "CASE WHEN"), self.expr(value, c)))
        default = self.expr(otherwise, c) if otherwise is not None else Const(None, T.NULL)
        type_: SqlType | None = default.type
        for _, result in pairs:
            type_ = v.common(type_, result.type) if type_ is not None else None
        if type_ is None:
            types = ", ".join(x.type.value for x in [*(b for _, b in pairs), default])
            raise TypeCheckError(f"CASE branches of types that do not fit: {types}")
        if type_ in v.COMPOSITE:
            return CaseWhen(tuple(pairs), default, type_)
        if self._strict and pairs[-1][1].type is default.type is T.NULL:
            raise TypeCheckError(
                "unsupported casting type: NULL: CASE whose last THEN and ELSE are untyped NULLs"
            )
        return CaseWhen(
            tuple((t, cast_to(x, type_)) for t, x in pairs), cast_to(default, type_), type_
        )


def _parameter(given: Any) -> Expr:
    """A parameter's constant: a plain value, or (SqlType, value)."""
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], SqlType):
        return Const(given[1], given[0])
    if given is None:
        return Const(None, T.NULL)
    if isinstance(given, bool):
        return Const(given, T.BOOL)
    if isinstance(given, int):
        return Const(given, T.INT32 if -(2**31) <= given < 2**31 else T.INT64)
    if isinstance(given, float):
        return Const(given, T.DOUBLE)
    if isinstance(given, str):
        return Const(given, T.STRING)
    if isinstance(given, dt.date):
        return Const(given, T.DATE)
    raise ExecutionError(f"a parameter of type {type(given).__name__} has no SQL type")

"""Operators and casts of checked operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openmldb_sql.errors import CODEGEN, TypeCheckError
from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.expr import Apply, Const, Expr, Impl, Logic, cast_impl, cast_to
from openmldb_embedded.functions import resolve_scalar
from openmldb_embedded.functions.arithmetic import arithmetic, bitwise, invert, negate
from openmldb_embedded.functions.comparison import (
    comparison,
    comparison_type,
    logical_not,
    logical_xor,
)

T = SqlType


def boolean(e: Expr, where: str, *, strict: bool = False) -> Expr:
    """The operand's truth value: a number or time that is not 0, a text that is not empty, a date.

    Args:
        e: The operand.
        where: What asks for a condition, for the error.
        strict: Refuse an untyped NULL, as OpenMLDB does.

    Raises:
        TypeCheckError: It has no truth value.
    """
    if e.type is T.BOOL:
        return e
    if e.type is T.NULL:
        if strict:
            raise TypeCheckError(
                f"{where} of an untyped NULL: invalid type for bool expression (OpenMLDB takes "
                f"CAST(NULL AS bool))",
                CODEGEN,
            )
        return Const(None, T.BOOL)
    if e.type in v.COMPOSITE:
        raise TypeCheckError(f"{where} takes a condition, not {e.type.value}: {e.describe()}")
    if isinstance(e, Const):
        return Const(_truth(e.type)(e.value), T.BOOL)
    if e.type is T.STRING or e.type is T.DATE:
        return Apply("bool", Impl(T.BOOL, _truth(e.type)), (e,))
    return cast_to(e, T.BOOL)


def _truth(type_: SqlType) -> Callable[[Any], bool]:
    return (lambda x: True) if type_ is T.DATE else bool


def filtering(e: Expr, where: str) -> Expr:
    """A whole WHERE or HAVING: what is neither BOOL nor a number lets no row through.

    Raises:
        TypeCheckError: It has no truth value.
    """
    if e.type in (T.STRING, T.DATE, T.TIMESTAMP):
        return Const(False, T.BOOL)
    return boolean(e, where)


def cast(x: Expr, type_: SqlType) -> Expr:
    """CAST.

    Raises:
        TypeCheckError: There is no such cast.
    """
    if isinstance(x, Const) and x.value is None:
        return Const(None, type_)
    if x.type is T.DATE and (type_.is_numeric or type_ is T.BOOL):
        return Const(None, type_)
    if cast_impl(x.type, type_) is None:
        raise TypeCheckError(f"cannot cast {x.type.value} to {type_.value}: {x.describe()}")
    return cast_to(x, type_)


def unary(op: str, x: Expr, *, strict: bool = False) -> Expr:
    """NOT, - or ~.

    Raises:
        TypeCheckError: The operand has no such operator.
    """
    if op == "NOT":
        return Apply("not", logical_not(), (boolean(x, "NOT", strict=strict),))
    impl = negate(x.type) if op == "-" else invert(x.type)
    if impl is None:
        raise TypeCheckError(f"Invalid unary operand: {op} {x.type.value}")
    return Apply(op, impl, (x,))


_UNKNOWN_UPSTREAM = {
    "||": "Unsupport binary operator: || (write concat(a, b))",
    "<<": "Unsupport ASTExpression BitwiseShiftExpression",
    ">>": "Unsupport ASTExpression BitwiseShiftExpression",
}


def binary(op: str, a: Expr, b: Expr, *, strict: bool = False) -> Expr:
    """An operator of two operands.

    Raises:
        TypeCheckError: The operands have no such operator.
    """
    if strict and op in _UNKNOWN_UPSTREAM:
        raise TypeCheckError(_UNKNOWN_UPSTREAM[op])
    if op in ("AND", "OR"):
        return Logic(op, boolean(a, op, strict=strict), boolean(b, op, strict=strict))
    if op == "XOR":
        both = (boolean(a, op, strict=strict), boolean(b, op, strict=strict))
        return Apply("xor", logical_xor(), both)
    if op in ("=", "!=", "<", "<=", ">", ">="):
        type_ = compared(a, b, op)
        impl = comparison(op, type_)
        return Apply(op, impl, (cast_to(a, type_), cast_to(b, type_)))
    if op == "||":
        return Apply("concat", resolve_scalar("concat", (a.type, b.type)), (a, b))
    found = bitwise(op, a.type, b.type) if op in "&|^" else arithmetic(op, a.type, b.type)
    if found is None:
        raise TypeCheckError(
            f"Invalid operands: {a.type.value} {op} {b.type.value} in "
            f"{a.describe()} {op} {b.describe()}"
        )
    if T.NULL in (a.type, b.type):
        return Const(None, found.type)
    return Apply(op, found, (a, b))


def compared(a: Expr, b: Expr, op: str) -> SqlType:
    """The type that two operands are compared in.

    Raises:
        TypeCheckError: They do not compare.
    """
    type_ = comparison_type(a.type, b.type)
    if type_ is None:
        raise TypeCheckError(
            f"Invalid comparison: {a.type.value} {op} {b.type.value} in "
            f"{a.describe()} {op} {b.describe()}"
        )
    return type_


def in_list(x: Expr, items: list[Expr]) -> Expr:
    """IN a list: a set where all items are constants of one type, else a chain of OR."""
    types = {compared(x, i, "IN") for i in items if i.type is not T.NULL}
    if len(types) <= 1 and all(isinstance(i, Const) for i in items):
        type_ = next(iter(types), x.type)
        wanted = [cast_to(i, type_) for i in items]
        values = {i.value for i in wanted if isinstance(i, Const)}
        nulls = None in values
        values.discard(None)

        def member(a: Any) -> bool | None:
            if a in values:
                return True
            return None if nulls else False

        return Apply("in", Impl(T.BOOL, member), (cast_to(x, type_),))
    terms = [binary("=", x, i) for i in items]
    while len(terms) > 1:
        paired: list[Expr] = [
            Logic("OR", a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)
        ]
        terms = paired + terms[len(paired) * 2 :]
    return terms[0]

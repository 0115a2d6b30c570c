"""Checked expressions as trees: which columns they read, and the same over other columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from openmldb_embedded.expr import Apply, CaseWhen, Col, Expr, Logic


def columns_read(e: Expr) -> set[int]:
    """The places of the columns an expression reads."""
    if isinstance(e, Col):
        return {e.index}
    return {i for child in e.children() for i in columns_read(child)}


def map_operands(e: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The expression with each operand changed."""
    if isinstance(e, Apply):
        return Apply(e.name, e.impl, tuple(change(a) for a in e.args))
    if isinstance(e, CaseWhen):
        branches = tuple((change(t), change(x)) for t, x in e.branches)
        return CaseWhen(branches, change(e.otherwise), e.type)
    if isinstance(e, Logic):
        return Logic(e.op, change(e.left), change(e.right))
    return e


def map_columns(e: Expr, change: Callable[[Col], Expr]) -> Expr:
    """The expression with each column changed, wherever it stands."""
    if isinstance(e, Col):
        return change(e)
    return map_operands(e, lambda operand: map_columns(operand, change))


def shifted(e: Expr, by: int) -> Expr:
    """The expression over columns that start ``by`` places later."""
    return map_columns(e, lambda c: Col(c.index + by, c.type, c.name))


def substitute(e: Expr, outputs: Sequence[Expr]) -> Expr:
    """The expression with each column replaced by what it stands for."""
    return map_columns(e, lambda c: outputs[c.index])

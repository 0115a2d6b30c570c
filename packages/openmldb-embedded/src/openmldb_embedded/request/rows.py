"""Functions of one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from openmldb_sql.errors import SqlError

from openmldb_embedded.expr import Col, Expr, RowFunction
from openmldb_embedded.memtable import Key, Row
from openmldb_embedded.plan import Node, Project, Renamed
from openmldb_embedded.rewrite import columns_read


def row_maker(exprs: Sequence[Expr], width: int) -> Callable[[Row], Row] | None:
    """A function that computes expressions of a row into a row; None if it is the identity."""
    if all(isinstance(e, Col) for e in exprs):
        places = [e.index for e in exprs if isinstance(e, Col)]
        if places == list(range(width)):
            return None
        if len(places) == 1:
            one = places[0]
            return lambda r: (r[one],)
        if not places:
            return lambda r: ()
        return itemgetter(*places)
    # Columns are picked at once, of the row, then the computed values, then the constants.
    computed: list[RowFunction] = []
    constants: list[Any] = []
    plan: list[tuple[int, int]] = []
    for e in exprs:
        if isinstance(e, Col):
            plan.append((0, e.index))
        elif (value := constant(e)) is not None:
            plan.append((2, len(constants)))
            constants.append(value[0])
        else:
            plan.append((1, len(computed)))
            computed.append(e.row())
    starts = (0, width, width + len(computed))
    places = [starts[kind] + place for kind, place in plan]
    fixed = tuple(constants)
    if len(places) == 1:
        only = computed[0] if computed else None
        return (lambda r: fixed) if only is None else (lambda r: (only(r),))
    pick = itemgetter(*places)
    if not computed:
        return lambda r: pick((*r, *fixed))
    return lambda r: pick((*r, *[m(r) for m in computed], *fixed))


def constant(e: Expr) -> tuple[Any] | None:
    """The value of an expression that reads no column, alone in a tuple; None for any other.

    An expression that fails is left to fail at each row.
    """
    if columns_read(e):
        return None
    try:
        return (e.row()(()),)
    except SqlError:
        return None


def constant_columns(node: Node) -> frozenset[int]:
    """The columns of a relation over the request row that have one value in every request."""
    match node:
        case Renamed(_, child):
            return constant_columns(child)
        case Project(_, child, exprs):
            below = constant_columns(child)
            return frozenset(i for i, e in enumerate(exprs) if columns_read(e) <= below)
        case _:
            return frozenset()


def key_function(exprs: list[Expr]) -> Callable[[Row], Key]:
    """A function from a row to its key, of expressions of the row."""
    if len(exprs) == 1:
        return exprs[0].row()
    makers = [e.row() for e in exprs]
    return lambda r: tuple([m(r) for m in makers])

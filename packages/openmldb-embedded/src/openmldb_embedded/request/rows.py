"""Functions of one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter

from openmldb_embedded.expr import Col, Expr
from openmldb_embedded.memtable import Key, Row


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
    makers = tuple(e.row() for e in exprs)
    return lambda r: tuple([m(r) for m in makers])


def key_function(exprs: list[Expr]) -> Callable[[Row], Key]:
    """A function from a row to its key, of expressions of the row."""
    if len(exprs) == 1:
        return exprs[0].row()
    makers = [e.row() for e in exprs]
    return lambda r: tuple([m(r) for m in makers])

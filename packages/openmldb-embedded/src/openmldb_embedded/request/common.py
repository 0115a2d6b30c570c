"""Which columns of an answer are the same for all rows of a request, where some columns of it are.

A procedure's CONST parameters are given once for all rows. As OpenMLDB's ``CommonColumnOptimize``
does: what is computed of them alone is given back once, too.
"""

from __future__ import annotations

from collections.abc import Collection

from openmldb_embedded.expr import Expr
from openmldb_embedded.plan import Join, Limit, Node, Project, Renamed, Scan, WindowAggregate
from openmldb_embedded.rewrite import columns_read


def common_columns(plan: Node, constants: Collection[str]) -> list[bool]:
    """For each column of the plan, whether it depends on the request's ``constants`` alone."""
    match plan:
        case Scan():
            return [field.name in constants for field in plan.fields]
        case Renamed(_, child) | Limit(_, child):
            return common_columns(child, constants)
        case Project(_, child, exprs):
            known = common_columns(child, constants)
            return [_depends(e, known) for e in exprs]
        case Join():
            left = common_columns(plan.left, constants)
            width = len(left)
            asked = {place for one, _ in plan.pairs for place in columns_read(one)}
            if plan.residual is not None:
                asked |= {at for at in columns_read(plan.residual) if at < width}
            right = all(left[at] for at in asked)
            return left + [right] * (len(plan.fields) - width)
        case WindowAggregate():
            return _windowed(plan, common_columns(plan.child, constants))
        case _:
            return [not _varies(plan, constants)] * len(plan.fields)


def _windowed(plan: WindowAggregate, known: list[bool]) -> list[bool]:
    """Nothing beside a window is common unless the window is."""
    shared = []
    for window in plan.windows:
        keys = (*window.partition, *(() if window.order is None else (window.order,)))
        shared.append(all(known[at] for key in keys for at in columns_read(key)))
    found = [one and shared[0] for one in known]
    for call in plan.calls:
        given = [_depends(e, found) for e in call.arguments]
        found.append(shared[call.window] and all(given))
    return found


def _depends(e: Expr, known: list[bool]) -> bool:
    """Whether an expression is of common columns alone; one of none is, where all columns are."""
    read = columns_read(e)
    return all(known[at] for at in read) if read else all(known)


def _varies(plan: Node, constants: Collection[str]) -> bool:
    return not all(common_columns(plan.children()[0], constants)) if plan.children() else False

"""Windows: their keys, order, united relations and frames."""

from __future__ import annotations

from openmldb_sql import syntax as s
from openmldb_sql.types import INTEGERS, SqlType

from openmldb_embedded.check.expressions import Expressions
from openmldb_embedded.check.scope import Context, Ctes, Relation
from openmldb_embedded.check.shapes import same_layout
from openmldb_embedded.errors import WindowError
from openmldb_embedded.expr import Col, Expr
from openmldb_embedded.plan import Node, WindowFrame, WindowPlan

T = SqlType


class Windows:
    """Plans windows.

    Args:
        expressions: Checks keys and order.
        relation: Plans a united relation.
        request: Whether keys and order must be of types an index can have.
    """

    def __init__(self, expressions: Expressions, relation: Relation, *, request: bool) -> None:
        self._expressions = expressions
        self._relation = relation
        self._request = request

    def plan(self, name: str, w: s.Window, q: s.Select, child: Node, ctes: Ctes) -> WindowPlan:
        """The checked window over ``child``, the rows of ``q`` before its items.

        Raises:
            PlanError: What OpenMLDB takes for no window.
        """
        w = _inherited(w, q)
        context = Context(child.fields)
        if not w.partition:
            raise WindowError(f"window {name} needs PARTITION BY")
        partition = tuple(self._expressions.expr(e, context) for e in w.partition)
        for e in partition:
            if not isinstance(e, Col):
                raise WindowError(f"window {name}: PARTITION BY takes columns, not {e.describe()}")
            if e.type is T.LIST or (e.type.is_floating and self._request):
                raise WindowError(
                    f"window {name} cannot partition by {e.describe()} of type {e.type.value}"
                )
        order: Expr | None = None
        if len(w.order) > 1:
            raise WindowError(f"window {name} takes one ORDER BY column")
        if w.order:
            if w.order[0].descending:
                raise WindowError(f"window {name}: ORDER BY ... DESC is not supported")
            order = self._expressions.expr(w.order[0].expr, context)
            if not isinstance(order, Col):
                raise WindowError(f"window {name}: ORDER BY takes a column")
            allowed = (T.TIMESTAMP, T.INT64) if self._request else (T.TIMESTAMP, *INTEGERS)
            if order.type not in allowed:
                raise WindowError(
                    f"window {name} cannot order by {order.describe()} of type "
                    f"{order.type.value}: TIMESTAMP or BIGINT"
                )
        unions = tuple(self._relation(u, ctes) for u in w.unions)
        for u in unions:
            same_layout(child, u, f"window {name}: UNION", names=True)
        return WindowPlan(name, partition, order, unions, _frame(name, w, order))


def _inherited(w: s.Window, q: s.Select) -> s.Window:
    """The window a definition means: itself, or the one of the SELECT that it names."""
    seen: set[str] = set()
    while w.base is not None:
        if w.base in seen or w.base not in q.windows:
            raise WindowError(f"window {w.base} is not defined")
        seen.add(w.base)
        w = q.windows[w.base]
    return w


def _frame(name: str, w: s.Window, order: Expr | None) -> WindowFrame:
    f = w.frame
    if f is None:
        raise WindowError(f"window {name} needs a frame: ROWS or ROWS_RANGE BETWEEN ...")
    kind = "rows" if f.kind == "ROWS" else "range"
    if kind == "rows":
        if f.start.has_unit or f.end.has_unit:
            raise WindowError(f"window {name}: ROWS counts rows, a time needs ROWS_RANGE")
        if f.maxsize is not None:
            raise WindowError(f"window {name}: MAXSIZE needs ROWS_RANGE")
    elif order is None:
        raise WindowError(f"window {name}: ROWS_RANGE needs ORDER BY")
    if f.maxsize is not None and f.maxsize <= 0:
        raise WindowError(f"window {name}: MAXSIZE {f.maxsize} must be greater than 0")
    if f.end.offset is None:
        raise WindowError(f"window {name} cannot end at UNBOUNDED PRECEDING")
    start = f.start.offset
    if start is not None and f.start.open:
        start -= 1
    # Rows after the current one do not exist yet: such an edge means the current row.
    end = max(0, f.end.offset + (1 if f.end.open else 0))
    if start is not None and start < end:
        raise WindowError(f"window {name}: its frame starts after it ends")
    return WindowFrame(
        kind,
        start,
        end,
        f.maxsize,
        w.exclude_current_time,
        w.exclude_current_row,
        w.instance_not_in_window,
    )

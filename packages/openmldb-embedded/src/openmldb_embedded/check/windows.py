"""Windows: their keys, order, united relations and frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from openmldb_sql import syntax as s
from openmldb_sql.types import INTEGERS, SqlType

from openmldb_embedded.check.expressions import Expressions
from openmldb_embedded.check.scope import Context, Ctes, Relation
from openmldb_embedded.check.shapes import same_layout
from openmldb_embedded.errors import WindowError
from openmldb_embedded.expr import Apply, Col, Const, Expr
from openmldb_embedded.plan import Join, Node, Project, Renamed, Scan, WindowFrame, WindowPlan

T = SqlType


class Windows:
    """Plans windows.

    Args:
        expressions: Checks keys and order.
        relation: Plans a united relation.
        request: Whether keys and order must be of types an index can have.
        strict: Whether to refuse windows that OpenMLDB 0.9.2 refuses.
    """

    def __init__(
        self, expressions: Expressions, relation: Relation, *, request: bool, strict: bool
    ) -> None:
        self._expressions = expressions
        self._relation = relation
        self._request = request
        self._strict = strict

    def unused(self, name: str, w: s.Window, q: s.Select) -> None:
        """Check the frame of a window that nothing is computed over, as OpenMLDB does.

        Raises:
            PlanError: It is not a frame.
        """
        w = _inherited(w, q)
        if not w.partition:
            raise WindowError(f"window {name} needs PARTITION BY")
        _frame(name, w, bool(w.order))

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
            if e.type.is_floating and (self._request or self._strict):
                raise WindowError(
                    f"unsupported partition key: window {name} cannot partition by "
                    f"{e.describe()} of type {e.type.value}"
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
        if self._request and self._strict:
            _refuse_source(name, w, child, [e for e in (*partition, order) if isinstance(e, Col)])
        if self._strict and w.exclude_current_time and order is None:
            raise WindowError(
                f"WINDOW with EXCLUDE CURRENT_TIME requires exactly one ORDER BY column: {name}"
            )
        unions = tuple(self._relation(u, ctes) for u in w.unions)
        for u in unions:
            same_layout(child, u, f"window {name}: UNION", names=True)
        return WindowPlan(name, partition, order, unions, _frame(name, w, order is not None))


def _refuse_source(name: str, w: s.Window, child: Node, keys: list[Col]) -> None:
    """Refuse windows over what a deployment of OpenMLDB takes no window over.

    It takes them over the request table, over that table LAST JOINed once, and over plain columns
    of these; the window's keys are the request table's. Of a join under a name it takes ``*`` alone.
    """
    node = child
    chosen = False
    while isinstance(node, (Renamed, Project)):
        if isinstance(node, Project) and not all(_is_plain(e) for e in node.exprs):
            raise WindowError(
                f"Do not support window on a subquery that computes: window {name} of a "
                f"deployment takes plain columns of the request table, so compute inside the "
                f"aggregates"
            )
        if isinstance(node, Project):
            keys = [node.exprs[k.index] for k in keys]  # type: ignore[misc]
            chosen = chosen or (isinstance(node.child, Renamed) and not node.star)
        node = node.child
    if isinstance(node, Join):
        if not isinstance(node.left, Scan) or node.left.aliased:
            raise WindowError(
                f"Fail to handler window with request last join, left isn't a table provider: "
                f"window {name} of a deployment takes the request table with one LAST JOIN at most"
            )
        if chosen:
            raise WindowError(
                f"not PhysicalRequestProviderNode: window {name} of a deployment takes no columns "
                f"of a subquery with a name over a LAST JOIN: leave its name out, or choose the "
                f"columns within it"
            )
        width = len(node.left.fields)
        for key in keys:
            if isinstance(key, Col) and key.index >= width:
                raise WindowError(
                    f"Fail to find column {key.describe()} in current schema context: window "
                    f"{name} of a deployment is keyed by columns of the request table"
                )
    elif not isinstance(node, Scan):
        raise WindowError(
            f"Do not support window on {type(node).__name__.upper()}: window {name} of a "
            f"deployment takes the request table itself, without WHERE, LIMIT or windows before it"
        )
    for ordered in w.order:
        path = ordered.expr.path if isinstance(ordered.expr, s.ColumnRef) else ()
        if len(path) > 1 and path[-2] != _table(node.left if isinstance(node, Join) else node):
            raise WindowError(
                f"Column Not found: .{'.'.join(path)}: a deployment orders window {name} by a "
                f"column's plain name"
            )


def _is_plain(e: Expr) -> bool:
    """A column, a constant, or either under casts."""
    while isinstance(e, Apply) and e.name in _CASTS:
        e = e.args[0]
    return isinstance(e, (Col, Const))


_CASTS = {t.value for t in T}


def _table(node: Node) -> str:
    return node.table if isinstance(node, Scan) else ""


def share_sizes(windows: Sequence[WindowPlan]) -> tuple[WindowPlan, ...]:
    """ROWS frames cut to the MAXSIZE of a ROWS_RANGE frame that OpenMLDB reads them along with.

    It reads the frames of one SELECT over the same keys together where it can
    (hybridse ``FrameNode::CanMergeWith``), and the MAXSIZE of one then bounds all.
    """
    out = list(windows)
    for i, w in enumerate(windows):
        if w.frame.kind != "rows":
            continue
        group = [x for x in windows if _read_together(w, x)]
        starts = [x.frame.start for x in group if x.frame.kind == "rows"]
        reach = -1 if None in starts else max(x for x in starts if x is not None)
        for other in group:
            f = other.frame
            if f.kind == "rows" or f.end > 0 or (f.maxsize is not None and f.maxsize < reach):
                continue
            if f.maxsize is not None:
                room = f.maxsize - 1
                start = room if w.frame.start is None else min(w.frame.start, room)
                out[i] = replace(w, frame=replace(w.frame, start=start))
            break
    return tuple(out)


def _read_together(a: WindowPlan, b: WindowPlan) -> bool:
    f, g = a.frame, b.frame
    return (
        (a.partition, a.order, a.unions) == (b.partition, b.order, b.unions)
        and f.exclude_current_time == g.exclude_current_time
        and f.instance_not_in_window == g.instance_not_in_window
        and f.exclude_current_row == g.exclude_current_row
        and (f.kind == g.kind or not f.exclude_current_row)
    )


def _inherited(w: s.Window, q: s.Select) -> s.Window:
    """The window a definition means: itself, or the one of the SELECT that it names."""
    seen: set[str] = set()
    while w.base is not None:
        if w.base in seen or w.base not in q.windows:
            raise WindowError(f"window {w.base} is not defined")
        seen.add(w.base)
        w = q.windows[w.base]
    return w


def _frame(name: str, w: s.Window, ordered: bool) -> WindowFrame:
    f = w.frame
    if f is None:
        raise WindowError(f"window {name} needs a frame: ROWS or ROWS_RANGE BETWEEN ...")
    kind = "rows" if f.kind == "ROWS" else "range"
    if kind == "rows":
        if f.start.has_unit or f.end.has_unit:
            raise WindowError(f"window {name}: ROWS counts rows, a time needs ROWS_RANGE")
        if f.maxsize is not None:
            raise WindowError(f"window {name}: MAXSIZE needs ROWS_RANGE")
    elif not ordered and not (f.start.offset is None and f.end.offset == 0):
        raise WindowError(
            f"window {name}: ROWS_RANGE needs ORDER BY, but from UNBOUNDED PRECEDING to CURRENT ROW"
        )
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

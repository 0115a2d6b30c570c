"""One SELECT: its items over windows, or over groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from openmldb_sql import syntax as s
from openmldb_sql.errors import PlanError, TypeCheckError
from openmldb_sql.types import SqlType

from openmldb_embedded.aggregates import AGGREGATES
from openmldb_embedded.check.expressions import Expressions
from openmldb_embedded.check.scope import Calls, Context, Ctes, Relation, expand_stars, output_field
from openmldb_embedded.check.shapes import distinct
from openmldb_embedded.check.windows import Windows, share_sizes
from openmldb_embedded.errors import UnsupportedError, WindowError
from openmldb_embedded.expr import Col, Expr, cast_to
from openmldb_embedded.plan import Aggregate, Field, Filter, Node, Project, Unit, WindowAggregate
from openmldb_embedded.rewrite import map_operands

T = SqlType


class Selects:
    """Plans the SELECTs of a query.

    Args:
        expressions: Checks items and conditions.
        windows: Plans windows.
        relation: Plans what stands after FROM.
        strict: Whether to refuse what OpenMLDB 0.9.2 refuses: groups by expressions, and in a
            deployment all groups, wherever they stand.
        request: Whether a deployment is checked.
    """

    def __init__(
        self,
        expressions: Expressions,
        windows: Windows,
        relation: Relation,
        *,
        strict: bool,
        request: bool,
    ) -> None:
        self._strict = strict
        self._online = strict and request
        self._expressions = expressions
        self._windows = windows
        self._relation = relation

    def plan(self, q: s.Select, ctes: Ctes) -> Node:
        """The checked SELECT.

        Raises:
            PlanError: What OpenMLDB refuses.
        """
        child: Node = self._relation(q.source, ctes) if q.source is not None else Unit(())
        if q.where is not None:
            context = Context(child.fields)
            where = self._expressions.condition(q.where, context, "WHERE")
            child = Filter(child.fields, child, where)
        if self._strict and len(q.items) > 1:
            _refuse_lost_star(q, ctes)
        items = list(expand_stars(q.items, child.fields))
        grouped = bool(q.group) or any(_has_plain_aggregate(i.expr) for i in items)
        if grouped or q.having is not None:
            node = self._grouped(q, items, child)
        else:
            node = self._windowed(q, items, child, ctes)
        return distinct(node) if q.distinct else node

    def _windowed(self, q: s.Select, items: list[s.SelectItem], child: Node, ctes: Ctes) -> Node:
        # As OpenMLDB does, look only at the frames of windows that nothing is computed over.
        if self._strict:
            for n, w in q.windows.items():
                if w.base is not None:
                    raise WindowError(f"frame can't be unbound: write window {n} out, not {w.base}")
        used_names = {n for item in items for n in _named_windows(item.expr)}
        for n, w in q.windows.items():
            if n not in used_names:
                self._windows.unused(n, w, q)
        named = [(n, w) for n, w in q.windows.items() if n in used_names]
        windows = [self._windows.plan(n, w, q, child, ctes) for n, w in named]
        index = {name: i for i, (name, _) in enumerate(named)}
        calls = Calls(len(child.fields))
        anonymous: dict[s.Window, int] = {}
        exprs: list[Expr] = []
        fields: list[Field] = []
        for item in items:
            for spelled in _spelled_windows(item.expr):
                if spelled not in anonymous:
                    anonymous[spelled] = len(windows)
                    name = f"anonymous_{len(anonymous)}"
                    windows.append(self._windows.plan(name, spelled, q, child, ctes))
            context = Context(
                child.fields, calls, windows=index, anonymous=anonymous, item=item.expr
            )
            e = self._expressions.expr(item.expr, context)
            if len(context.used) > 1:
                names = ", ".join(sorted(windows[i].name for i in context.used))
                raise WindowError(
                    f"an expression over more than one window ({names}): compute each in a "
                    "column of its own and combine them in an outer SELECT"
                )
            if e.type is T.NULL:
                e = cast_to(e, T.BOOL)  # an untyped NULL column is BOOL
            exprs.append(e)
            fields.append(output_field(item, e, child.fields))
        if calls.calls:
            used = sorted({c.window for c in calls.calls})
            place = {w: i for i, w in enumerate(used)}
            kept = tuple(replace(c, window=place[c.window]) for c in calls.calls)
            added = tuple(Field(c.describe(), c.impl.type) for c in kept)
            child = WindowAggregate(
                child.fields + added, child, share_sizes([windows[w] for w in used]), kept
            )
        star = len(q.items) == 1 and isinstance(q.items[0].expr, s.Star)
        return Project(tuple(fields), child, tuple(exprs), star)

    def _grouped(self, q: s.Select, items: list[s.SelectItem], child: Node) -> Node:
        if self._online:
            raise UnsupportedError(
                "Aggregate over a table cannot be supported in online serving: a deployment takes "
                "no GROUP BY, HAVING or aggregate without OVER"
            )
        if q.windows:
            raise UnsupportedError("GROUP BY or plain aggregates beside WINDOW are not supported")
        plain = Context(child.fields)
        keys = tuple(self._expressions.expr(g, plain) for g in q.group)
        for key, g in zip(keys, q.group, strict=True):
            if self._strict and not isinstance(key, Col):
                raise TypeCheckError(
                    f"Only support GROUP BY column EXPRESSION currently: {s.show(g)} is none (name "
                    f"it in a subquery)"
                )
            if key.type.is_floating or key.type is T.LIST:
                raise TypeCheckError(f"cannot group by {s.show(g)} of type {key.type.value}")
        calls = Calls(len(child.fields))
        context = Context(child.fields, calls, grouped=True)
        outputs = [self._expressions.expr(item.expr, context) for item in items]
        having: Expr | None = None
        if q.having is not None:
            having = self._expressions.condition(q.having, context, "HAVING")
        width = len(child.fields)
        mapping: dict[Expr, Expr] = {}
        for i, key in enumerate(keys):
            mapping[key] = Col(i, key.type, key.describe())

        def place(e: Expr) -> Expr:
            if e in mapping:
                return mapping[e]
            if isinstance(e, Col):
                if e.index >= width:
                    return Col(len(keys) + e.index - width, e.type, e.name)
                raise PlanError(f"column {e.name} is neither in GROUP BY nor inside an aggregate")
            return map_operands(e, place)

        fields = tuple(
            [Field(k.describe(), k.type) for k in keys]
            + [Field(c.describe(), c.impl.type) for c in calls.calls]
        )
        node: Node = Aggregate(fields, child, keys, tuple(calls.calls))
        if having is not None:
            node = Filter(fields, node, place(having))
        named = tuple(
            output_field(item, e, child.fields) for item, e in zip(items, outputs, strict=True)
        )
        return Project(named, node, tuple(place(e) for e in outputs))


def _refuse_lost_star(q: s.Select, ctes: Ctes) -> None:
    """Refuse ``x.*`` beside other items where x is the only relation and no table's own name.

    OpenMLDB leaves its columns out of the result, without a word.
    """
    source = q.source
    if isinstance(source, s.NamedTable):
        renamed = source.alias is not None or (source.db is None and source.name in ctes)
    else:
        renamed = isinstance(source, s.Subquery)
    for item in q.items:
        if renamed and isinstance(item.expr, s.Star) and item.expr.table is not None:
            raise PlanError(
                f"OpenMLDB drops {item.expr.table}.* beside other columns, where it is all there "
                f"is after FROM: write *"
            )


def _syntax_children(e: s.Expr) -> Iterator[s.Expr]:
    match e:
        case s.Unary(_, a) | s.IsNull(a, _) | s.Cast(a, _, _):
            yield a
        case s.Binary(_, a, b):
            yield from (a, b)
        case s.InList(a, items, _):
            yield from (a, *items)
        case s.Between(a, b, c, _):
            yield from (a, b, c)
        case s.Like(_, a, b, _, _):
            yield from (a, b)
        case s.Case(subject, branches, otherwise):
            if subject is not None:
                yield subject
            for t, x in branches:
                yield from (t, x)
            if otherwise is not None:
                yield otherwise
        case s.Call(_, args, _, _):
            yield from args
        case s.Array(args, _):
            yield from args
        case s.Element(a, b):
            yield from (a, b)


def _has_plain_aggregate(e: s.Expr) -> bool:
    if isinstance(e, s.Call):
        if e.over is not None:
            return False
        if e.name.lower() in AGGREGATES:
            return True
    return any(_has_plain_aggregate(x) for x in _syntax_children(e))


def _spelled_windows(e: s.Expr) -> Iterator[s.Window]:
    if isinstance(e, s.Call) and isinstance(e.over, s.Window):
        yield e.over
    for x in _syntax_children(e):
        yield from _spelled_windows(x)


def _named_windows(e: s.Expr) -> Iterator[str]:
    if isinstance(e, s.Call) and isinstance(e.over, str):
        yield e.over
    for x in _syntax_children(e):
        yield from _named_windows(x)

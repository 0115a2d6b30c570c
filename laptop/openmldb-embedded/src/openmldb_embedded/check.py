"""Syntax tree to checked plan: names, types, windows and joins, before anything runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from openmldb_sql import syntax as s
from openmldb_sql.errors import NameResolutionError, PlanError, TypeCheckError
from openmldb_sql.types import INTEGERS, Schema, SqlType

from openmldb_embedded import values as v
from openmldb_embedded.aggregates import AGGREGATES, NOT_CONSTANT, AggregateImpl, resolve_aggregate
from openmldb_embedded.aggregates.lists import LIST_AGGREGATES, join_fold
from openmldb_embedded.errors import ExecutionError, UnsupportedError, WindowError
from openmldb_embedded.expr import (
    Apply,
    CaseWhen,
    Col,
    Const,
    Expr,
    Impl,
    Logic,
    cast_impl,
    cast_to,
)
from openmldb_embedded.functions import SCALARS, resolve_scalar
from openmldb_embedded.functions.arithmetic import arithmetic, bitwise, invert, negate
from openmldb_embedded.functions.comparison import (
    comparison,
    comparison_type,
    is_null,
    logical_not,
    logical_xor,
)
from openmldb_embedded.functions.patterns import like
from openmldb_embedded.plan import (
    Aggregate,
    AggregateCall,
    Field,
    Filter,
    Join,
    Limit,
    Node,
    Project,
    Renamed,
    Scan,
    Union,
    Unit,
    WindowAggregate,
    WindowFrame,
    WindowPlan,
)

T = SqlType
MAX_NODES = 2000
"""Relations a plan may have: CTEs named many times over would otherwise grow without bound."""


class Catalog(Protocol):
    """Where tables are looked up."""

    def table_schema(self, db: str, name: str) -> Schema:
        """The table's schema; NotFound where there is none."""
        ...


def plan_query(
    tree: s.Query,
    catalog: Catalog,
    default_db: str,
    params: Sequence[Any] = (),
    *,
    request: bool = False,
) -> Node:
    """The checked plan of a SELECT.

    ``request`` applies the stricter rules of deployments: window keys and order columns must be
    of types an index can have.

    Raises:
        PlanError: A name, type, window or join that OpenMLDB refuses.
        NotFound: An unknown database or table.
    """
    if tree.parameters and len(params) != tree.parameters:
        raise PlanError(f"{tree.parameters} parameters in the statement, {len(params)} given")
    node = _Planner(catalog, default_db, params, request).query(tree, {})
    for f in node.fields:
        if f.type is T.LIST:
            raise TypeCheckError(f"column {f.name} is a list: pass it to join() or an aggregate")
    return node


@dataclass
class _Calls:
    """The aggregate calls that the expressions of one SELECT need."""

    width: int
    calls: list[AggregateCall] = field(default_factory=list)

    def add(self, call: AggregateCall) -> Col:
        for i, known in enumerate(self.calls):
            if known == call:
                return Col(self.width + i, call.impl.type, call.describe())
        self.calls.append(call)
        return Col(self.width + len(self.calls) - 1, call.impl.type, call.describe())


@dataclass
class _Context:
    """Where an expression stands.

    Attributes:
        fields: What column names mean.
        calls: Collects aggregates; None where there can be none.
        over: The window that aggregates without OVER belong to.
        in_frame: Inside an aggregate's argument, evaluated for each row of the frame.
        grouped: Aggregates without OVER belong to the GROUP BY.
        windows: Index of each window by name.
        used: The windows this select item uses.
    """

    fields: tuple[Field, ...]
    calls: _Calls | None = None
    over: int | None = None
    in_frame: bool = False
    grouped: bool = False
    windows: dict[str, int] = field(default_factory=dict)
    anonymous: dict[s.Window, int] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)


class _Planner:
    def __init__(self, catalog: Catalog, db: str, params: Sequence[Any], request: bool) -> None:
        self.request = request
        self.catalog = catalog
        self.db = db
        self.params = params
        self.nodes = 0

    # -- relations

    def query(self, q: s.Query, ctes: dict[str, tuple[s.Query, dict[str, Any]]]) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise PlanError(f"the statement grows to more than {MAX_NODES} relations")
        scope = dict(ctes)
        for name, inner in q.ctes:
            scope[name] = (inner, dict(scope))
        parts = [
            self.select(p, scope) if isinstance(p, s.Select) else self.query(p, scope)
            for p in q.selects
        ]
        node = parts[0] if len(parts) == 1 else self.union(parts)
        if q.union_distinct:
            node = distinct(node)
        if q.order:
            raise UnsupportedError(
                "ORDER BY of a result is not supported (it is not in OpenMLDB): order the rows "
                "where you read them"
            )
        if q.limit is not None:
            node = Limit(node.fields, node, q.limit)
        return node

    def union(self, parts: list[Node]) -> Node:
        first = parts[0]
        for p in parts[1:]:
            _same_layout(first, p, "UNION", names=False)
        return Union(first.fields, tuple(parts))

    def table(self, ref: s.TableRef, ctes: dict[str, Any]) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise PlanError(f"the statement grows to more than {MAX_NODES} relations")
        match ref:
            case s.NamedTable(db, name, alias):
                if db is None and name in ctes:
                    inner, scope = ctes[name]
                    node = self.query(inner, scope)
                    return _renamed(node, alias or name)
                at = db or self.db
                if not at:
                    raise PlanError(f"table {name}: no database chosen, write db.{name} or USE db")
                schema = self.catalog.table_schema(at, name)
                tables = (alias,) if alias else (name, f"{at}.{name}")
                fields = tuple(Field(c.name, c.type, tables) for c in schema.columns)
                return Scan(fields, at, name, schema)
            case s.Subquery(query, alias):
                node = self.query(query, ctes)
                return _renamed(node, alias) if alias else node
            case s.Join():
                return self.join(ref, ctes)
        raise AssertionError(ref)

    def join(self, ref: s.Join, ctes: dict[str, Any]) -> Node:
        if ref.kind not in ("LAST", "LEFT"):
            raise UnsupportedError(
                f"{ref.kind} JOIN is not supported: OpenMLDB has LAST JOIN and LEFT JOIN"
            )
        left, right = self.table(ref.left, ctes), self.table(ref.right, ctes)
        fields = left.fields + right.fields
        if ref.condition is None:
            raise PlanError(f"{ref.kind} JOIN needs a condition: add ON ...")
        context = _Context(fields)
        width = len(left.fields)
        pairs: list[tuple[Expr, Expr]] = []
        rest: list[Expr] = []
        for term in _conjuncts(ref.condition):
            pair = self.equality(term, context, width)
            if pair is not None:
                pairs.append(pair)
            else:
                rest.append(self.condition(term, context, "ON"))
        residual: Expr | None = None
        for r in rest:
            residual = r if residual is None else Logic("AND", residual, r)
        order: Expr | None = None
        descending = False
        if ref.order:
            if ref.kind != "LAST":
                raise PlanError("ORDER BY belongs to LAST JOIN only")
            if len(ref.order) > 1:
                raise WindowError("LAST JOIN takes one ORDER BY column")
            key = ref.order[0]
            order = self.expr(key.expr, _Context(right.fields))
            descending = key.descending
            if not isinstance(order, Col):
                raise WindowError("LAST JOIN's ORDER BY must be a column of the joined table")
            if order.type not in (T.INT32, T.INT64, T.TIMESTAMP):
                raise TypeCheckError(
                    f"LAST JOIN cannot order by {order.name} of type {order.type.value}: "
                    "TIMESTAMP, BIGINT or INT"
                )
        elif ref.kind == "LAST":
            order = _index_order(right, [b for _, b in pairs])
        return Join(fields, ref.kind, left, right, tuple(pairs), residual, order, descending)

    def equality(self, term: s.Expr, context: _Context, width: int) -> tuple[Expr, Expr] | None:
        if not (isinstance(term, s.Binary) and term.op == "="):
            return None
        a, b = self.expr(term.left, context), self.expr(term.right, context)
        sides = [_sides(a, width), _sides(b, width)]
        if sides[0] <= {"R"} and sides[1] <= {"L"}:
            a, b, sides = b, a, sides[::-1]
        if not (sides[0] <= {"L"} and sides[1] == {"R"}):
            return None
        type_ = self.compared(a, b, "=")
        return cast_to(a, type_), cast_to(_shift(b, width), type_)

    # -- one SELECT

    def select(self, q: s.Select, ctes: dict[str, Any]) -> Node:
        child: Node = self.table(q.source, ctes) if q.source is not None else Unit(())
        if q.where is not None:
            context = _Context(child.fields)
            child = Filter(child.fields, child, self.condition(q.where, context, "WHERE"))
        items = list(_expand(q.items, child.fields))
        grouped = bool(q.group) or any(_has_plain_aggregate(i.expr) for i in items)
        if grouped or q.having is not None:
            node = self.grouped(q, items, child)
        else:
            node = self.windowed(q, items, child, ctes)
        return distinct(node) if q.distinct else node

    def windowed(
        self, q: s.Select, items: list[s.SelectItem], child: Node, ctes: dict[str, Any]
    ) -> Node:
        windows = [self.window(n, self.inherit(w, q), child, ctes) for n, w in q.windows.items()]
        index = {name: i for i, name in enumerate(q.windows)}
        calls = _Calls(len(child.fields))
        anonymous: dict[s.Window, int] = {}
        exprs: list[Expr] = []
        fields: list[Field] = []
        for item in items:
            for spelled in _spelled_windows(item.expr):
                if spelled not in anonymous:
                    anonymous[spelled] = len(windows)
                    name = f"anonymous_{len(anonymous)}"
                    windows.append(self.window(name, self.inherit(spelled, q), child, ctes))
            context = _Context(child.fields, calls, windows=index, anonymous=anonymous)
            e = self.expr(item.expr, context)
            if len(context.used) > 1:
                names = ", ".join(sorted(windows[i].name for i in context.used))
                raise WindowError(
                    f"an expression over more than one window ({names}): compute each in a "
                    "column of its own and combine them in an outer SELECT"
                )
            if e.type is T.NULL:
                e = cast_to(e, T.BOOL)  # an untyped NULL column is BOOL
            exprs.append(e)
            fields.append(_output(item, e, child.fields))
        if calls.calls:
            used = sorted({c.window for c in calls.calls})
            place = {w: i for i, w in enumerate(used)}
            kept = tuple(replace(c, window=place[c.window]) for c in calls.calls)
            added = tuple(Field(c.describe(), c.impl.type) for c in kept)
            child = WindowAggregate(
                child.fields + added, child, tuple(windows[w] for w in used), kept
            )
        return Project(tuple(fields), child, tuple(exprs))

    def grouped(self, q: s.Select, items: list[s.SelectItem], child: Node) -> Node:
        if q.windows:
            raise UnsupportedError("GROUP BY or plain aggregates beside WINDOW are not supported")
        plain = _Context(child.fields)
        keys = tuple(self.expr(g, plain) for g in q.group)
        for key, g in zip(keys, q.group, strict=True):
            if key.type.is_floating or key.type is T.LIST:
                raise TypeCheckError(f"cannot group by {s.show(g)} of type {key.type.value}")
        calls = _Calls(len(child.fields))
        context = _Context(child.fields, calls, grouped=True)
        outputs = [self.expr(item.expr, context) for item in items]
        having = self.condition(q.having, context, "HAVING") if q.having is not None else None
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
            return _rebuild(e, place)

        fields = tuple(
            [Field(k.describe(), k.type) for k in keys]
            + [Field(c.describe(), c.impl.type) for c in calls.calls]
        )
        node: Node = Aggregate(fields, child, keys, tuple(calls.calls))
        if having is not None:
            node = Filter(fields, node, place(having))
        named = tuple(
            _output(item, e, child.fields) for item, e in zip(items, outputs, strict=True)
        )
        return Project(named, node, tuple(place(e) for e in outputs))

    # -- windows

    def inherit(self, w: s.Window, q: s.Select) -> s.Window:
        seen: set[str] = set()
        while w.base is not None:
            if w.base in seen or w.base not in q.windows:
                raise WindowError(f"window {w.base} is not defined")
            seen.add(w.base)
            w = q.windows[w.base]
        return w

    def window(self, name: str, w: s.Window, child: Node, ctes: dict[str, Any]) -> WindowPlan:
        context = _Context(child.fields)
        if not w.partition:
            raise WindowError(f"window {name} needs PARTITION BY")
        partition = tuple(self.expr(e, context) for e in w.partition)
        for e in partition:
            if not isinstance(e, Col):
                raise WindowError(f"window {name}: PARTITION BY takes columns, not {e.describe()}")
            if e.type is T.LIST or (e.type.is_floating and self.request):
                raise WindowError(
                    f"window {name} cannot partition by {e.describe()} of type {e.type.value}"
                )
        order: Expr | None = None
        if len(w.order) > 1:
            raise WindowError(f"window {name} takes one ORDER BY column")
        if w.order:
            if w.order[0].descending:
                raise WindowError(f"window {name}: ORDER BY ... DESC is not supported")
            order = self.expr(w.order[0].expr, context)
            if not isinstance(order, Col):
                raise WindowError(f"window {name}: ORDER BY takes a column")
            allowed = (T.TIMESTAMP, T.INT64) if self.request else (T.TIMESTAMP, *INTEGERS)
            if order.type not in allowed:
                raise WindowError(
                    f"window {name} cannot order by {order.describe()} of type "
                    f"{order.type.value}: TIMESTAMP or BIGINT"
                )
        unions = tuple(self.table(u, ctes) for u in w.unions)
        for u in unions:
            _same_layout(child, u, f"window {name}: UNION", names=True)
        return WindowPlan(name, partition, order, unions, _frame(name, w, order))

    # -- expressions

    def condition(self, e: s.Expr, context: _Context, where: str) -> Expr:
        return _boolean(self.expr(e, context), where)

    def expr(self, e: s.Expr, c: _Context) -> Expr:
        match e:
            case s.Literal(value, type_):
                if type_ is T.INT64 and not -(2**63) <= value < 2**63:
                    raise PlanError(f"integer {value} does not fit 64 bits")
                return Const(v.to_float32(value) if type_ is T.FLOAT else value, type_)
            case s.Parameter(position):
                return _parameter(self.params[position])
            case _Place(path):
                at = int(path[0])
                return Col(at, c.fields[at].type, path[1])
            case s.ColumnRef(path):
                return _column(path, c)
            case s.Star():
                raise PlanError("* stands alone in a select list or in count(*)")
            case s.Unary(op, operand):
                return self.unary(op, self.expr(operand, c))
            case s.Binary(op, left, right):
                return self.binary(op, self.expr(left, c), self.expr(right, c))
            case s.IsNull(operand, negated):
                return Apply("is null", is_null(negated), (self.expr(operand, c),))
            case s.InList(operand, items, negated):
                found = self.in_list(self.expr(operand, c), [self.expr(i, c) for i in items])
                return self.unary("NOT", found) if negated else found
            case s.Between(operand, low, high, negated):
                x = self.expr(operand, c)
                found = Logic(
                    "AND",
                    self.binary(">=", x, self.expr(low, c)),
                    self.binary("<=", x, self.expr(high, c)),
                )
                return self.unary("NOT", found) if negated else found
            case s.Like():
                return self.like(e, c)
            case s.Case(subject, branches, otherwise):
                return self.case(subject, branches, otherwise, c)
            case s.Cast(operand, type_, _):
                return self.cast(self.expr(operand, c), type_)
            case s.Call():
                return self.call(e, c)
        raise AssertionError(e)

    def cast(self, x: Expr, type_: SqlType) -> Expr:
        if cast_impl(x.type, type_) is None:
            raise TypeCheckError(f"cannot cast {x.type.value} to {type_.value}: {x.describe()}")
        return cast_to(x, type_)

    def unary(self, op: str, x: Expr) -> Expr:
        if op == "NOT":
            return Apply("not", logical_not(), (_boolean(x, "NOT"),))
        impl = negate(x.type) if op == "-" else invert(x.type)
        if impl is None:
            raise TypeCheckError(f"Invalid unary operand: {op} {x.type.value}")
        return Apply(op, impl, (x,))

    def binary(self, op: str, a: Expr, b: Expr) -> Expr:
        if op in ("AND", "OR"):
            return Logic(op, _boolean(a, op), _boolean(b, op))
        if op == "XOR":
            return Apply("xor", logical_xor(), (_boolean(a, op), _boolean(b, op)))
        if op in ("=", "!=", "<", "<=", ">", ">="):
            type_ = self.compared(a, b, op)
            impl = comparison(op, type_)
            return Apply(op, impl, (cast_to(a, type_), cast_to(b, type_)))
        if op == "||":
            return Apply("concat", resolve_scalar("concat", (a.type, b.type)), (a, b))
        found = bitwise(op, a.type, b.type)
        if found is None:
            found = arithmetic(op, a.type, b.type)
        if found is None:
            raise TypeCheckError(
                f"Invalid operands: {a.type.value} {op} {b.type.value} in "
                f"{a.describe()} {op} {b.describe()}"
            )
        if T.NULL in (a.type, b.type):
            return Const(None, found.type)
        return Apply(op, found, (a, b))

    def compared(self, a: Expr, b: Expr, op: str) -> SqlType:
        type_ = comparison_type(a.type, b.type)
        if type_ is None:
            raise TypeCheckError(
                f"Invalid comparison: {a.type.value} {op} {b.type.value} in "
                f"{a.describe()} {op} {b.describe()}"
            )
        return type_

    def in_list(self, x: Expr, items: list[Expr]) -> Expr:
        types = {self.compared(x, i, "IN") for i in items if i.type is not T.NULL}
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
        terms = [self.binary("=", x, i) for i in items]
        while len(terms) > 1:
            paired: list[Expr] = [
                Logic("OR", a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)
            ]
            terms = paired + terms[len(paired) * 2 :]
        return terms[0]

    def like(self, e: s.Like, c: _Context) -> Expr:
        operand, pattern = self.expr(e.operand, c), self.expr(e.pattern, c)
        for side in (operand, pattern):
            if side.type not in (T.STRING, T.NULL):
                raise TypeCheckError(f"{e.op} takes text, not {side.type.value}")
        escape: str | None = None
        if e.escape is not None:
            literal = self.expr(e.escape, c)
            if not (isinstance(literal, Const) and isinstance(literal.value, str)):
                raise TypeCheckError("ESCAPE takes a constant text")
            escape = literal.value
            if len(escape) > 1:
                raise TypeCheckError(f"ESCAPE {escape!r}: one character or none")
        if T.NULL in (operand.type, pattern.type):
            return Const(None, T.BOOL)
        found = Apply(e.op.lower(), like(e.op, escape), (operand, pattern))
        return self.unary("NOT", found) if e.negated else found

    def case(
        self,
        subject: s.Expr | None,
        branches: Sequence[tuple[s.Expr, s.Expr]],
        otherwise: s.Expr | None,
        c: _Context,
    ) -> Expr:
        tested = None if subject is None else self.expr(subject, c)
        pairs: list[tuple[Expr, Expr]] = []
        for condition, value in branches:
            test = self.expr(condition, c)
            if tested is not None:
                test = self.binary("=", tested, test)
            pairs.append((_boolean(test, "CASE WHEN"), self.expr(value, c)))
        default = self.expr(otherwise, c) if otherwise is not None else Const(None, T.NULL)
        type_: SqlType | None = default.type
        for _, result in pairs:
            type_ = v.common(type_, result.type) if type_ is not None else None
        if type_ is None:
            types = ", ".join(x.type.value for x in [*(b for _, b in pairs), default])
            raise TypeCheckError(f"CASE branches of types that do not fit: {types}")
        return CaseWhen(
            tuple((t, cast_to(x, type_)) for t, x in pairs), cast_to(default, type_), type_
        )

    # -- calls

    def call(self, e: s.Call, c: _Context) -> Expr:
        name = e.name.lower()
        if e.over is not None:
            return self.over(e, c)
        if name in AGGREGATES or (name in ("join", "fz_join") and _joins_window(e)):
            if c.over is None and not c.grouped:
                raise PlanError(f"aggregate {e.name} needs OVER a window or GROUP BY")
            return self.aggregate(e, c)
        if name in LIST_AGGREGATES:
            raise PlanError(f"{e.name} is only an argument of join() or another aggregate")
        return self.scalar(e, c)

    def scalar(self, e: s.Call, c: _Context) -> Expr:
        name = e.name.lower()
        if name not in SCALARS:
            raise NameResolutionError(f"function {e.name} is not known")
        if e.distinct:
            raise UnsupportedError(f"{e.name}(DISTINCT ...) is not supported")
        args = tuple(self.expr(a, c) for a in e.args)
        return Apply(name, resolve_scalar(name, [a.type for a in args]), args)

    def over(self, e: s.Call, c: _Context) -> Expr:
        if c.calls is None or c.grouped:
            raise PlanError(f"{e.name} OVER ...: windows belong in the select list")
        if isinstance(e.over, str):
            if e.over not in c.windows:
                raise WindowError(f"window {e.over} is not defined")
            window = c.windows[e.over]
        else:
            assert e.over is not None
            window = c.anonymous[e.over]
        if c.over is not None and c.over != window:
            raise WindowError("a window function over one window inside another's")
        inner = replace(c, over=window)
        inner.used = c.used
        c.used.add(window)
        name = e.name.lower()
        if name in AGGREGATES or (name in ("join", "fz_join") and _joins_window(e)):
            return self.aggregate(e, inner, direct=not c.in_frame and c.over is None)
        return self.scalar(replace(e, over=None), inner)

    def aggregate(self, e: s.Call, c: _Context, direct: bool = False) -> Expr:
        assert c.calls is not None
        if e.distinct:
            raise UnsupportedError(f"{e.name}(DISTINCT ...): write distinct_count(...)")
        window = -1 if c.over is None else c.over
        if c.grouped and c.in_frame:
            raise PlanError(f"aggregate {e.name} inside another aggregate")
        frame = replace(c, in_frame=True)
        frame.used = c.used
        name = e.name.lower()
        args = list(e.args)
        expand: Impl | None = None
        first: list[Expr] = []
        if args and isinstance(args[0], s.Call) and args[0].name.lower() in LIST_AGGREGATES:
            inner = args[0]
            texts = tuple(self.expr(a, frame) for a in inner.args)
            splitter = LIST_AGGREGATES[inner.name.lower()]
            expand = resolve_scalar(splitter, [t.type for t in texts])
            first = list(texts)
            types: list[SqlType] = [T.LIST]
            constants: list[Any] = [NOT_CONSTANT]
        elif args and isinstance(args[0], s.Star) and name in ("count", "count_where"):
            types, constants, first = [T.INT32], [NOT_CONSTANT], [Const(1, T.INT32)]
        elif args:
            value = self.expr(args[0], frame)
            types, constants, first = [value.type], [_constant(value)], [value]
        else:
            types, constants = [], []
        rest = [self.expr(a, frame) for a in args[1:]]
        types += [r.type for r in rest]
        constants += [_constant(r) for r in rest]
        if name in ("join", "fz_join"):
            if len(rest) != 1 or not isinstance(constants[1], str):
                raise TypeCheckError("join(window_split(...), separator) takes a constant text")
            impl = AggregateImpl(T.STRING, join_fold(constants[1]))
        else:
            impl = resolve_aggregate(name, types, constants)
        if types and types[0] is T.LIST and expand is None:
            raise TypeCheckError(f"{e.name} takes values of a window, not one row's list")
        if expand is not None and impl.arguments > 1:
            raise UnsupportedError(f"{e.name} of a split list with more row-by-row arguments")
        arguments = tuple(first + rest[: impl.arguments - 1])
        width = len(c.fields)
        correlated = any(
            isinstance(x, Col) and x.index >= width for a in arguments for x in _leaves(a)
        )
        shown = ", ".join(s.show(a) for a in args)
        call = AggregateCall(
            f"{name}[{shown}]" if expand is not None else name,
            window,
            impl,
            arguments,
            correlated,
            expand,
            beyond_frame=direct and impl.offset is not None,
        )
        return c.calls.add(call)


# -- helpers


def distinct(node: Node) -> Node:
    """The node's rows without repetition."""
    keys = tuple(Col(i, f.type, f.name) for i, f in enumerate(node.fields))
    return Aggregate(node.fields, node, keys, ())


def _renamed(node: Node, alias: str) -> Node:
    fields = tuple(Field(f.name, f.type, (alias,)) for f in node.fields)
    if isinstance(node, Scan):
        return replace(node, fields=fields)
    return Renamed(fields, node)


def _same_layout(first: Node, other: Node, what: str, *, names: bool) -> None:
    if len(first.fields) != len(other.fields):
        raise WindowError(f"{what} of {len(first.fields)} columns with {len(other.fields)} columns")
    for i, (a, b) in enumerate(zip(first.fields, other.fields, strict=True)):
        if a.type is not b.type and T.NULL not in (a.type, b.type):
            raise WindowError(
                f"{what}: column {i + 1} is {a.name} {a.type.value} on one side and "
                f"{b.name} {b.type.value} on the other"
            )
        if names and a.name != b.name:
            raise WindowError(
                f"{what}: column {i + 1} is named {a.name} on one side and {b.name} on the other"
            )


def _index_order(right: Node, keys: list[Expr]) -> Expr | None:
    """What orders a LAST JOIN that names no order: the time of the table's index on the join key.

    The online engine finds the rows by that index and takes its newest; without one, the row
    inserted last is taken.
    """
    while isinstance(right, (Renamed, Filter)):
        right = right.child
    if not isinstance(right, Scan):
        return None
    names = {right.declared.columns[k.index].name for k in keys if isinstance(k, Col)}
    for index in right.declared.indexes:
        if index.ts is not None and names == set(index.keys) and len(names) == len(keys):
            at = right.declared.position(index.ts)
            return Col(at, right.declared.columns[at].type, index.ts)
    return None


def _conjuncts(e: s.Expr) -> Iterator[s.Expr]:
    if isinstance(e, s.Binary) and e.op == "AND":
        yield from _conjuncts(e.left)
        yield from _conjuncts(e.right)
    else:
        yield e


def _leaves(e: Expr) -> Iterator[Expr]:
    children = e.children()
    if not children:
        yield e
    for child in children:
        yield from _leaves(child)


def _sides(e: Expr, width: int) -> set[str]:
    return {("L" if x.index < width else "R") for x in _leaves(e) if isinstance(x, Col)}


def _rebuild(e: Expr, change: Callable[[Expr], Expr]) -> Expr:
    if isinstance(e, Apply):
        return Apply(e.name, e.impl, tuple(change(a) for a in e.args))
    if isinstance(e, CaseWhen):
        branches = tuple((change(t), change(x)) for t, x in e.branches)
        return CaseWhen(branches, change(e.otherwise), e.type)
    if isinstance(e, Logic):
        return Logic(e.op, change(e.left), change(e.right))
    return e


def _shift(e: Expr, by: int) -> Expr:
    """The expression over columns that start ``by`` places earlier."""

    def change(x: Expr) -> Expr:
        return Col(x.index - by, x.type, x.name) if isinstance(x, Col) else _rebuild(x, change)

    return change(e)


def _boolean(e: Expr, where: str) -> Expr:
    if e.type is T.BOOL:
        return e
    if e.type is T.NULL:
        return Const(None, T.BOOL)
    if e.type.is_numeric or e.type in (T.TIMESTAMP, T.STRING):
        return cast_to(e, T.BOOL)
    raise TypeCheckError(f"{where} takes a condition, not {e.type.value}: {e.describe()}")


def _constant(e: Expr) -> Any:
    return e.value if isinstance(e, Const) else NOT_CONSTANT


def _column(path: tuple[str, ...], c: _Context) -> Expr:
    name = path[-1]
    qualifier = ".".join(path[:-1])
    found = [
        i
        for i, f in enumerate(c.fields)
        if f.name == name and (not qualifier or qualifier in f.tables)
    ]
    shown = ".".join(path)
    if not found:
        if qualifier and not any(qualifier in f.tables for f in c.fields):
            raise NameResolutionError(f"Fail to find column {shown}: no table {qualifier} here")
        known = ", ".join(dict.fromkeys(f.name for f in c.fields))
        raise NameResolutionError(f"Fail to find column {shown}; columns here: {known}")
    if len(found) > 1:
        raise NameResolutionError(f"column {shown} is ambiguous: {len(found)} columns have it")
    at = found[0]
    return Col(at, c.fields[at].type, name)


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


def _expand(items: Sequence[s.SelectItem], fields: tuple[Field, ...]) -> Iterator[s.SelectItem]:
    for item in items:
        if not isinstance(item.expr, s.Star):
            yield item
            continue
        table = item.expr.table
        matching = [f for f in fields if table is None or table in f.tables]
        if not matching:
            where = f"table {table}" if table else "FROM"
            raise NameResolutionError(f"* has no columns to stand for: {where} is missing")
        for i, f in enumerate(fields):
            if table is None or table in f.tables:
                yield s.SelectItem(_Place((str(i), f.name)), f.name)


@dataclass(frozen=True, slots=True)
class _Place(s.ColumnRef):
    """A column by its place (path[0]), as ``*`` means it whatever its name."""


def _output(item: s.SelectItem, e: Expr, fields: tuple[Field, ...]) -> Field:
    tables: tuple[str, ...] = ()
    name = item.alias
    if isinstance(e, Col) and e.index < len(fields):
        if name is None or name == fields[e.index].name:
            tables = fields[e.index].tables
        if name is None:
            name = fields[e.index].name
    return Field(name if name is not None else s.show(item.expr), e.type, tables)


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


def _joins_window(e: s.Call) -> bool:
    return bool(
        e.args and isinstance(e.args[0], s.Call) and e.args[0].name.lower() in LIST_AGGREGATES
    )


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

"""Function calls: scalar functions, and aggregates over a window or a group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from openmldb_sql import syntax as s
from openmldb_sql.errors import CODEGEN, PlanError, TypeCheckError
from openmldb_sql.types import SqlType

from openmldb_embedded.aggregates import AGGREGATES, NOT_CONSTANT, AggregateImpl, resolve_aggregate
from openmldb_embedded.aggregates.folds import zero_value
from openmldb_embedded.aggregates.lists import LIST_AGGREGATES, join_fold
from openmldb_embedded.check.scope import Context
from openmldb_embedded.errors import UnsupportedError, WindowError
from openmldb_embedded.expr import Apply, Col, Const, Expr, Impl
from openmldb_embedded.functions import SCALARS, resolve_scalar
from openmldb_embedded.plan import AggregateCall
from openmldb_embedded.rewrite import columns_read, map_operands
from openmldb_embedded.values import COMPOSITE

T = SqlType


class FunctionCalls:
    """Checks calls.

    Args:
        expr: Checks an argument.
        strict: Whether to refuse functions that OpenMLDB 0.9.2 lacks.
    """

    def __init__(self, expr: Callable[[s.Expr, Context], Expr], *, strict: bool) -> None:
        self._expr = expr
        self._strict = strict

    def call(self, e: s.Call, c: Context) -> Expr:
        """A checked call.

        Raises:
            PlanError: An unknown function, or one that cannot stand there or take that.
        """
        name = e.name.lower()
        if e.over is not None:
            return self._over(e, c)
        if name in AGGREGATES or (name in ("join", "fz_join") and _joins_window(e)):
            if c.over is None and not c.grouped:
                raise PlanError(f"aggregate {e.name} needs OVER a window or GROUP BY")
            return self._aggregate(e, c)
        if name in LIST_AGGREGATES:
            raise PlanError(f"{e.name} is only an argument of join() or another aggregate")
        return self._scalar(e, c)

    def _scalar(self, e: s.Call, c: Context) -> Expr:
        name = e.name.lower()
        if name not in SCALARS:
            raise PlanError(f"Fail to resolve expression: function {e.name} is not known")
        if e.distinct:
            raise UnsupportedError(f"{e.name}(DISTINCT ...) is not supported")
        entry = SCALARS[name]
        if self._strict and name.startswith("fz_"):
            raise PlanError(_removed(e.name))
        if self._strict and entry.instead is not None:
            raise PlanError(
                f"Fail to resolve expression: OpenMLDB 0.9.2 has no function {e.name}: write "
                f"{entry.instead}"
            )
        args = tuple(self._expr(a, c) for a in e.args)
        if entry.build is not None:
            made = entry.build(args)
            if made is None:
                given = ", ".join(a.type.value for a in args)
                raise TypeCheckError(
                    f"Fail to resolve expression: no function {e.name}({given}); it takes "
                    f"{entry.signature}",
                    1000,
                )
            return made
        if self._strict and name in ("concat", "concat_ws"):
            self._refuse_null_text(e, args, c)
        return Apply(name, resolve_scalar(name, [a.type for a in args], strict=self._strict), args)

    def _refuse_null_text(self, e: s.Call, args: tuple[Expr, ...], c: Context) -> None:
        """Refuse what OpenMLDB's compiler knows to be NULL and cannot make a text of."""
        first = 1 if e.name.lower() == "concat_ws" else 0  # the separator is cast otherwise
        for written, arg in list(zip(e.args, args, strict=True))[first:]:
            if (arg.type.is_numeric or arg.type is T.BOOL) and self._is_null(written, c):
                raise TypeCheckError(
                    f"Fail to cast string: src or dist is null: {e.name} of {s.show(written)}, "
                    f"which is always NULL (OpenMLDB takes CAST(NULL AS string))",
                    CODEGEN,
                )

    def _is_null(self, e: s.Expr, c: Context) -> bool:
        """Whether OpenMLDB's code generator sees a number or BOOL to be NULL in any row."""
        match e:
            case s.Literal(value, _):
                return value is None
            case s.Cast(operand, type_, _):
                if not (type_.is_numeric or type_ is T.BOOL):
                    return False
                return self._is_null(operand, c) or self._expr(operand, c).type is T.DATE
            case s.Unary(op, operand):
                return op != "NOT" and self._is_null(operand, c)
            case s.Binary(op, left, right):
                return op not in ("AND", "OR", "XOR", "/", "%", "DIV") and (
                    self._is_null(left, c) or self._is_null(right, c)
                )
        return False

    def _over(self, e: s.Call, c: Context) -> Expr:
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
            return self._aggregate(e, inner, direct=e is c.item)
        return self._scalar(replace(e, over=None), inner)

    def _aggregate(self, e: s.Call, c: Context, direct: bool = False) -> Expr:
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
        if self._strict:
            for used in (e, *(a for a in args[:1] if isinstance(a, s.Call))):
                if used.name.lower().startswith("fz_"):
                    raise PlanError(_removed(used.name))
        expand: Impl | None = None
        first: list[Expr] = []
        if args and isinstance(args[0], s.Call) and args[0].name.lower() in LIST_AGGREGATES:
            inner = args[0]
            texts = tuple(self._expr(a, frame) for a in inner.args)
            splitter = LIST_AGGREGATES[inner.name.lower()]
            expand = resolve_scalar(splitter, [t.type for t in texts], strict=self._strict)
            first = list(texts)
            types: list[SqlType] = [T.STRING]
            constants: list[Any] = [NOT_CONSTANT]
        elif args and isinstance(args[0], s.Star) and name in ("count", "count_where"):
            types, constants, first = [T.INT32], [NOT_CONSTANT], [Const(1, T.INT32)]
        elif args:
            value = self._expr(args[0], frame)
            types, constants, first = [value.type], [_constant(value)], [value]
        else:
            types, constants = [], []
        rest = [self._expr(a, frame) for a in args[1:]]
        types += [r.type for r in rest]
        constants += [
            _constant(r) if isinstance(a, s.Literal) or not self._strict else NOT_CONSTANT
            for a, r in zip(args[1:], rest, strict=True)
        ]
        if name in ("join", "fz_join"):
            if len(rest) != 1 or not isinstance(constants[1], str):
                raise TypeCheckError("join(window_split(...), separator) takes a constant text")
            impl = AggregateImpl(T.STRING, join_fold(constants[1]))
        else:
            impl = resolve_aggregate(name, types, constants)
        if any(t in COMPOSITE for t in types):
            raise TypeCheckError(f"{e.name} takes values of a window, not one row's list")
        listed = args[0].args if expand is not None and isinstance(args[0], s.Call) else ()
        if self._strict and args and all(isinstance(a, s.Literal) for a in listed or args):
            raise TypeCheckError(
                f"Resolve udf signature failure: {e.name}({s.show(args[0])}): OpenMLDB aggregates "
                f"columns, not a constant (count(*) counts rows)",
                CODEGEN,
            )
        if self._strict and c.over is None and name in _BY_PLACE:
            raise PlanError(
                f"Can not gen agg project in row project node: {s.show(e)} needs OVER a window, "
                f"for a group has no order"
            )
        if self._strict and name in _BY_PLACE and expand is None and not _is_column(args):
            raise TypeCheckError(
                f"Can not lift child at 0 to list for {s.show(e)}: OpenMLDB takes columns "
                f"only (compute the column in a subquery)",
                CODEGEN,
            )
        if name == "distinct_count" and not isinstance(first[0], Col):
            first = [_zeroed(first[0])]
        if expand is not None and impl.arguments > 1:
            raise UnsupportedError(f"{e.name} of a split list with more row-by-row arguments")
        arguments = tuple(first + rest[: impl.arguments - 1])
        width = len(c.fields)
        correlated = any(i >= width for a in arguments for i in columns_read(a))
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


def _removed(name: str) -> str:
    return (
        f"Fail to resolve expression: OpenMLDB removed {name} in 2023: write "
        f"{name[3:] if name != 'fz_join' else '`join`'}"
    )


def _is_column(args: list[s.Expr]) -> bool:
    return bool(args) and isinstance(args[0], s.ColumnRef)


_BY_PLACE = {"first_value", "last_value", "lag", "at"}
"""Aggregates of rows by their place, which a group's rows have none of."""

_RAW = {"+", "-", "*", "hour", "minute", "second"}


def _zeroed(e: Expr) -> Expr:
    """What distinct_count sees: a NULL computes as zero does in arithmetic and on the clock."""
    if not isinstance(e, Apply) or e.name not in _RAW:
        return e
    return map_operands(e, _zero_filled)


def _zero_filled(e: Expr) -> Expr:
    if isinstance(e, Col):
        zero = Const(zero_value(e.type), e.type)
        return Apply("ifnull", resolve_scalar("ifnull", (e.type, e.type)), (e, zero))
    return _zeroed(e)


def _joins_window(e: s.Call) -> bool:
    return bool(
        e.args and isinstance(e.args[0], s.Call) and e.args[0].name.lower() in LIST_AGGREGATES
    )


def _constant(e: Expr) -> Any:
    return e.value if isinstance(e, Const) else NOT_CONSTANT

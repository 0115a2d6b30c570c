"""The functions that choose among their arguments, by NULL or by a condition."""

from __future__ import annotations

from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded.expr import Impl, cast_impl
from openmldb_embedded.functions.comparison import comparison_type, is_null
from openmldb_embedded.functions.conversion import common_type
from openmldb_embedded.functions.registry import Types, register

T = SqlType


def _coalescing(types: Types) -> Impl | None:
    out = common_type(types)
    if out is None or out is T.NULL:
        return None
    casts = [cast_impl(t, out) for t in types]
    if any(c is None for c in casts):
        return None

    def row(*args: Any) -> Any:
        for a, c in zip(args, casts, strict=True):
            if a is not None and c is not None:
                return c.row(a)
        return None

    return Impl(out, row, strict=False)


@register("ifnull if_null nvl", "(a, b)", "a, or b where a is NULL", nulls=True)
def _ifnull(types: Types) -> Impl | None:
    return _coalescing(types) if len(types) == 2 else None


@register(
    "coalesce",
    "(a, ...)",
    "the first argument that is not NULL",
    nulls=True,
    instead="ifnull(a, b)",
)
def _coalesce(types: Types) -> Impl | None:
    return _coalescing(types)


@register("nvl2", "(x, a, b)", "a where x is not NULL, else b", nulls=True)
def _nvl2(types: Types) -> Impl | None:
    if len(types) != 3:
        return None
    picked = _if([T.BOOL, *types[1:]])
    if picked is None:
        return None
    row = picked.row
    return Impl(picked.type, lambda x, a, b: row(x is not None, a, b), strict=False)


@register(
    "if",
    "(condition, a, b)",
    "a where the condition is true, else b",
    nulls=True,
    instead="CASE WHEN condition THEN a ELSE b END",
)
def _if(types: Types) -> Impl | None:
    if len(types) != 3 or types[0] not in (T.BOOL, T.NULL):
        return None
    out = common_type(types[1:])
    if out is None or out is T.NULL:
        return None
    first, second = cast_impl(types[1], out), cast_impl(types[2], out)
    if first is None or second is None:
        return None

    def row(c: Any, a: Any, b: Any) -> Any:
        if c:
            return None if a is None else first.row(a)
        return None if b is None else second.row(b)

    return Impl(out, row, strict=False)


@register(
    "nullif",
    "(a, b)",
    "NULL where a = b, else a",
    nulls=True,
    instead="CASE WHEN a = b THEN NULL ELSE a END",
)
def _nullif(types: Types) -> Impl | None:
    if len(types) != 2 or comparison_type(*types) is None:
        return None
    return Impl(types[0], lambda a, b: None if a is not None and a == b else a, strict=False)


@register("isnull is_null", "(x)", "whether x is NULL", nulls=True)
def _isnull(types: Types) -> Impl | None:
    return is_null(False) if len(types) == 1 else None


@register("identity", "(x)", "x itself", nulls=True)
def _identity(types: Types) -> Impl | None:
    if len(types) != 1:
        return None
    return Impl(types[0], lambda a: a, lambda args, n: args[0], strict=False)


register("scalar", "(x)", "x itself", nulls=True, instead="x")(_identity)

"""Arrays and maps: they stand between functions only, for no row can hold them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded.errors import ResourceLimitError
from openmldb_embedded.expr import Apply, CaseWhen, Expr, Impl, cast_impl, cast_to
from openmldb_embedded.functions.conversion import common_type
from openmldb_embedded.functions.registry import register_build
from openmldb_embedded.functions.text import bounded

T = SqlType
MAX_PRODUCTS = 100_000
"""Texts that array_combine may make."""


@dataclass(frozen=True)
class Shaped(Impl):
    """What gives an array or a map.

    Attributes:
        element: The type of an array's elements, or of a map's values.
        key: The type of a map's keys.
    """

    element: SqlType = T.NULL
    key: SqlType = T.NULL


def shape(e: Expr) -> Shaped | None:
    """The element types of an expression that gives an array or a map."""
    if isinstance(e, CaseWhen):
        return shape(e.branches[0][1])
    return e.impl if isinstance(e, Apply) and isinstance(e.impl, Shaped) else None


def _element(e: Expr) -> SqlType | None:
    found = shape(e)
    return found.element if found is not None and e.type is T.ARRAY else None


def _as(items: Sequence[Expr], type_: SqlType) -> tuple[Expr, ...] | None:
    if any(cast_impl(i.type, type_) is None for i in items):
        return None
    return tuple(cast_to(i, type_) for i in items)


def array(items: Sequence[Expr], element: SqlType | None = None) -> Expr | None:
    """``[a, b]``: an array of what the items have in common, or of a given type."""
    element = element or common_type([i.type for i in items])
    if element is None or element in (T.LIST, T.ARRAY, T.MAP, T.FEATURE):
        return None
    made = _as(items, element)
    if made is None:
        return None
    return Apply("array", Shaped(T.ARRAY, lambda *xs: list(xs), None, False, element), made)


def _contains(items: Expr, item: Expr, name: str, *, first: bool) -> Expr | None:
    if item.type is T.NULL or _element(items) is not item.type:
        return None

    zero = {T.STRING: "", T.BOOL: False, T.DATE: None}.get(item.type, 0)

    def among(xs: list[Any] | None, x: Any) -> bool | None:
        """A NULL looked for is an element that is NULL or the type's zero, as upstream."""
        if xs is None:
            return None
        return x in xs or (x is None and zero in xs)

    if first:
        return Apply(name, Impl(T.BOOL, among, strict=False), (items, item))
    return Apply(name, Impl(T.BOOL, lambda x, xs: among(xs, x), strict=False), (item, items))


@register_build("array_contains", "(array, any)", "whether the value is in the array")
def _array_contains(args: tuple[Expr, ...]) -> Expr | None:
    return _contains(*args, "array_contains", first=True) if len(args) == 2 else None


@register_build("isin", "(any, array)", "whether the value is in the array")
def _isin(args: tuple[Expr, ...]) -> Expr | None:
    return _contains(args[1], args[0], "isin", first=False) if len(args) == 2 else None


@register_build("split_array", "(STRING, separator)", "the parts, as an array; empty ones are NULL")
def _split_array(args: tuple[Expr, ...]) -> Expr | None:
    if [a.type for a in args] != [T.STRING, T.STRING]:
        return None

    def row(text: str, separator: str) -> list[str | None]:
        parts = text.split(separator) if separator else list(text)
        return [p or None for p in parts]

    return Apply("split_array", Shaped(T.ARRAY, row, None, True, T.STRING), args)


@register_build("array_join", "(array of STRING, STRING)", "the elements that are not NULL, joined")
def _array_join(args: tuple[Expr, ...]) -> Expr | None:
    if len(args) != 2 or _element(args[0]) is not T.STRING or args[1].type is not T.STRING:
        return None

    def row(parts: list[str | None] | None, separator: str | None) -> str | None:
        if parts is None:
            return None
        # A separator stands before every element but the first, even where that one is NULL.
        return bounded(
            "".join(
                p if i == 0 or separator is None else separator + p
                for i, p in enumerate(parts)
                if p is not None
            )
        )

    return Apply("array_join", Impl(T.STRING, row, strict=False), args)


@register_build("array_combine", "(STRING, array, ...)", "every combination of elements, joined")
def _array_combine(args: tuple[Expr, ...]) -> Expr | None:
    if len(args) < 2 or args[0].type is not T.STRING:
        return None
    elements = [_element(a) for a in args[1:]]
    casts: list[Callable[[Any], Any]] = []
    for element in elements:
        cast = None if element is None else cast_impl(element, T.STRING)
        if cast is None:
            return None
        casts.append(cast.row)

    def row(separator: str | None, *arrays: list[Any] | None) -> list[str] | None:
        lists = []
        size = 1
        for items, cast in zip(arrays, casts, strict=True):
            if items is None:
                return None
            lists.append([cast(x) for x in items if x is not None])
            size *= len(lists[-1])
        if size > MAX_PRODUCTS:
            raise ResourceLimitError(
                f"array_combine of {size} combinations; the limit is {MAX_PRODUCTS}"
            )
        return [(separator or "").join(p) for p in itertools.product(*lists)]

    return Apply("array_combine", Shaped(T.ARRAY, row, None, False, T.STRING), args)


@register_build("map", "(key, value, ...)", "a map: an element is taken by ``map(...)[key]``")
def _map(args: tuple[Expr, ...]) -> Expr | None:
    if len(args) % 2 or not args:
        return None
    key = common_type([a.type for a in args[::2]])
    value = common_type([a.type for a in args[1::2]])
    if key in (None, T.NULL) or value in (None, T.NULL):
        return None
    assert key is not None
    assert value is not None
    keys, values = _as(args[::2], key), _as(args[1::2], value)
    if keys is None or values is None:
        return None
    made = tuple(x for pair in zip(keys, values, strict=True) for x in pair)
    return Apply(
        "map",
        Shaped(
            T.MAP, lambda *xs: list(zip(xs[::2], xs[1::2], strict=True)), None, False, value, key
        ),
        made,
    )


@register_build("map_keys", "(map)", "the map's keys, as an array")
def _map_keys(args: tuple[Expr, ...]) -> Expr | None:
    found = shape(args[0]) if len(args) == 1 and args[0].type is T.MAP else None
    if found is None:
        return None
    keys = Shaped(T.ARRAY, lambda pairs: [k for k, _ in pairs], None, True, found.key)
    return Apply("map_keys", keys, args)


def element_of(container: Expr, key: Expr) -> Expr | None:
    """``map[key]``; an array's elements OpenMLDB does not give."""
    found = shape(container) if container.type is T.MAP else None
    if found is None or key.type is not found.key:
        return None

    def row(pairs: list[tuple[Any, Any]], wanted: Any) -> Any:
        return next((x for k, x in pairs if k == wanted), None)

    return Apply("element", Impl(found.element, row), (container, key))

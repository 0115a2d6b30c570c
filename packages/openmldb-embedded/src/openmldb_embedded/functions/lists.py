"""The functions that split a text into a list, and join (FeatureZero)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openmldb_sql.types import SqlType

from openmldb_embedded.expr import Impl
from openmldb_embedded.functions.registry import Resolve, Types, register

T = SqlType


def split(text: str, separator: str) -> list[str]:
    """The parts of a text; nothing for an empty separator or text."""
    return text.split(separator) if separator and text else []


def split_by(text: str, separator: str, inner: str, part: int) -> list[str]:
    """The key (part 0) or value (part 1) of each ``key<inner>value`` part that has two sides."""
    if not separator or not inner:
        return []
    pairs = (p.split(inner) for p in text.split(separator))
    return [p[part] for p in pairs if len(p) == 2]


def split_by_key(text: str, separator: str, inner: str) -> list[str]:
    """The keys of ``key<inner>value`` parts."""
    return split_by(text, separator, inner, 0)


def split_by_value(text: str, separator: str, inner: str) -> list[str]:
    """The values of ``key<inner>value`` parts."""
    return split_by(text, separator, inner, 1)


def _splitter(fn: Callable[..., Any], count: int) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if len(types) != count or any(t not in (T.STRING, T.NULL) for t in types):
            return None

        def row(*args: Any) -> list[str]:
            return [] if None in args else list(fn(*args))

        return Impl(T.LIST, row, strict=False)

    return resolve


register("split fz_split", "(STRING, separator)", "the parts, as a list")(_splitter(split, 2))
register("split_by_key fz_split_by_key", "(STRING, separator, inner)", "the keys, as a list")(
    _splitter(split_by_key, 3)
)
register("split_by_value fz_split_by_value", "(STRING, separator, inner)", "the values, as a list")(
    _splitter(split_by_value, 3)
)


@register("join fz_join", "(list, separator)", "the list's parts, joined")
def _join(types: Types) -> Impl | None:
    if list(types) != [T.LIST, T.STRING]:
        return None
    return Impl(T.STRING, lambda parts, separator: separator.join(parts))

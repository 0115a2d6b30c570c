"""The functions that split a text into a list, and join (FeatureZero)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import re2
from openmldb_sql.types import SqlType

from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.expr import Impl
from openmldb_embedded.functions.registry import Resolve, Types, register
from openmldb_embedded.functions.text import bounded, from_raw, raw

T = SqlType


MAX_LIST = 4096
"""Bytes of text that OpenMLDB keeps in one list; parts that do not fit any more are left out."""

Parts = Callable[..., Iterable[str]]
"""From a text and its separators to parts."""


@lru_cache(256)
def _separator(pattern: str) -> Any:
    """A separator of several characters is a regular expression."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(raw(pattern), options)
    except re2.error as error:
        raise ExecutionError(
            f"separator {pattern!r} is not a regular expression: {error}"
        ) from error


def _cut(text: str, separator: str) -> list[str]:
    if len(raw(separator)) == 1:
        return text.split(separator)
    return [from_raw(part or b"") for part in re2.split(_separator(separator), raw(text))]


def split(text: str, separator: str) -> Iterable[str]:
    """The parts of a text; of an empty text one empty part; nothing for an empty separator."""
    return _cut(text, separator) if separator else ()


def split_by_key(text: str, separator: str, inner: str) -> Iterable[str]:
    """The keys of ``key<inner>value`` parts."""
    if not separator or not inner:
        return ()
    return [k[0] for p in _cut(text, separator) if len(k := _cut(p, inner)) >= 2]


def split_by_value(text: str, separator: str, inner: str) -> Iterable[str]:
    """The values of ``key<inner>value`` parts."""
    if not separator or not inner:
        return ()
    return [k[1] for p in _cut(text, separator) if len(k := _cut(p, inner)) >= 2]


SPLITTERS: dict[str, tuple[Parts, int]] = {
    "split": (split, 2),
    "split_by_key": (split_by_key, 3),
    "split_by_value": (split_by_value, 3),
}
"""What cuts a text, and how many arguments it takes."""


def listed(parts: Iterable[str]) -> list[str]:
    """The parts that a list of OpenMLDB's keeps."""
    out = []
    room = MAX_LIST
    for part in parts:
        size = len(part) if part.isascii() else len(raw(part))
        if size <= room:
            out.append(part)
            room -= size
    return out


def _splitter(fn: Parts, count: int) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if len(types) != count or any(t not in (T.STRING, T.NULL) for t in types):
            return None

        def row(*args: Any) -> list[str]:
            return [] if None in args else listed(fn(*args))

        return Impl(T.LIST, row, strict=False)

    return resolve


for _name, (_fn, _count) in SPLITTERS.items():
    register(
        f"{_name} fz_{_name}",
        "(STRING, separator)" if _count == 2 else "(STRING, separator, inner)",
        {2: "the parts, as a list"}.get(_count, f"the {_name[9:]}s, as a list"),
    )(_splitter(_fn, _count))


@register("size", "(list)", "how many parts a list has")
def _size(types: Types) -> Impl | None:
    return Impl(T.INT32, len) if list(types) == [T.LIST] else None


def _without(side: int) -> Resolve:
    """Parts ``key:value`` whose key (or value) is not among those of a comma-separated text."""

    def row(parts: list[str], unwanted: str) -> list[str]:
        drop = set(unwanted.split(","))
        return [p for p in parts if [*p.split(":", 2), ""][side] not in drop]

    def resolve(types: Types) -> Impl | None:
        return Impl(T.LIST, row) if list(types) == [T.LIST, T.STRING] else None

    return resolve


register("list_except_by_key", "(list, STRING)", "without parts of the keys ``a,b``")(_without(0))
register("list_except_by_value", "(list, STRING)", "without parts of the values ``a,b``")(
    _without(1)
)


@register("join fz_join", "(list, separator)", "the list's parts, joined")
def _join(types: Types) -> Impl | None:
    if list(types) != [T.LIST, T.STRING]:
        return None
    return Impl(T.STRING, lambda parts, separator: bounded(separator.join(parts)))

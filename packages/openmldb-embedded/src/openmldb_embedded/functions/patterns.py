"""LIKE, ILIKE and RLIKE: the operators, and the functions of the same meaning."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2
from openmldb_sql.types import SqlType

from openmldb_embedded.expr import Impl
from openmldb_embedded.functions.registry import Resolve, Types, register
from openmldb_embedded.functions.text import raw

T = SqlType


def like(op: str, args: int = 2) -> Impl:
    """LIKE and ILIKE (``%`` any bytes, ``_`` one byte, the escape before either), RLIKE.

    ``args`` is 3 where an escape is given, else it is a backslash; an empty one escapes nothing,
    a longer one matches nothing.
    """
    if op == "RLIKE":
        return Impl(T.BOOL, matches_regex)
    fold = op == "ILIKE"

    def match(text: str, pattern: str, escape: str = "\\") -> bool:
        sign = raw(escape)
        if len(sign) > 1:
            return False
        parts = _like_parts(pattern, sign, fold=fold)
        data = raw(text)
        return _wildcards_match(data.lower() if fold else data, parts)

    if args == 2:
        return Impl(T.BOOL, lambda text, pattern: match(text, pattern))
    return Impl(T.BOOL, match)


_MANY = -1
_ONE = -2
_NOTHING = -3


@lru_cache(1024)
def _like_parts(pattern: str, escape: bytes, *, fold: bool) -> tuple[int, ...]:
    """A LIKE pattern as bytes, _ONE for ``_`` and _MANY for ``%``."""
    out: list[int] = []
    data = iter(raw(pattern))
    sign = escape[0] if escape else _NOTHING
    for byte in data:
        if byte == sign:
            byte = next(data, _NOTHING)  # an escape at the end fits nothing
        elif byte == 0x25:
            byte = _MANY
        elif byte == 0x5F:
            byte = _ONE
        out.append(byte + 32 if fold and 0x41 <= byte <= 0x5A else byte)
    return tuple(out)


def _wildcards_match(text: bytes, parts: tuple[int, ...]) -> bool:
    """Wildcard match that goes back to the last ``%`` only: length times pattern at worst."""
    t = p = 0
    star = mark = -1
    while t < len(text):
        part = parts[p] if p < len(parts) else _NOTHING
        if part == _MANY:
            star, mark = p, t
            p += 1
        elif part in (_ONE, text[t]):
            t += 1
            p += 1
        elif star >= 0:
            mark += 1
            t, p = mark, star + 1
        else:
            return False
    return all(part == _MANY for part in parts[p:])


@lru_cache(1024)
def _compiled(pattern: str, flags: str) -> Any:
    """A regular expression as OpenMLDB compiles it: POSIX syntax of RE2; None for a bad one."""
    options = re2.Options()
    options.posix_syntax = True
    options.longest_match = True
    options.log_errors = False
    options.one_line = "m" not in flags
    options.dot_nl = "s" in flags
    for flag in flags:
        if flag in "ci":
            options.case_sensitive = flag == "c"
    try:
        return re2.compile(raw(pattern), options)
    except re2.error:
        return None


def matches_regex(text: str, pattern: str, flags: str = "c") -> bool | None:
    """Whether the whole text fits a regular expression; NULL where that is none.

    By RE2, as on a cluster: its time is linear in the text whatever the expression.
    """
    compiled = _compiled(pattern, flags)
    return None if compiled is None else compiled.fullmatch(raw(text)) is not None


def _texts(op: str) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if len(types) not in (2, 3) or any(t is not T.STRING for t in types):
            return None
        return like(op, len(types))

    return resolve


register("regexp_like", "(STRING, STRING[, flags])", "whether the whole text fits the expression")(
    _texts("RLIKE")
)
register("like_match", "(STRING, STRING[, escape])", "LIKE, as a function")(_texts("LIKE"))
register("ilike_match", "(STRING, STRING[, escape])", "ILIKE, as a function")(_texts("ILIKE"))

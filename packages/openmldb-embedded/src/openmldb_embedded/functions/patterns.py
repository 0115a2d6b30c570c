"""LIKE, ILIKE and RLIKE: the operators, and the functions of the same meaning."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from openmldb_sql.types import SqlType

from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.expr import Impl
from openmldb_embedded.functions.registry import Types, register
from openmldb_embedded.functions.text import on_text

T = SqlType


def like(op: str, escape: str | None) -> Impl:
    """LIKE and ILIKE (``%`` any text, ``_`` any character, ``escape`` before either), RLIKE."""
    if op == "RLIKE":
        return Impl(T.BOOL, matches_regex)
    escape = "\\" if escape is None else escape
    fold = op == "ILIKE"
    cache: dict[str, list[str | None]] = {}

    def match(text: str, pattern: str) -> bool:
        parts = cache.get(pattern)
        if parts is None:
            if len(cache) > 256:
                cache.clear()
            parts = cache[pattern] = _like_parts(pattern.lower() if fold else pattern, escape)
        return _wildcards_match(text.lower() if fold else text, parts)

    return Impl(T.BOOL, match)


_MANY = None
_ONE = ""


def _like_parts(pattern: str, escape: str) -> list[str | None]:
    """A LIKE pattern as characters, _ONE for ``_`` and _MANY for ``%``."""
    out: list[str | None] = []
    chars = iter(pattern)
    for ch in chars:
        if escape and ch == escape:
            out.append(next(chars, escape))
        elif ch == "%":
            out.append(_MANY)
        else:
            out.append(_ONE if ch == "_" else ch)
    return out


def _wildcards_match(text: str, parts: list[str | None]) -> bool:
    """Wildcard match that goes back to the last ``%`` only: length times pattern at worst."""
    t = p = 0
    star = mark = -1
    while t < len(text):
        part = parts[p] if p < len(parts) else "\0\0"
        if part is _MANY:
            star, mark = p, t
            p += 1
        elif part == _ONE or part == text[t]:
            t += 1
            p += 1
        elif star >= 0:
            mark += 1
            t, p = mark, star + 1
        else:
            return False
    return all(part is _MANY for part in parts[p:])


def matches_regex(text: str, pattern: str) -> bool | None:
    """Whether the whole text fits a regular expression.

    By RE2, as on a cluster: its time is linear in the text whatever the expression.
    """
    try:
        found = pc.match_substring_regex(pa.scalar(text), pattern=rf"\A(?:{pattern})\z")
    except pa.ArrowInvalid as error:
        raise ExecutionError(f"regular expression {pattern!r}: {error}") from error
    return bool(found.as_py())


register("regexp_like", "(STRING, STRING)", "whether the whole text fits the expression")(
    on_text(T.BOOL, matches_regex, (T.STRING,))
)


@register("like_match", "(STRING, STRING)", "LIKE, as a function")
def _like_match(types: Types) -> Impl | None:
    return like("LIKE", None) if list(types) == [T.STRING, T.STRING] else None


@register("ilike_match", "(STRING, STRING)", "ILIKE, as a function")
def _ilike_match(types: Types) -> Impl | None:
    return like("ILIKE", None) if list(types) == [T.STRING, T.STRING] else None

"""The functions of text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from openmldb_sql.types import INTEGERS, SqlType

from openmldb_embedded import values as v
from openmldb_embedded.errors import ResourceLimitError
from openmldb_embedded.expr import Impl
from openmldb_embedded.functions.registry import Resolve, Types, register

T = SqlType
MAX_TEXT = 16 << 20
"""Characters a computed text may have: nested calls could otherwise grow one without bound."""


def bounded(text: str) -> str:
    """The text, if it is not too long.

    Raises:
        ResourceLimitError: It is longer than MAX_TEXT.
    """
    if len(text) > MAX_TEXT:
        raise ResourceLimitError(f"a text of {len(text)} characters; the limit is {MAX_TEXT}")
    return text


def _replaced(text: str, old: str, new: str) -> str:
    if not old:
        return text
    grown = len(text) + text.count(old) * (len(new) - len(old))
    if grown > MAX_TEXT:
        raise ResourceLimitError(f"a text of {grown} characters; the limit is {MAX_TEXT}")
    return text.replace(old, new)


@register("concat", "(any, ...)", "the arguments as text, joined; NULL if any is NULL")
def _concat(types: Types) -> Impl | None:
    if not types or T.LIST in types:
        return None
    casts = [v.converter(t, T.STRING) for t in types]

    def row(*args: Any) -> str | None:
        parts = [c(a) if c is not None else None for a, c in zip(args, casts, strict=True)]
        return None if None in parts else bounded("".join(parts))  # type: ignore[arg-type]

    return Impl(T.STRING, row)


@register("concat_ws", "(any, any, ...)", "the arguments after the first, joined by the first")
def _concat_ws(types: Types) -> Impl | None:
    if len(types) < 2 or T.LIST in types:
        return None
    casts = [v.converter(t, T.STRING) for t in types]

    def row(*args: Any) -> str | None:
        parts = [c(a) if c is not None else None for a, c in zip(args, casts, strict=True)]
        if None in parts:
            return None
        return bounded(str(parts[0]).join(parts[1:]))  # type: ignore[arg-type]

    return Impl(T.STRING, row)


def on_text(type_: SqlType, fn: Callable[..., Any], *more: tuple[SqlType, ...]) -> Resolve:
    """A function of a text and of arguments that must be of the types given in ``more``."""

    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 + len(more) or types[0] not in (T.STRING, T.NULL):
            return None
        if any(t not in (*allowed, T.NULL) for t, allowed in zip(types[1:], more, strict=True)):
            return None
        return Impl(type_, fn)

    return resolve


@register("strcmp", "(STRING, STRING)", "-1, 0 or 1 as the first sorts before, with, after")
def _strcmp(types: Types) -> Impl | None:
    if len(types) != 2 or any(t not in (T.STRING, T.NULL) for t in types):
        return None
    return Impl(T.INT32, lambda a, b: (a > b) - (a < b))


def _substring(text: str, start: int, count: int | None = None) -> str:
    # Positions count bytes in OpenMLDB; text that is not ASCII is cut by bytes likewise.
    raw = text.encode() if not text.isascii() else None
    size = len(text) if raw is None else len(raw)
    if start == 0 or (count is not None and count <= 0):
        return ""
    at = start - 1 if start > 0 else size + start
    if at < 0 or at >= size:
        return ""
    end = size if count is None else min(size, at + count)
    return text[at:end] if raw is None else raw[at:end].decode(errors="ignore")


@register("substring substr", "(STRING, INT[, INT])", "from a position (1 first, -1 last) on")
def _substr(types: Types) -> Impl | None:
    if len(types) not in (2, 3) or types[0] not in (T.STRING, T.NULL):
        return None
    if any(t not in (*INTEGERS, T.NULL) for t in types[1:]):
        return None
    return Impl(T.STRING, _substring)


register("lower lcase", "(STRING)", "in lower case")(on_text(T.STRING, str.lower))
register("upper ucase", "(STRING)", "in upper case")(on_text(T.STRING, str.upper))
register("reverse", "(STRING)", "backwards")(on_text(T.STRING, lambda s: s[::-1]))
register("char_length character_length", "(STRING)", "its length in bytes")(
    on_text(T.INT32, lambda s: len(s.encode()))
)
register("replace", "(STRING, STRING, STRING)", "every occurrence replaced")(
    on_text(T.STRING, _replaced, (T.STRING,), (T.STRING,))
)
register("starts_with", "(STRING, STRING)", "whether it starts so")(
    on_text(T.BOOL, str.startswith, (T.STRING,))
)
register("lstrip ltrim", "(STRING)", "without leading blanks")(
    on_text(T.STRING, lambda s: s.lstrip(" "))
)
register("rstrip rtrim", "(STRING)", "without trailing blanks")(
    on_text(T.STRING, lambda s: s.rstrip(" "))
)
register("trim", "(STRING)", "without blanks at either end")(
    on_text(T.STRING, lambda s: s.strip(" "))
)


@register("hex", "(number | STRING)", "in hexadecimal, upper case")
def _hex(types: Types) -> Impl | None:
    if len(types) != 1 or not (types[0].is_numeric or types[0] is T.STRING):
        return None
    if types[0] is T.STRING:
        return Impl(T.STRING, lambda s: s.encode().hex().upper())
    whole = v.converter(types[0], T.INT64)
    assert whole is not None
    if types[0].is_floating:
        return Impl(T.STRING, lambda a: f"{whole(math.copysign(abs(a) + 0.5, a)) & (2**64 - 1):X}")
    return Impl(T.STRING, lambda a: f"{whole(a) & (2**64 - 1):X}")


def _unhex_text(text: str) -> str | None:
    try:
        return bytes.fromhex(text if len(text) % 2 == 0 else f"0{text}").decode()
    except ValueError:
        return None


register("unhex", "(STRING)", "the text that hexadecimal spells, NULL where it spells none")(
    on_text(T.STRING, _unhex_text)
)


@register("char", "(INT)", "the ASCII character of the number modulo 256")
def _char(types: Types) -> Impl | None:
    if len(types) != 1 or not types[0].is_integer:
        return None
    return Impl(T.STRING, lambda a: chr(a % 256) if a % 256 < 128 else "")

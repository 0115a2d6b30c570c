"""The functions of text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from openmldb_sql.types import SqlType

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
    if not types or not set(types).isdisjoint(v.COMPOSITE):
        return None
    casts = [v.converter(t, T.STRING) for t in types]

    def row(*args: Any) -> str | None:
        parts = [c(a) if c is not None else None for a, c in zip(args, casts, strict=True)]
        return None if None in parts else bounded("".join(parts))  # type: ignore[arg-type]

    return Impl(T.STRING, row)


@register(
    "concat_ws",
    "(any, any, ...)",
    "the arguments after the first, joined by the first",
    nulls=True,
)
def _concat_ws(types: Types) -> Impl | None:
    if len(types) < 2 or T.NULL in types[1:] or not set(types).isdisjoint(v.COMPOSITE):
        return None
    casts = [v.converter(t, T.STRING) for t in types]
    between = types[0] is not T.NULL

    def row(*args: Any) -> str | None:
        parts = [None if a is None or c is None else c(a) for a, c in zip(args, casts, strict=True)]
        if None in parts[1:] or (between and parts[0] is None):
            return None
        return bounded((parts[0] or "").join(parts[1:]))  # type: ignore[arg-type]

    return Impl(T.STRING, row, strict=False)


def on_text(type_: SqlType, fn: Callable[..., Any], *more: tuple[SqlType, ...]) -> Resolve:
    """A function of a text and of arguments that must be of the types given in ``more``."""

    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 + len(more) or types[0] not in (T.STRING, T.NULL):
            return None
        if any(t not in (*allowed, T.NULL) for t, allowed in zip(types[1:], more, strict=True)):
            return None
        return Impl(type_, fn)

    return resolve


def raw(text: str) -> bytes:
    """The bytes of a text: what OpenMLDB's functions work on."""
    return text.encode("utf-8", "surrogateescape")


def from_raw(data: bytes) -> str:
    """A text of bytes; those that are no UTF-8 stand as surrogate escapes."""
    return data.decode("utf-8", "surrogateescape")


def _strcmp(a: str, b: str) -> int:
    """0, or the difference of the first bytes that differ, or -1 or 1 for the shorter text."""
    x, y = raw(a), raw(b)
    for p, q in zip(x, y, strict=False):
        if p != q:
            return p - q
    return (len(x) > len(y)) - (len(x) < len(y))


register("strcmp", "(STRING, STRING)", "less than, equal to or greater than 0, by bytes")(
    on_text(T.INT32, _strcmp, (T.STRING,))
)


def _substring(text: str, start: int, count: int | None = None) -> str:
    data = raw(text)
    size = len(data)
    if start == 0 or (count is not None and count < 1) or abs(start) > size:
        return ""
    at = start - 1 if start > 0 else size + start
    return from_raw(data[at : size if count is None else min(size, at + count)])


@register("substring substr", "(STRING, INT[, INT])", "bytes from a position (1 first, -1 last) on")
def _substr(types: Types) -> Impl | None:
    if len(types) not in (2, 3) or types[0] not in (T.STRING, T.NULL):
        return None
    if any(t not in (T.INT32, T.NULL) for t in types[1:]):
        return None
    return Impl(T.STRING, _substring)


_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def lower_ascii(text: str) -> str:
    """A to Z in lower case; other letters stay."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def _upper_ascii(text: str) -> str:
    return text.upper() if text.isascii() else text.translate(_UPPER)


register("lower lcase", "(STRING)", "A to Z in lower case")(on_text(T.STRING, lower_ascii))
register("upper ucase", "(STRING)", "a to z in upper case")(on_text(T.STRING, _upper_ascii))
register("reverse", "(STRING)", "its bytes backwards")(
    on_text(T.STRING, lambda s: from_raw(raw(s)[::-1]))
)
register("char_length character_length", "(STRING)", "its length in bytes")(
    on_text(T.INT32, lambda s: len(raw(s)))
)


@register("replace", "(STRING, STRING[, STRING])", "every occurrence replaced, or taken out")
def _replace(types: Types) -> Impl | None:
    if len(types) not in (2, 3) or any(t not in (T.STRING, T.NULL) for t in types):
        return None
    return Impl(T.STRING, lambda text, old, new="": _replaced(text, old, new))


@register("locate", "(part, STRING[, INT])", "where a part stands, from a position on; 0 nowhere")
def _locate(types: Types) -> Impl | None:
    if len(types) not in (2, 3) or types[0] is not T.STRING or types[1] is not T.STRING:
        return None
    if len(types) == 3 and types[2] is not T.INT32:
        return None

    def row(part: str, text: str, start: int = 1) -> int:
        wanted, data = raw(part), raw(text)
        if start <= 0 or start + len(wanted) - 1 > len(data):
            return 0
        return start if not wanted else data.find(wanted, start - 1) + 1

    return Impl(T.INT32, row)


register("starts_with", "(STRING, STRING)", "whether it starts so", instead="x LIKE 'start%'")(
    on_text(T.BOOL, str.startswith, (T.STRING,))
)
_TRIMMED = "replace(x, ' ', '')"
register("lstrip ltrim", "(STRING)", "without leading blanks", instead=_TRIMMED)(
    on_text(T.STRING, lambda s: s.lstrip(" "))
)
register("rstrip rtrim", "(STRING)", "without trailing blanks", instead=_TRIMMED)(
    on_text(T.STRING, lambda s: s.rstrip(" "))
)
register("trim", "(STRING)", "without blanks at either end", instead=_TRIMMED)(
    on_text(T.STRING, lambda s: s.strip(" "))
)


def _hex_text(text: str) -> str:
    """Each byte as C prints a signed char: without a leading zero, and 8 digits from 128 on."""
    return "".join(f"{b if b < 128 else b | 0xFFFFFF00:X}" for b in raw(text))


_HEX_MASK = {T.INT16: 2**16 - 1, T.INT32: 2**32 - 1, T.INT64: 2**64 - 1}


@register("hex", "(number | STRING)", "in hexadecimal, upper case")
def _hex(types: Types) -> Impl | None:
    if len(types) != 1 or not (types[0].is_numeric or types[0] is T.STRING):
        return None
    if types[0] is T.STRING:
        return Impl(T.STRING, _hex_text)
    if types[0].is_floating:
        whole = v.converter(types[0], T.INT64)
        assert whole is not None
        return Impl(T.STRING, lambda a: f"{whole(math.copysign(abs(a) + 0.5, a)) & (2**64 - 1):X}")
    mask = _HEX_MASK[types[0]]
    return Impl(T.STRING, lambda a: f"{a & mask:X}")


_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


def _unhex(text: str) -> str | None:
    if not _HEX_DIGITS.issuperset(text):
        return None
    return from_raw(bytes.fromhex(text if len(text) % 2 == 0 else f"0{text}"))


register("unhex", "(STRING)", "the bytes that hexadecimal spells, NULL where it spells none")(
    on_text(T.STRING, _unhex)
)


@register("char", "(INT)", "the byte of the number modulo 256")
def _char(types: Types) -> Impl | None:
    if list(types) != [T.INT32]:
        return None
    return Impl(T.STRING, lambda a: from_raw(bytes([a % 256])))

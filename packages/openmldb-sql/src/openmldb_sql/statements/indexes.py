"""What the definition of an index says."""

from __future__ import annotations

from openmldb_sql.errors import SyntaxError_
from openmldb_sql.tokens import UNITS
from openmldb_sql.types import IndexDef

TTL_TYPES = ("absolute", "latest", "absorlat", "absandlat")


def index_of(
    keys: tuple[str, ...], ts: str | None, ttl: list[str], ttl_type: str | None
) -> IndexDef:
    """Make an index of what its definition said; ``0`` in a ttl means for ever.

    Raises:
        SyntaxError_: No key, an unknown ttl_type, or a ttl that its type does not take.
    """
    if not keys:
        raise SyntaxError_("Syntax error: an INDEX needs key=column or key=(columns)")
    kind = ttl_type or "absolute"
    if kind not in TTL_TYPES:
        raise SyntaxError_(f"Syntax error: ttl_type {kind} is none of {', '.join(TTL_TYPES)}")
    absolute = latest = 0
    for text in ttl:
        if text.isdecimal() and kind != "absolute":
            latest = int(text)
        elif text.isdecimal():
            absolute = int(text) * UNITS["m"]
        else:
            absolute = duration_ms(text)
            if kind == "latest":
                raise SyntaxError_(f"Syntax error: ttl_type latest takes a number, not {text}")
    if kind in ("absorlat", "absandlat") and len(ttl) not in (0, 2):
        raise SyntaxError_(f"Syntax error: ttl_type {kind} takes ttl=(duration, number)")
    return IndexDef(keys, ts, kind, absolute, latest)


def duration_ms(text: str) -> int:
    """A duration such as ``10d`` in milliseconds.

    Raises:
        SyntaxError_: Not a number followed by s, m, h or d.
    """
    number, unit = text[:-1], text[-1:].lower()
    if not number.isdecimal() or len(number) > 12 or unit not in UNITS:
        raise SyntaxError_(f"Syntax error: {text!r} is no duration such as 10s, 30m, 12h or 7d")
    return int(number) * UNITS[unit]

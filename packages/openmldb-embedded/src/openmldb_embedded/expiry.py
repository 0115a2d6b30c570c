"""How long an index keeps its rows: the ttl that a window implies, and ttls as one.

The rules are those of ``src/base/ddl_parser.cc`` of OpenMLDB: times in whole minutes, 0 for ever.
"""

from __future__ import annotations

from dataclasses import replace

from openmldb_sql.statements import whole_minutes
from openmldb_sql.types import IndexDef

from openmldb_embedded.plan import WindowFrame

MINUTE_MS = 60_000
LAST_JOIN = IndexDef((), None, "latest", 0, 1)
"""What a LAST JOIN keeps of each key, whatever else it asks for."""
LEFT_JOIN = IndexDef(())
"""A LEFT JOIN keeps everything."""


def window_reach(frame: WindowFrame) -> IndexDef:
    """What a window's frame keeps; an index without keys."""
    if frame.kind == "rows":
        rows = 0 if frame.start is None else max(frame.start, 1)
        return IndexDef((), None, "latest", 0, rows)
    span = 0 if frame.start is None else max(whole_minutes(frame.start), MINUTE_MS)
    return IndexDef((), None, "absolute", span, 0)


def standard(index: IndexDef) -> IndexDef:
    """The simplest ttl of the same meaning."""
    span, rows, kind = index.ttl_ms_abs, index.ttl_lat, index.ttl_type
    if kind == "absolute":
        rows = 0
    elif kind == "latest":
        span = 0
    elif kind == "absandlat" and (not span or not rows):
        kind, span, rows = "absolute", 0, 0
    elif kind == "absorlat" and not rows:
        kind = "absolute"
    elif kind == "absorlat" and not span:
        kind = "latest"
    return replace(index, ttl_type=kind, ttl_ms_abs=span, ttl_lat=rows)


def merged(first: IndexDef, second: IndexDef) -> IndexDef:
    """An index that keeps what either keeps; name, keys and time are the first's."""
    left, right = standard(first), standard(second)
    span = _longer(left.ttl_ms_abs, right.ttl_ms_abs)
    rows = _longer(left.ttl_lat, right.ttl_lat)
    kind = left.ttl_type
    if left.ttl_type != right.ttl_type:
        by_kind = {left.ttl_type: left, right.ttl_type: right}
        both, either = by_kind.get("absandlat"), by_kind.get("absorlat")
        if both is not None:
            kind = "absandlat"
            other = right if both is left else left
            if other.ttl_type == "absolute":
                rows = both.ttl_lat
            elif other.ttl_type == "latest":
                span = both.ttl_ms_abs
        elif either is not None:
            other = right if either is left else left
            kind = other.ttl_type
        else:
            kind = "absandlat"
            span, rows = by_kind["absolute"].ttl_ms_abs, by_kind["latest"].ttl_lat
    return standard(replace(first, ttl_type=kind, ttl_ms_abs=span, ttl_lat=rows))


def _longer(old: int, new: int) -> int:
    """The greater of two limits, 0 being none."""
    return new if old and (not new or old < new) else old

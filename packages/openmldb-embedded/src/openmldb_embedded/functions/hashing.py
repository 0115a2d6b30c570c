"""FarmHash fingerprints, and the instance formats that are made of them."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from typing import Any

import farmhash
from openmldb_sql.types import SqlType

from openmldb_embedded import values as v
from openmldb_embedded.expr import Impl
from openmldb_embedded.functions.registry import Resolve, Types, register
from openmldb_embedded.functions.text import raw

T = SqlType
_LAYOUT = {
    T.BOOL: "<?",
    T.INT16: "<h",
    T.INT32: "<i",
    T.INT64: "<q",
    T.FLOAT: "<f",
    T.DOUBLE: "<d",
    T.TIMESTAMP: "<q",
}


def _date_bytes(date: dt.date) -> bytes:
    """A date as OpenMLDB keeps it: year since 1900, month from 0, day."""
    return struct.pack("<i", (date.year - 1900) << 16 | (date.month - 1) << 8 | date.day)


def fingerprint(type_: SqlType) -> Callable[[Any], int] | None:
    """The signed 64 bit FarmHash of a value's bytes, or None where a type has none."""
    to_bytes: Callable[[Any], bytes]
    if type_ is T.STRING:
        to_bytes = raw
    elif type_ is T.DATE:
        to_bytes = _date_bytes
    elif type_ in _LAYOUT:
        to_bytes = struct.Struct(_LAYOUT[type_]).pack
    else:
        return None
    return lambda x: v.wrap64(farmhash.Fingerprint64(to_bytes(x)))


@register("hash64 farm_fingerprint", "(any)", "the value's FarmHash Fingerprint64, BIGINT")
def _hash64(types: Types) -> Impl | None:
    found = fingerprint(types[0]) if len(types) == 1 else None
    return None if found is None else Impl(T.INT64, found)


# -- feature signatures

Feature = tuple[str, Any, int]
"""A column's role in an instance, its value as text (None for NULL), its buckets (0: unknown)."""

_WHOLE = (T.BOOL, T.INT16, T.INT32, T.INT64)


def _number_text(type_: SqlType) -> Callable[[Any], str]:
    return v.format_fixed if type_.is_floating else lambda x: str(int(x))


def _signature(role: str, allowed: tuple[SqlType, ...]) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if len(types) != 1 or types[0] not in allowed:
            return None
        text = _number_text(types[0])
        return Impl(T.FEATURE, lambda x: (role, None if x is None else text(x), 0), strict=False)

    return resolve


for _name, _role, _allowed in (
    ("continuous", "continuous", (*_WHOLE, T.FLOAT, T.DOUBLE)),
    ("regression_label", "label", (*_WHOLE, T.FLOAT, T.DOUBLE)),
    ("binary_label", "label", (T.BOOL,)),
    ("multiclass_label", "label", _WHOLE),
):
    register(_name, "(number)", f"a {_name.replace('_', ' ')} for csv, libsvm and gcformat")(
        _signature(_role, _allowed)
    )


@register("discrete", "(any[, INT])", "a discrete feature (its hash, in so many buckets)")
def _discrete(types: Types) -> Impl | None:
    if len(types) not in (1, 2) or types[0] in (T.FLOAT, T.DOUBLE):
        return None
    found = fingerprint(types[0])
    if found is None or (len(types) == 2 and types[1] not in (T.INT32, T.INT64)):
        return None
    if len(types) == 1:
        return Impl(
            T.FEATURE,
            lambda x: ("discrete", None if x is None else str(found(x)), 0),
            strict=False,
        )

    def bucketed(x: Any, size: Any) -> Feature:
        if size is None or size <= 0:
            return ("discrete", None, 0)
        return ("discrete", None if x is None else str(found(x) % 2**64 % size), size)

    return Impl(T.FEATURE, bucketed, strict=False)


def _csv(*features: Feature) -> str:
    return ",".join(value or "" for _, value, _ in features)


def _gcformat(*features: Feature) -> str:
    label, parts, slot = "", [], 1
    for role, value, _ in features:
        if role == "label":
            label = value or ""
            continue
        if value is not None and role == "discrete":
            parts.append(f"{slot}:{value}")
        elif value is not None:
            parts.append(
                f"{slot}:{v.wrap64(farmhash.Fingerprint64(struct.pack('<q', slot)))}:{value}"
            )
        slot += 1
    return f"{label} | {' '.join(parts)}"


def _libsvm(*features: Feature) -> str:
    label, parts, slot = "", [], 1
    for role, value, size in features:
        if role == "label":
            label = value or ""
        elif role == "continuous":
            if value is not None:
                parts.append(f"{slot}:{value}")
            slot += 1
        elif size:
            if value is not None:
                parts.append(f"{slot + int(value)}:1")
            slot += size
        elif value is not None:
            parts.append(f"{value}:1")
    return " ".join([*([label] if label else []), *parts])


def _instance(make: Callable[..., str]) -> Resolve:
    def resolve(types: Types) -> Impl | None:
        if any(t is not T.FEATURE for t in types):
            return None
        return Impl(T.STRING, make, strict=False)

    return resolve


for _name, _make in (("csv", _csv), ("gcformat", _gcformat), ("libsvm", _libsvm)):
    register(_name, "(feature, ...)", f"the features as one line of {_name}")(_instance(_make))

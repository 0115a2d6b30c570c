"""A request's body: JSON read strictly, at the speed of a C library.

`msgspec` reads a body in microseconds but keeps the last of two equal keys. Where a body has no
backslash, its quotes count its strings, so that a key that was dropped shows; every other doubt
is decided by the slower reader of the standard library, which also words the errors.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from predict_server.errors import RequestError

MAX_DEPTH = 32
"""Levels of arrays and objects in a body; a tensor of an image takes six."""

_decode = msgspec.json.Decoder().decode


def parse_json(body: bytes) -> Any:
    """Parse a request's body.

    Returns:
        Plain values. Text may hold half of a surrogate pair and a float may be infinite (`1e400`):
        both are for the reader of the values to refuse, who knows row and field.

    Raises:
        RequestError: it is not JSON (400), a key is given twice, or it nests too deeply (422).
    """
    try:
        value = _decode(body)
        if b"\\" not in body and 2 * _strings(value, 0) == body.count(b'"'):
            return value
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        pass
    return _parse_slowly(body)


def _strings(value: Any, depth: int) -> int:
    """How many strings a decoded value holds, keys included."""
    kind = type(value)
    if kind is str:
        return 1
    if kind is not dict and kind is not list:
        return 0
    if depth >= MAX_DEPTH:
        raise RecursionError
    found = 0
    if kind is dict:
        found = len(value)
        value = value.values()
    for item in value:
        kind = type(item)
        if kind is str:
            found += 1
        elif kind is dict or kind is list:
            found += _strings(item, depth + 1)
    return found


def _parse_slowly(body: bytes) -> Any:
    too_deep = RequestError(
        422, "invalid_request", f"the body nests more than {MAX_DEPTH} levels of arrays and objects"
    )
    try:
        value = json.loads(
            body.decode(), parse_constant=_no_constant, parse_int=_whole, object_pairs_hook=_unique
        )
        _strings(value, 0)
    except RecursionError:
        if body.rstrip().endswith((b"]", b"}")):
            raise too_deep from None
        raise _no_json("it is cut off, and nested too deeply") from None
    except UnicodeDecodeError as error:
        raise _no_json(f"byte {error.start} is not UTF-8") from None
    except ValueError as error:
        raise _no_json(str(error)) from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise RequestError(
                    422,
                    "invalid_request",
                    f"the key {shown(key)} is given twice in one object; which value is meant?",
                )
            seen.add(key)
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON; use null")


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python reads 4,300 digits; its words for more are for programmers
        raise ValueError(f"a number of {len(digits)} digits is too long to be read") from None


def _no_json(reason: str) -> RequestError:
    return RequestError(400, "no_json", f"the body is not JSON: {printable(reason, 200)}")


def printable(text: str, limit: int) -> str:
    """Text that every encoding of an answer takes, cut at `limit` characters."""
    if len(text) > limit:
        text = text[: limit - 3] + "..."
    return text.encode("utf-8", "backslashreplace").decode()


def shown(value: Any, limit: int = 60) -> str:
    """A value as a message quotes it: short, printable, whatever it is."""
    if isinstance(value, str):
        return printable(json.dumps(value[: limit + 1], ensure_ascii=False), limit)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "an array"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 180:
        return f"a whole number of {value.bit_length()} bits"
    return printable(json.dumps(value) if _plain(value) else repr(value), limit)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float))

"""JSON as the engine's own decoder cannot read it in another way than this one.

Go's decoder takes keys in any case and the last of a repeated one, and cuts off what follows the
document. So a document with any of these is refused, and what is passed on is written anew.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from socket_proxy.errors import Refused

MAX_DEPTH = 8


def parse(body: bytes) -> dict[str, Any]:
    """The object that `body` holds.

    Raises:
        Refused: it is not a JSON object in UTF-8, repeats a key, or nests deeper than `MAX_DEPTH`.
    """
    try:
        document = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_no_number,
        )
        _check(document, MAX_DEPTH)
    except RecursionError:
        raise Refused("the body nests too deep") from None
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}"[:200]) from None
    if not isinstance(document, dict):
        raise Refused("the body must be a JSON object")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Refused(f"key {key[:60]!r} stands twice in the body")
        found[key] = value
    return found


def _no_number(text: str) -> NoReturn:
    raise Refused(f"{text[:40]} is not a whole number; the body may hold no other")


def _check(value: Any, depth: int) -> None:
    if depth < 0:
        raise Refused("the body nests too deep")
    if isinstance(value, str):
        value.encode()  # half a surrogate pair: a ValueError
        if "\0" in value:
            raise Refused("a text of the body holds a zero byte")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth)
            _check(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth - 1)

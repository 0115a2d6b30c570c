"""The functions of JSON texts.

OpenMLDB reads JSON lazily (simdjson "on demand"): only what lies on the way to the wanted value is
looked at, so a text that is no JSON further on still answers. This reader does the same.
"""

from __future__ import annotations

import json
import re

from openmldb_sql.types import SqlType

from openmldb_embedded.functions.registry import register
from openmldb_embedded.functions.text import on_text

T = SqlType
_TOKENS = re.compile(r'[{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+', re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}
_INDEX = re.compile(r"0|[1-9][0-9]*")
_MAX_TOKENS = 1_000_000


class _Broken(Exception):
    """The text is no JSON where it was looked at."""


def _tokens(text: str) -> list[tuple[str, int, int]]:
    """Tokens with where they begin and end.

    Raises:
        _Broken: A string that does not end, bytes that are no UTF-8, or nothing at all.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _Broken from error
    out: list[tuple[str, int, int]] = []
    at = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        if at == len(text):
            break
        m = _TOKENS.match(text, at)
        if m is None or len(out) > _MAX_TOKENS:
            raise _Broken
        out.append((m[0], at, m.end()))
        at = m.end()
    if not out:
        raise _Broken
    opened = out[0][0]
    if opened in _CLOSING and out[-1][0] != _CLOSING[opened]:
        raise _Broken
    return out


def _skip(tokens: list[tuple[str, int, int]], at: int) -> int:
    """The place after the value at ``at``."""
    depth = 0
    while at < len(tokens):
        token = tokens[at][0]
        at += 1
        if token in _CLOSING:
            depth += 1
        elif token in ("}", "]"):
            depth -= 1
            if depth < 0:
                raise _Broken
        if depth == 0:
            return at
    raise _Broken


def _members(tokens: list[tuple[str, int, int]], at: int) -> list[tuple[str, int]]:
    """Keys (as written, without quotes) and values' places of the object at ``at``."""
    out = []
    at += 1
    while tokens[at][0] != "}":
        key = tokens[at][0]
        if key[0] != '"' or tokens[at + 1][0] != ":":
            raise _Broken
        out.append((key[1:-1], at + 2))
        at = _skip(tokens, at + 2)
        if tokens[at][0] == ",":
            at += 1
        elif tokens[at][0] != "}":
            raise _Broken
    return out


def _elements(
    tokens: list[tuple[str, int, int]], at: int, *, until: int | None = None
) -> list[int]:
    """Places of the elements of the array at ``at``, no further than the one asked for."""
    out = []
    at += 1
    while tokens[at][0] != "]":
        out.append(at)
        if until is not None and len(out) > until:
            return out
        at = _skip(tokens, at)
        if tokens[at][0] == ",":
            at += 1
        elif tokens[at][0] != "]":
            raise _Broken
    return out


def json_array_length(text: str) -> int | None:
    """How many elements an array has; None for what is not an array."""
    try:
        tokens = _tokens(text)
        return len(_elements(tokens, 0)) if tokens[0][0] == "[" else None
    except (_Broken, IndexError):
        return None


def get_json_object(text: str, pointer: str) -> str | None:
    """What a JSON Pointer (RFC 6901) finds: a string's text, else the JSON as written."""
    try:
        tokens = _tokens(text)
        at = 0
        if pointer == "" and tokens[0][0] not in _CLOSING:
            return None
        if pointer and not pointer.startswith("/"):
            return None
        for step in pointer.split("/")[1:]:
            found = _step(tokens, at, step.replace("~1", "/").replace("~0", "~"))
            if found is None:
                return None
            at = found
        return _written(text, tokens, at)
    except (_Broken, IndexError):
        return None


def _step(tokens: list[tuple[str, int, int]], at: int, key: str) -> int | None:
    kind = tokens[at][0]
    if kind == "{":
        return next((place for name, place in _members(tokens, at) if name == key), None)
    if kind == "[" and _INDEX.fullmatch(key):
        wanted = int(key)
        places = _elements(tokens, at, until=wanted)
        return places[wanted] if wanted < len(places) else None
    return None


def _written(text: str, tokens: list[tuple[str, int, int]], at: int) -> str | None:
    token, start, end = tokens[at]
    if token[0] == '"':
        try:
            found = json.loads(token, strict=False)
        except ValueError:
            return None
        return str(found)
    if token in _CLOSING:
        return text[start : tokens[_skip(tokens, at) - 1][2]]
    return text[start:end] if token[0] in "-0123456789tfn" else None


register("json_array_length", "(STRING)", "how many elements a JSON array has, NULL for others")(
    on_text(T.INT32, json_array_length)
)
register("get_json_object", "(STRING, STRING)", "what a JSON Pointer (``/a/0``) finds, as text")(
    on_text(T.STRING, get_json_object, (T.STRING,))
)

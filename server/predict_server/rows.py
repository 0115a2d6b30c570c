"""From a request's JSON to rows of the request table, checked value by value.

OpenMLDB's API server is strict (ints must be JSON ints, a timestamp milliseconds) and its
messages name a column at best; here each problem is found with its row and field, and times
may also be ISO text.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nightshift.features.specification import nearest, sql_type
from predict_server.errors import InvalidRows, Problem, RequestError

Column = tuple[str, str]
"""Name and lower-case SQL type, as `GET /dbs/{db}/deployments/{name}` tells them."""

MAX_PROBLEMS = 20
"""Problems told of one request; a wrong client has thousands."""

_INT_BITS = {"int16": 16, "int32": 32, "int64": 64}
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_MILLISECOND = dt.timedelta(milliseconds=1)

EXPECTED = {
    "bool": "true or false",
    "int16": "a whole number of 16 bits",
    "int32": "a whole number of 32 bits",
    "int64": "a whole number of 64 bits",
    "float": "a number",
    "double": "a number",
    "string": "text",
    "date": 'a date as text, "2016-03-15"',
    "timestamp": "milliseconds since 1970 as a whole number, or ISO 8601 text with its zone, "
    '"2016-03-15T20:43:04+08:00"',
}
"""What a field of each type takes; null is taken by all."""


def parse_json(body: bytes) -> Any:
    """Parse a request's body.

    Raises:
        RequestError: it is no JSON (400).
    """
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestError(400, "no_json", f"the body is no JSON: {reason}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON; use null")


def read_rows(payload: Any, schema: Sequence[Column], *, max_rows: int) -> list[list[Any]]:
    """Rows in the order of the schema, ready for the API server.

    Args:
        payload: one row as an object, a list of rows, or `{"rows": [...]}`. A row is an object
            that has every field, or an array in the order of the schema.
        schema: columns of the request table.
        max_rows: rows of one request at most.

    Raises:
        InvalidRows: a row or field does not fit (422).
        RequestError: no rows (422), or too many (413).
    """
    names = [name for name, _ in schema]
    if isinstance(payload, dict) and "rows" in payload and "rows" not in names:
        extra = [key for key in payload if key != "rows"]
        if extra:
            raise RequestError(
                422, "invalid_request", f"unknown key {extra[0]!r} beside 'rows'; remove it"
            )
        payload = payload["rows"]
    elif isinstance(payload, dict):
        payload = [payload]
    if not isinstance(payload, list):
        raise RequestError(
            422,
            "invalid_request",
            'give a row as an object, a list of rows, or {"rows": [...]}; see GET /schema',
        )
    if payload and not isinstance(payload[0], (dict, list)) and len(payload) == len(names):
        payload = [payload]  # one row as an array
    return check_rows(payload, schema, max_rows=max_rows)


def check_rows(rows: Sequence[Any], schema: Sequence[Column], *, max_rows: int) -> list[list[Any]]:
    """As `read_rows`, of rows already in a list."""
    if not rows:
        raise RequestError(422, "invalid_request", "the request holds no rows")
    if len(rows) > max_rows:
        raise RequestError(
            413,
            "too_many_rows",
            f"the request holds {len(rows)} rows and at most {max_rows} are answered at once "
            "(NIGHTSHIFT_PREDICT_MAX_ROWS); split it",
        )
    problems: list[Problem] = []
    checked = [_row(number, row, schema, problems) for number, row in enumerate(rows)]
    if problems:
        raise InvalidRows(problems)
    return checked


def _row(number: int, row: Any, schema: Sequence[Column], problems: list[Problem]) -> list[Any]:
    if len(problems) >= MAX_PROBLEMS:
        return []
    if isinstance(row, Mapping):
        known = {name for name, _ in schema}
        problems += [
            Problem(number, str(key), f"unknown field{nearest(str(key), known)}")
            for key in row
            if key not in known
        ]
        values = []
        for name, kind in schema:
            if name in row:
                values.append(row[name])
            else:
                values.append(None)
                problems.append(
                    Problem(number, name, f"missing; give {EXPECTED.get(kind, kind)}, or null")
                )
    elif isinstance(row, list):
        if len(row) != len(schema):
            names = ", ".join(name for name, _ in schema)
            problems.append(
                Problem(number, "", f"{len(row)} values; {len(schema)} are needed: {names}")
            )
            return []
        values = row
    else:
        problems.append(Problem(number, "", "a row is an object or an array"))
        return []
    checked = []
    for (name, kind), value in zip(schema, values, strict=True):
        problem, taken = _take(value, sql_type(kind))
        checked.append(taken)
        if problem:
            problems.append(Problem(number, name, problem))
    return checked


def _take(value: Any, kind: str) -> tuple[str, Any]:
    """What is wrong with a value, or nothing, and the value for the API server."""
    try:
        return "", None if value is None else check_value(value, kind)
    except ValueError as error:
        return str(error), None


def check_value(value: Any, kind: str) -> Any:
    """A JSON value as the API server takes it for a column of SQL type `kind`.

    Raises:
        ValueError: it does not fit; the message says what would.
    """
    if kind == "string":
        if isinstance(value, str):
            _check_text(value)
            return value
    elif kind == "bool":
        if isinstance(value, bool):
            return value
    elif isinstance(value, bool):
        pass
    elif kind in _INT_BITS:
        if isinstance(value, int):
            half = 1 << (_INT_BITS[kind] - 1)
            if -half <= value < half:
                return value
    elif kind in ("float", "double"):
        if isinstance(value, (int, float)) and math.isfinite(value):
            return float(value)
    elif kind == "timestamp":
        if isinstance(value, int) and abs(value) < 1 << 63:
            return value
        if isinstance(value, str):
            return _milliseconds(value)
    elif kind == "date" and isinstance(value, str) and (match := _DATE.fullmatch(value)):
        year, month, day = map(int, match.groups())
        return dt.date(year, month, day).isoformat()
    shown = json.dumps(value, ensure_ascii=False)
    if len(shown) > 60:
        shown = shown[:57] + "..."
    raise ValueError(f"{shown} does not fit type {kind}: give {EXPECTED.get(kind, kind)}")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds half of a surrogate pair, which is no Unicode") from None


def _milliseconds(text: str) -> int:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: give {EXPECTED['timestamp']}") from None
    if moment.tzinfo is None:
        # The tutorial's texts are of UTC+8, its files' times UTC: a guess would be skew.
        raise ValueError(
            f"{text!r} does not say its time zone; add it, for example +08:00 or Z, "
            "or give milliseconds since 1970"
        )
    return (moment - _EPOCH) // _MILLISECOND

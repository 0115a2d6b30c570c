"""From a request's JSON to rows of the request table, checked value by value.

OpenMLDB's API server is strict (ints must be JSON ints, a timestamp milliseconds), its messages
name a column at best, and some values end its process; here each problem is found with its row
and field, and times may also be ISO text.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from nightshift.config.yamlfile import nearest
from nightshift.features.specification import sql_type
from predict_server.errors import InvalidRows, Problem, RequestError
from predict_server.payload import parse_json, printable, shown

__all__ = ["EXPECTED", "Column", "RowReader", "check_value", "parse_json", "read_rows"]

Column = tuple[str, str]
"""Name and lower-case SQL type, as `GET /dbs/{db}/deployments/{name}` tells them."""

MAX_PROBLEMS = 20
"""Problems told of one request; a wrong client has thousands."""

SEVERAL = 4
"""Rows that are checked column by column."""

FIRST_YEAR = 1900
"""OpenMLDB stores a date as years since 1900 and refuses those before."""

LAST_MS = 253_402_214_400_000
"""The last moment of a row, in milliseconds since 1970: the year 9999 ends here in every zone."""

_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_MILLISECOND = dt.timedelta(milliseconds=1)

EXPECTED = {
    "bool": "true or false",
    "int16": "a whole number of 16 bits",
    "int32": "a whole number of 32 bits",
    "int64": "a whole number of 64 bits",
    "float": "a number of 32 bits",
    "double": "a number of 64 bits",
    "string": "text",
    "date": 'a date as text, "2016-03-15"',
    "timestamp": "milliseconds since 1970 as a whole number, or ISO 8601 text with its zone, "
    '"2016-03-15T20:43:04+08:00"',
}
"""What a field of each type takes; null is taken by all."""


class _Unfit(ValueError):
    """A value that its column's type does not take; the message is made from the type."""


Take = Callable[[Any], Any]
Check = Callable[[Sequence[Any]], None]


def _same(value: Any) -> Any:
    return value


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(
                "the text holds half of a surrogate pair, which is not Unicode"
            ) from None
    return value


def _integer(bits: int) -> Take:
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def take(value: int) -> int:
        if low <= value <= high:
            return value
        raise _Unfit

    return take


def _double(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise _Unfit from None
    if math.isfinite(number):
        return number
    raise _Unfit


def _float(value: float) -> float:
    number = _double(value)
    try:
        struct.pack("<f", number)
    except OverflowError:
        raise _Unfit from None
    return number


def _milliseconds(text: str) -> int:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is not a time: give {EXPECTED['timestamp']}") from None
    if moment.tzinfo is None:
        # The tutorial's texts are of UTC+8, its files' times UTC: a guess would be skew.
        raise ValueError(
            f"{shown(text)} does not say its time zone; add it, for example +08:00 or Z, "
            "or give milliseconds since 1970"
        )
    return (moment - _EPOCH) // _MILLISECOND


def _date(text: str) -> str:
    match = _DATE.fullmatch(text)
    if match is None:
        raise _Unfit
    try:
        day = dt.date(*map(int, match.groups()))
    except ValueError:
        raise ValueError(f"{shown(text)} is not in the calendar") from None
    if day.year < FIRST_YEAR:
        raise ValueError(f"{shown(text)} is before {FIRST_YEAR}, where OpenMLDB's dates begin")
    return day.isoformat()


_TAKES: dict[str, dict[type, Take]] = {
    "bool": {bool: _same},
    "int16": {int: _integer(16)},
    "int32": {int: _integer(32)},
    "int64": {int: _integer(64)},
    "float": {float: _float, int: _float},
    "double": {float: _double, int: _double},
    "string": {str: _text},
    "date": {str: _date},
    "timestamp": {int: _integer(64), str: _milliseconds},
}
"""By SQL type and type of the JSON value: what checks it and makes it the API server's."""


def _moment(value: int | None) -> int | None:
    """A time in milliseconds, if a row can have been then."""
    if value is None or 0 <= value <= LAST_MS:
        return value
    raise ValueError("lies before 1970 or after 9999, and says when a row was")


def _texts(values: Sequence[str]) -> None:
    _text("".join(values))


def _integers(low: int, high: int) -> Check:
    def check(values: Sequence[int]) -> None:
        if min(values) < low or max(values) > high:
            raise _Unfit

    return check


_CHECKS: dict[str, tuple[type, Check]] = {
    "int16": (int, _integers(-(2**15), 2**15 - 1)),
    "int32": (int, _integers(-(2**31), 2**31 - 1)),
    "int64": (int, _integers(-(2**63), 2**63 - 1)),
    "timestamp": (int, _integers(-(2**63), 2**63 - 1)),
    "string": (str, _texts),
}
"""By SQL type: the type of the JSON values that are taken as they come, and a check of several."""

_MOMENT_CHECK = (int, _integers(0, LAST_MS))
"""As `_CHECKS`, of a timestamp that says when a row was."""

_MOMENT: dict[type, Take] = {int: _moment, str: lambda text: _moment(_milliseconds(text))}
"""As `_TAKES`, of a timestamp that says when a row was."""

for _takes in (*_TAKES.values(), _MOMENT):
    _takes[type(None)] = _same


def check_value(value: Any, kind: str) -> Any:
    """A JSON value as the API server takes it for a column of SQL type `kind`.

    Raises:
        ValueError: it does not fit; the message says what would.
    """
    if value is None:
        return None
    take = _TAKES.get(kind, {}).get(type(value))
    try:
        if take is not None:
            return take(value)
    except _Unfit:
        pass
    raise ValueError(f"{shown(value)} does not fit type {kind}: give {EXPECTED.get(kind, kind)}")


class RowReader:
    """Reads rows of one request schema.

    Args:
        schema: columns of the table.
        moments: timestamps that say when a row was, and by which rows are kept and found:
            OpenMLDB refuses a negative one, and no window reaches to one beyond the calendar.
    """

    def __init__(self, schema: Sequence[Column], moments: Iterable[str] = ()) -> None:
        self.names = tuple(name for name, _ in schema)
        self.kinds = tuple(sql_type(kind) for _, kind in schema)
        self._known = frozenset(self.names)
        timestamps = {n for n, k in zip(self.names, self.kinds, strict=True) if k == "timestamp"}
        self._moments = timestamps.intersection(moments)
        self._takes = tuple(
            _MOMENT if name in self._moments else _TAKES.get(kind, {})
            for name, kind in zip(self.names, self.kinds, strict=True)
        )
        self._checks = tuple(
            _MOMENT_CHECK if name in self._moments else _CHECKS.get(kind)
            for name, kind in zip(self.names, self.kinds, strict=True)
        )
        picked = itemgetter(*self.names)
        self._pick: Callable[[Any], tuple[Any, ...]] = (
            picked if len(self.names) > 1 else lambda row: (picked(row),)
        )

    def read(self, payload: Any, *, max_rows: int) -> list[list[Any]]:
        """Rows in the order of the schema, ready for the API server.

        Args:
            payload: one row as an object, a list of rows, or `{"rows": [...]}`. A row is an
                object that has every field, or an array in the order of the schema.
            max_rows: rows of one request at most.

        Raises:
            InvalidRows: a row or field does not fit (422).
            RequestError: no rows (422), or too many (413).
        """
        if isinstance(payload, dict) and "rows" in payload and "rows" not in self._known:
            extra = [key for key in payload if key != "rows"]
            if extra:
                raise RequestError(
                    422,
                    "invalid_request",
                    f"unknown key {printable(repr(extra[0]), 60)} beside 'rows'; remove it",
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
        one = payload and len(payload) == len(self.names)
        if one and not isinstance(payload[0], (dict, list)):
            payload = [payload]  # one row as an array
        return self.check(payload, max_rows=max_rows)

    def check(self, rows: Sequence[Any], *, max_rows: int) -> list[list[Any]]:
        """As `read`, of rows already in a list."""
        if not rows:
            raise RequestError(422, "invalid_request", "the request holds no rows")
        if len(rows) > max_rows:
            raise RequestError(
                413,
                "too_many_rows",
                f"the request holds {len(rows)} rows and at most {max_rows} are answered at once "
                "(NIGHTSHIFT_PREDICT_MAX_ROWS); split it",
            )
        together = self._together(rows) if len(rows) >= SEVERAL else None
        if together is not None:
            return together
        problems: list[Problem] = []
        checked = []
        for number, row in enumerate(rows):
            quick = self._quick(row)
            checked.append(self._row(number, row, problems) if quick is None else quick)
        if problems:
            raise InvalidRows(problems)
        return checked

    def joined(self, shared: Mapping[str, Any], rows: Sequence[Any]) -> list[list[Any]] | None:
        """Rows that are objects and have some fields in common, which are checked once.

        Returns:
            As `check`; None where something does not fit, or is there twice.
        """
        rest = [name for name in self.names if name not in shared]
        fields = {len(rest)}
        if len(shared) + len(rest) != len(self.names) or not rest:
            return None
        if set(map(type, rows)) != {dict} or set(map(len, rows)) != fields:
            return None
        try:
            return self._rows(
                [
                    [shared[name]] if name in shared else [row[name] for row in rows]
                    for name in self.names
                ],
                len(rows),
            )
        except (KeyError, ValueError):
            return None

    def _together(self, rows: Sequence[Any]) -> list[list[Any]] | None:
        """The rows if all of them fit, checked by column; None where they must be looked at."""
        kinds = set(map(type, rows))
        if kinds not in ({dict}, {list}) or set(map(len, rows)) != {len(self.names)}:
            return None
        try:
            given = rows if kinds == {list} else [self._pick(row) for row in rows]
            return self._rows(list(zip(*given, strict=True)), len(rows))
        except (KeyError, ValueError):
            return None

    def _rows(self, columns: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
        """Rows of checked columns; a column of one value is that value in each row.

        Raises:
            ValueError: a value does not fit.
            KeyError: a value is of a type that does not.
        """
        made: list[Sequence[Any]] = []
        for values, takes, check in zip(columns, self._takes, self._checks, strict=True):
            if check is not None and set(map(type, values)) == {check[0]}:
                check[1](values)
            else:
                values = [takes[type(value)](value) for value in values]
            made.append(values if len(values) == count else [values[0]] * count)
        return list(map(list, zip(*made, strict=True)))

    def _quick(self, row: Any) -> list[Any] | None:
        """The row if all of it fits; None where it must be looked at closely."""
        if len(row) != len(self.names) if type(row) in (dict, list) else True:
            return None
        try:
            values = self._pick(row) if type(row) is dict else row
            return [
                takes[type(value)](value) for takes, value in zip(self._takes, values, strict=True)
            ]
        except (KeyError, ValueError):
            return None

    def _row(self, number: int, row: Any, problems: list[Problem]) -> list[Any]:
        if len(problems) >= MAX_PROBLEMS:
            return []
        if isinstance(row, Mapping):
            values = self._fields(number, row, problems)
        elif isinstance(row, list):
            if len(row) != len(self.names):
                names = printable(", ".join(self.names), 1000)
                problems.append(
                    Problem(number, "", f"{len(row)} values; {len(self.names)} are needed: {names}")
                )
                return []
            values = row
        else:
            problems.append(Problem(number, "", "a row is an object or an array"))
            return []
        checked = []
        for name, kind, value in zip(self.names, self.kinds, values, strict=True):
            try:
                made = check_value(value, kind)
                if name in self._moments:
                    _moment(made)
                checked.append(made)
            except ValueError as error:  # noqa: PERF203
                checked.append(None)
                problems.append(Problem(number, name, str(error)))
        return checked

    def _fields(self, number: int, row: Mapping[str, Any], problems: list[Problem]) -> list[Any]:
        for key in row:
            if key not in self._known:
                if len(problems) >= MAX_PROBLEMS:
                    break
                name = printable(str(key), 60)
                problems.append(Problem(number, name, f"unknown field{nearest(name, self._known)}"))
        values = []
        for name, kind in zip(self.names, self.kinds, strict=True):
            values.append(row.get(name))
            if name not in row:
                problems.append(
                    Problem(number, name, f"missing; give {EXPECTED.get(kind, kind)}, or null")
                )
        return values


def read_rows(payload: Any, schema: Sequence[Column], *, max_rows: int) -> list[list[Any]]:
    """`RowReader.read` of a schema that is read once."""
    return RowReader(schema).read(payload, max_rows=max_rows)

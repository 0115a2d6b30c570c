"""`POST .../recommend`: what a request may hold, and the candidates' rows.

Retrieval, then features for all candidates in one call of the deployment, then the model. All
three belong to one release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nightshift.errors import ConfigurationError, ContractError
from nightshift.features.specification import sql_type
from nightshift.recommend.interactions import ID
from nightshift.recommend.recommender import Candidates, Recommender
from nightshift.recommend.requests import RequestRows
from predict_server.errors import RequestError
from predict_server.payload import printable, shown
from predict_server.rows import check_value

DEFAULT_N = 10
MAX_LIST = 1_000
"""Ids in `exclude` and in `history`."""

_KEYS = ("user", "n", "exclude_consumed", "filter", "exclude", "history", "context", "fields")


@dataclass(frozen=True)
class Ask:
    """A request, checked.

    Attributes:
        user: the user's id; None is a user that nobody knows.
        n: items wanted.
        exclude_consumed: leave out what the user touched.
        conditions: on the items' columns.
        exclude: ids of items to leave out.
        history: ids of items that the user liked since the night.
        context: columns of the request that all candidates share.
        fields: columns of the items to answer with.
    """

    user: Any
    n: int = DEFAULT_N
    exclude_consumed: bool = True
    conditions: Mapping[str, Any] = field(default_factory=dict)
    exclude: Sequence[Any] = ()
    history: Sequence[Any] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    fields: Sequence[str] = ()


class Retrieval:
    """A release's retrieval, for requests.

    Args:
        made: loaded from the release.
        schema: name and SQL type of the request table's columns.

    Raises:
        ContractError: retrieval and request table do not fit each other.
    """

    def __init__(self, made: Recommender, schema: Sequence[tuple[str, str]]) -> None:
        self.made = made
        self._rows = RequestRows(made, [(name, sql_type(kind)) for name, kind in schema])
        self._kinds = {name: sql_type(kind) for name, kind in schema}
        for name, ids in zip(self._rows.given, (made.users, made.ids), strict=True):
            kind = self._kinds.get(name)
            if kind is None or (kind == "string") != ids.is_text:
                raise ContractError(
                    f"the retrieval's {name} is {'text' if ids.is_text else 'a whole number'}, and "
                    f"{kind or 'not there'} in the deployment's request table"
                )

    @property
    def user(self) -> str:
        """The request table's column of the user."""
        return self._rows.given[0]

    def describe(self) -> dict[str, Any]:
        """What `GET schema` says of it."""
        user, item = self._rows.given
        return {
            "user": {"name": user, "type": self._kinds[user]},
            "item": {"name": item, "type": self._kinds[item]},
            "columns": list(self.made.columns),
            "users": len(self.made.users),
            "items": len(self.made.ids),
            "candidates": self.made.options.candidates,
            "retrievers": list(self.made.options.retrievers),
        }

    def read(self, payload: Any) -> Ask:
        """Check a request.

        Raises:
            RequestError: it is not as it must be (422).
        """
        if not isinstance(payload, dict) or "user" not in payload:
            raise _refuse('give {"user": ..., "n": 10}')
        unknown = [key for key in payload if key not in _KEYS]
        if unknown:
            raise _refuse(f"unknown key {shown(unknown[0])}; known: {', '.join(_KEYS)}")
        user_column, item_column = self._rows.given
        n = payload.get("n", DEFAULT_N)
        most = self.made.options.candidates
        if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= most:
            raise _refuse(f"'n' is a whole number from 1 to {most}, the candidates that are ranked")
        exclude_consumed = payload.get("exclude_consumed", True)
        if not isinstance(exclude_consumed, bool):
            raise _refuse("'exclude_consumed' is true or false")
        conditions = payload.get("filter") or {}
        if not isinstance(conditions, dict):
            raise _refuse("'filter' is an object of conditions by column")
        context = self._context(payload.get("context") or {})
        return Ask(
            self._id(user_column, payload["user"], "user"),
            n,
            exclude_consumed,
            conditions,
            self._ids(payload, "exclude", item_column),
            self._ids(payload, "history", item_column),
            context,
            self._fields(payload.get("fields") or []),
        )

    def _id(self, column: str, value: Any, where: str) -> Any:
        """A user's or item's id; a whole number is taken for its digits where ids are text."""
        if type(value) is int and value.bit_length() < 64 and self._kinds[column] == "string":
            value = str(value)
        return self._value(column, value, where)

    def _value(self, column: str, value: Any, where: str) -> Any:
        try:
            return check_value(value, self._kinds[column])
        except ValueError as error:
            raise _refuse(f"{where}: {error}") from None

    def _ids(self, payload: Mapping[str, Any], key: str, column: str) -> list[Any]:
        given = payload.get(key) or []
        if not isinstance(given, list) or len(given) > MAX_LIST:
            raise _refuse(f"'{key}' is a list of at most {MAX_LIST} items")
        return [self._id(column, value, key) for value in given]

    def _context(self, given: Any) -> Mapping[str, Any]:
        if not isinstance(given, dict):
            raise _refuse("'context' holds fields of the request table, as an object")
        for name in given:
            if name not in self._kinds or name in self._rows.given:
                known = [c for c in self._kinds if c not in self._rows.given]
                raise _refuse(
                    f"'context' has no field {shown(name)}; there are: "
                    + printable(", ".join(known), 500)
                )
        return {name: self._value(name, value, f"context: {name}") for name, value in given.items()}

    def _fields(self, given: Any) -> list[str]:
        known = self.made.columns
        if not isinstance(given, list) or not all(name in known for name in given):
            raise _refuse(f"'fields' is a list of columns: {', '.join(known) or 'there is none'}")
        return given

    def candidates(self, ask: Ask, most: int) -> Candidates:
        """Ask the retrievers; at most `most` items.

        Raises:
            RequestError: a condition of the filter does not fit (422).
        """
        count = min(self.made.options.candidates, most)
        try:
            return self.made.retrieve(
                ask.user,
                count,
                exclude_consumed=ask.exclude_consumed,
                conditions=ask.conditions,
                exclude=ask.exclude,
                history=ask.history,
            )
        except ConfigurationError as error:
            raise RequestError(422, "invalid_request", printable(str(error), 500)) from None

    def rows(self, ask: Ask, found: Candidates) -> list[dict[str, Any]]:
        """One row of the request table a candidate."""
        return self._rows.make(ask.user, found.items, ask.context)

    def shown(self, ask: Ask, found: Candidates, order: Sequence[int]) -> list[dict[str, Any]]:
        """Id and wanted columns of the candidates at these places."""
        places = found.items[list(order)]
        names = {ID: "item", **{name: name for name in ask.fields}}
        columns = {said: self.made.values(name, places) for name, said in names.items()}
        items = columns.pop("item")
        answers: list[dict[str, Any]] = [{"item": item} for item in items]
        for n, answer in enumerate(answers if columns else ()):
            answer["fields"] = {name: values[n] for name, values in columns.items()}
        return answers


def _refuse(why: str) -> RequestError:
    return RequestError(422, "invalid_request", f"{why}; see /docs")

"""From a user and items to rows of the request table."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nightshift.config.recommend import placeholders
from nightshift.recommend.interactions import ID
from nightshift.recommend.ragged import Index
from nightshift.recommend.recommender import Recommender

INTEGERS = frozenset({"int16", "int32", "int64"})


class RequestRows:
    """Makes request rows as the pipeline's `recommend` says.

    A column is, the first that there is: what the caller gives; user or item; the template of
    `fill`; the request's time or id; the item table's column of the same name; NULL.

    Args:
        made: the release's retrieval.
        schema: name and SQL type of the request table's columns.
    """

    def __init__(self, made: Recommender, schema: Sequence[tuple[str, str]]) -> None:
        self._made = made
        self._options = made.options
        self._schema = schema
        self._time: str = made.card["request"]["time"]
        self._id: str = made.card["request"]["id"]
        self._kinds = dict(schema)

    @property
    def given(self) -> tuple[str, str]:
        """The columns of users and items, which a caller cannot give otherwise."""
        return self._options.user, self._options.item

    def moment(self) -> int:
        """The time of a request that names none, milliseconds since 1970."""
        if self._options.time == "now":
            return int(time.time() * 1000)
        return int(self._made.card["last_ms"])

    def make(
        self, user: Any, places: Index, context: Mapping[str, Any], *, token: str | None = None
    ) -> list[dict[str, Any]]:
        """One row an item, each with every column of the schema.

        Args:
            user: its id.
            places: of the items.
            context: columns that all rows share, as the caller gives them.
            token: begins the request ids; None for a random one.
        """
        at = context.get(self._time)
        base = {
            "user": user,
            "time": self.moment() if at is None else at,
            "token": uuid.uuid4().hex if token is None else token,
        }
        count = len(places)
        columns = [self._column(name, base, places, context) for name, _ in self._schema]
        names = [name for name, _ in self._schema]
        return [
            dict(zip(names, (column[n] for column in columns), strict=True)) for n in range(count)
        ]

    def _column(
        self, name: str, base: Mapping[str, Any], places: Index, context: Mapping[str, Any]
    ) -> list[Any]:
        count = len(places)
        if name in context:
            return [context[name]] * count
        if name == self._options.user:
            return [base["user"]] * count
        if name == self._options.item:
            return self._made.values(ID, places)
        template = self._options.fill.get(name)
        if template is not None:
            return self._filled(template, base, places)
        if name == self._time:
            return [base["time"]] * count
        if name == self._id:
            return self._ids(base, places)
        if name in self._made.columns:
            return self._made.values(name, places)
        return [None] * count

    def _ids(self, base: Mapping[str, Any], places: Index) -> list[Any]:
        if self._kinds.get(self._id) in INTEGERS:
            return [int(place) for place in places]
        return [f"{base['token']}-{place}" for place in places]

    def _filled(self, template: str, base: Mapping[str, Any], places: Index) -> list[Any]:
        used = placeholders(template)
        values = {name: self._placeholder(name, base, places) for name in used}
        if len(used) == 1 and template == f"{{{used[0]}}}":
            return values[used[0]]
        if not used:
            return [template.format()] * len(places)
        text = _split(template)
        return [
            None
            if any(values[name][n] is None for name in used)
            else "".join(part(n, values) for part in text)
            for n in range(len(places))
        ]

    def _placeholder(self, name: str, base: Mapping[str, Any], places: Index) -> list[Any]:
        if name == "id":
            return self._ids(base, places)
        if name == "item":
            return self._made.values(ID, places)
        if name.startswith("item."):
            return self._made.values(name.removeprefix("item."), places)
        return [base[name]] * len(places)


def _split(template: str) -> list[Callable[[int, Mapping[str, Sequence[Any]]], str]]:
    import string

    parts: list[Callable[[int, Mapping[str, Sequence[Any]]], str]] = []
    for text, name, _, _ in string.Formatter().parse(template):
        if text:
            parts.append(lambda n, values, text=text: text)  # type: ignore[misc]
        if name is not None:
            parts.append(lambda n, values, name=name: str(values[name][n]))  # type: ignore[misc]
    return parts

"""Which users, which items, and the request row of each pair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nightshift import files
from nightshift.errors import ConfigurationError
from nightshift.features.specification import sql_type
from nightshift.recommend.ids import as_ids
from nightshift.recommend.interactions import ID
from nightshift.recommend.recommender import Recommender
from nightshift.recommend.requests import INTEGERS, RequestRows

if TYPE_CHECKING:
    import pyarrow as pa

ALL = "all"
_ARROW = {
    "string": "string",
    "bool": "bool",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "float": "float32",
    "double": "float64",
}
_PLAIN = {"timestamp": "int64", "date": "string"}
"""As `plain_values` makes them."""

_SHOWN = 5
"""Unknown ids that a message names."""


class Pairs(ABC):
    """Users by items.

    Attributes:
        users: how many users there are.
        items: how many items there are.
        user_ids: Arrow array [users], what the list calls them.
        item_ids: Arrow array [items].
    """

    users: int
    items: int
    user_ids: pa.Array
    item_ids: pa.Array

    @abstractmethod
    def rows(self, user: int, first: int, last: int) -> list[list[Any]]:
        """Request rows of one user and the items from `first` up to `last`."""

    def named(self, users: pa.Array, items: pa.Array) -> dict[str, pa.Array]:
        """The columns that name a list's rows, of places of users and of items."""
        return {"user": self.user_ids.take(users), "item": self.item_ids.take(items)}


class OfRelease(Pairs):
    """Rows as the release's `recommend` makes them.

    Args:
        made: its retrieval.
        schema: name and SQL type of the request table's columns.
        users: `all`, or a file with the users' column and perhaps others of the request table.
        items: `all`, or a file with the items' column.
        time: name of the column of the request's time, and its value.

    Raises:
        ConfigurationError: a file does not fit, or names items that the release does not know.
    """

    def __init__(
        self,
        made: Recommender,
        schema: Sequence[tuple[str, str]],
        users: str,
        items: str,
        time: tuple[str, int],
    ) -> None:
        self._names = [name for name, _ in schema]
        self._rows = RequestRows(made, schema)
        user, item = self._rows.given
        self._context = dict([time])
        self._table: pa.Table | None = None
        if users == ALL:
            self.user_ids = made.users.values
        else:
            self._table = read_file(Path(users), schema, user)
            self.user_ids = self._table[user].combine_chunks()
        self._user = user
        self._places = np.arange(len(made.ids), dtype=np.int32)
        if items != ALL:
            self._places = _known(read_file(Path(items), schema, item)[item], made, items)
        self.item_ids = made.ids.values.take(_array(self._places))
        self.users, self.items = len(self.user_ids), len(self._places)

    def rows(self, user: int, first: int, last: int) -> list[list[Any]]:
        """Request rows of one user and the items from `first` up to `last`."""
        context = dict(self._context)
        if self._table is not None:
            (given,) = self._table.slice(user, 1).to_pylist()
            context |= {name: value for name, value in given.items() if name != self._user}
        made = self._rows.make(
            self.user_ids[user].as_py(), self._places[first:last], context, token=f"list-{user}"
        )
        return [[row[name] for name in self._names] for row in made]


class OfFiles(Pairs):
    """Rows joined of two files: fields of the user and fields of the item.

    Args:
        schema: name and SQL type of the request table's columns.
        users: a file with columns of the request table.
        items: another, with other columns.
        request_id: the request table's column of ids.
        time: name of the column of the request's time, and its value.

    Raises:
        ConfigurationError: a file does not fit, or both give a column.
    """

    def __init__(
        self,
        schema: Sequence[tuple[str, str]],
        users: str,
        items: str,
        request_id: str,
        time: tuple[str, int],
    ) -> None:
        if ALL in (users, items):
            raise ConfigurationError(
                "the live release has no retrieval that knows all users and items: give --users "
                "and --items as files of columns of the request table"
            )
        left, right = read_file(Path(users), schema), read_file(Path(items), schema)
        both = set(left.column_names) & set(right.column_names)
        if both:
            raise ConfigurationError(f"{users} and {items} both give the column {sorted(both)[0]}")
        self._schema = schema
        self._left = left.to_pydict()
        self._right = right.to_pydict()
        self._time, self._id = time, request_id
        self.users, self.items = len(left), len(right)
        self.user_ids = left[left.column_names[0]].combine_chunks()
        self.item_ids = right[right.column_names[0]].combine_chunks()

    def rows(self, user: int, first: int, last: int) -> list[list[Any]]:
        """Request rows of one user and the items from `first` up to `last`."""
        columns: list[Sequence[Any]] = []
        count = last - first
        for name, kind in self._schema:
            if name in self._left:
                columns.append([self._left[name][user]] * count)
            elif name in self._right:
                columns.append(self._right[name][first:last])
            elif name == self._time[0]:
                columns.append([self._time[1]] * count)
            elif name == self._id:
                columns.append(
                    range(first, last)
                    if kind in INTEGERS
                    else [f"list-{user}-{at}" for at in range(first, last)]
                )
            else:
                columns.append([None] * count)
        return [list(row) for row in zip(*columns, strict=True)]


def read_file(path: Path, schema: Sequence[tuple[str, str]], needed: str | None = None) -> Any:
    """A csv or parquet file whose columns are columns of the request table.

    Raises:
        ConfigurationError: it cannot be read, lacks `needed`, or has another column.
    """
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".csv":
            table = pc.read_csv(path, convert_options=csv_options(schema))
        elif path.suffix.lower() == ".parquet":
            table = pq.read_table(path)
        else:
            raise ConfigurationError(f"{path}: name a .csv or .parquet file")
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    made = fitted(table, schema, str(path))
    if needed is not None and needed not in made.column_names:
        raise ConfigurationError(f"{path} has no column {needed}")
    if not len(made):
        raise ConfigurationError(f"{path} holds no rows")
    return made


def csv_options(schema: Sequence[tuple[str, str]]) -> Any:
    """How cells of the request table's columns are read."""
    import pyarrow.csv as pc

    kinds = {name: sql_type(kind) for name, kind in schema}
    types = {name: _ARROW[kind] for name, kind in kinds.items() if kind in _ARROW}
    return pc.ConvertOptions(column_types=_types(types))


def fitted(table: pa.Table, schema: Sequence[tuple[str, str]], where: str) -> pa.Table:
    """Columns of a file as the request table has them.

    Raises:
        ConfigurationError: a column is none of the request table's, or of another type.
    """
    import pyarrow as pa

    kinds = {name: sql_type(kind) for name, kind in schema}
    columns = {}
    for name in table.column_names:
        if name not in kinds:
            raise ConfigurationError(
                f"{where}: {name} is not a column of the request table; its columns: "
                f"{', '.join(kinds)}"
            )
        wanted = _ARROW.get(kinds[name])
        columns[name] = _fit(table[name], kinds[name], wanted, f"{where}: {name}")
    return pa.table(columns)


def _fit(column: Any, kind: str, wanted: str | None, where: str) -> Any:
    import pyarrow as pa

    from nightshift.serving.pair import plain_values

    if wanted is None:
        made = pa.type_for_alias(_PLAIN.get(kind, "string"))
        try:
            return pa.chunked_array([pa.array(plain_values(column), made)])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ConfigurationError(f"{where} is {column.type} and must be {kind}") from error
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if text != (kind == "string"):
        raise ConfigurationError(f"{where} is {column.type} and must be {kind}")
    try:
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _types(names: Mapping[str, str]) -> dict[str, Any]:
    import pyarrow as pa

    return {name: pa.type_for_alias(kind) for name, kind in names.items()}


def _known(column: Any, made: Recommender, path: str) -> Any:
    ids = as_ids(column, path).to_pylist()
    places = [made.ids.find(value) for value in ids]
    unknown = [value for value, place in zip(ids, places, strict=True) if place is None]
    if unknown:
        shown = ", ".join(map(repr, unknown[:_SHOWN]))
        raise ConfigurationError(
            f"{path}: {len(unknown)} items are not known to the live release ({shown}"
            f"{', ...' if len(unknown) > _SHOWN else ''}); add them to the item table and run a "
            "night, or leave them out"
        )
    return np.array(places, np.int32)


def _array(places: Any) -> Any:
    import pyarrow as pa

    return pa.array(places)


def digest(path: str) -> str:
    """What stands for a file, or for `all`, in a job's identity."""
    return ALL if path == ALL else files.sha256_file(Path(path))


__all__ = ["ALL", "ID", "OfFiles", "OfRelease", "Pairs", "digest", "read_file"]

"""Reading who touched what out of the pipeline's partitions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nightshift import layout
from nightshift.config.recommend import Recommend
from nightshift.data import reading
from nightshift.errors import DataError
from nightshift.features.tables import SourceTables
from nightshift.recommend import filters
from nightshift.recommend.ids import as_ids, plain

if TYPE_CHECKING:
    import pyarrow as pa

ID = "id"
"""The items' column of ids in the artefact."""


@dataclass(frozen=True)
class Interactions:
    """Rows of the interactions' table, oldest first.

    Attributes:
        users: the distinct users, ascending.
        items: the items, ascending by their column `id`; those of the item table without an
            interaction included.
        user: int32 [rows], places in `users`.
        item: int32 [rows], places in `items`.
        day: int32 [rows], days since 1970.
        liked: bool [rows]; the others were consumed only.
        dropped: rows without a user or an item.
    """

    users: pa.Array
    items: pa.Table
    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    day: npt.NDArray[np.int32]
    liked: npt.NDArray[np.bool_]
    dropped: int


def read(
    data: Path, tables: SourceTables, options: Recommend, *, last: dt.date, days: int
) -> Interactions:
    """Read the interactions of some days, and the item table.

    Args:
        data: root of the source tables.
        tables: which there are.
        options: which of their columns count.
        last: the last day.
        days: how many, `last` included.

    Raises:
        DataError: there is no interaction, a column is absent or of a type that cannot be an id.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = _rows(data, tables, options, layout.days_back(last, days))
    items = _items(data, options, last)
    there = pc.and_(pc.is_valid(rows["user"]), pc.is_valid(rows["item"]))
    dropped = len(rows) - int(pc.sum(there).as_py() or 0)
    rows = rows.filter(there)
    if not len(rows):
        raise DataError(
            f"{options.interactions.table or tables.request_table} holds no interaction in the "
            f"{days} days up to {last}"
        )
    rows = rows.take(pc.sort_indices(rows, [("day", "ascending"), ("time", "ascending")]))
    users = _distinct(rows["user"])
    if items[ID].type != rows["item"].type:
        if not len(items):
            items = pa.table({ID: pa.array([], rows["item"].type)})
        else:
            raise DataError(
                f"items are {rows['item'].type} in the interactions and {items[ID].type} in the "
                "item table; give both one type"
            )
    new = _distinct(rows["item"])
    new = new.filter(pc.invert(pc.is_in(new, value_set=items[ID].combine_chunks())))
    grown = pa.concat_tables([items, pa.table({ID: new})], promote_options="default")
    grown = grown.take(pc.sort_indices(grown, [(ID, "ascending")])).combine_chunks()
    return Interactions(
        users,
        grown,
        _places(rows["user"], users),
        _places(rows["item"], grown[ID].combine_chunks()),
        rows["day"].to_numpy().astype(np.int32),
        rows["liked"].to_numpy().astype(bool),
        dropped,
    )


def _distinct(column: Any) -> Any:
    import pyarrow.compute as pc

    found = pc.unique(column)
    return found.take(pc.sort_indices(found))


def _places(column: Any, among: Any) -> npt.NDArray[np.int32]:
    import pyarrow.compute as pc

    return np.asarray(pc.index_in(column, value_set=among).to_numpy(), np.int32)


def _rows(data: Path, tables: SourceTables, options: Recommend, days: Sequence[dt.date]) -> Any:
    import pyarrow as pa

    own = options.interactions
    table = own.table or tables.request_table
    user, item = own.user or options.user, own.item or options.item
    time = tables.events[table]
    parts = []
    asked: Any = None
    for day in layout.present(data, table, days):
        paths = reading.parquet_files(layout.partition(data, table, day))
        there = set(_columns(paths[0]))
        joined = not {user, item} <= there and tables.request_id in there
        wanted = [time, *own.where, *([tables.request_id] if joined else [user, item])]
        read = reading.table(paths, columns=list(dict.fromkeys(wanted)))
        if joined:
            if asked is None:
                asked = _requests(data, tables, options, days)
            read = read.append_column(
                "request", as_ids(read[tables.request_id], f"{table}.{tables.request_id}")
            ).join(asked, "request", join_type="inner")
            users, items = read["asking"], read["asked"]
        else:
            users = as_ids(read[user], f"{table}.{user}")
            items = as_ids(read[item], f"{table}.{item}")
        liked = filters.mask(
            _plain(read, own.where), own.where, f"recommend.interactions.where of {table}"
        )
        parts.append(
            pa.table(
                {
                    "user": users,
                    "item": items,
                    "day": pa.array(np.full(len(read), _number(day), np.int32)),
                    "time": _moments(read[time]),
                    "liked": pa.array(liked),
                }
            )
        )
    if not parts:
        raise DataError(
            f"{data / table} has no partition from {days[0]} to {days[-1]}; recommend learns from it"
        )
    try:
        return pa.concat_tables(parts).combine_chunks()
    except pa.ArrowInvalid as error:
        raise DataError(f"partitions of {table} differ in their ids: {error}") from error


def _columns(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    return list(pq.read_schema(path).names)


def _plain(read: Any, names: Any) -> Any:
    import pyarrow as pa

    if not names:
        return read
    return pa.table({name: plain(read[name]) for name in names})


def _moments(column: Any) -> Any:
    """Times as int64, for the order within a day; 0 where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = plain(column)
    if not pa.types.is_integer(found.type):
        return pa.array(np.zeros(len(found), np.int64))
    return pc.fill_null(found.cast(pa.int64()), 0)


def _number(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days


def _requests(data: Path, tables: SourceTables, options: Recommend, days: Sequence[dt.date]) -> Any:
    """User and item of each request, for interactions that name a request alone."""
    import pyarrow as pa

    name = tables.request_table
    parts = []
    for day in layout.present(data, name, days):
        paths = reading.parquet_files(layout.partition(data, name, day))
        read = reading.table(paths, columns=[tables.request_id, options.user, options.item])
        parts.append(
            pa.table(
                {
                    "request": as_ids(read[tables.request_id], f"{name}.{tables.request_id}"),
                    "asking": as_ids(read[options.user], f"{name}.{options.user}"),
                    "asked": as_ids(read[options.item], f"{name}.{options.item}"),
                }
            )
        )
    if not parts:
        raise DataError(f"{data / name} has no partition from {days[0]} to {days[-1]}")
    return pa.concat_tables(parts)


def _items(data: Path, options: Recommend, last: dt.date) -> Any:
    """The item table, one row an id, the last of several."""
    import pyarrow as pa
    import pyarrow.compute as pc

    own = options.items
    if own is None:
        return pa.table({ID: pa.array([], pa.large_string())})
    key = own.key or options.item
    columns = [name for name in dict.fromkeys(own.columns) if name != ID]
    read = reading.table(
        reading.parquet_files(layout.snapshot_folder(data, own.table, last)),
        columns=list(dict.fromkeys([key, *columns])),
    )
    found = {ID: as_ids(read[key], f"{own.table}.{key}")}
    found |= {name: plain(read[name]) for name in columns}
    table = pa.table(found)
    table = table.filter(pc.is_valid(table[ID])).append_column(
        "__row", pa.array(np.arange(int(pc.sum(pc.is_valid(table[ID])).as_py() or 0)))
    )
    last = table.group_by(ID).aggregate([("__row", "max")])["__row_max"]
    return table.take(last).drop_columns(["__row"])

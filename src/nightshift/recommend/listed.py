"""The list of the retriever `sql_list`: what its query may give, and what it gave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nightshift.data import reading
from nightshift.errors import DataError
from nightshift.recommend.ids import as_ids
from nightshift.recommend.ragged import Ragged

if TYPE_CHECKING:
    import pyarrow as pa

ITEM, USER, SCORE = "item", "user", "score"
"""Columns of the query: the item, perhaps whom it is for, and what it is ordered by."""


def problem_of(sql: str) -> str | None:
    """Why a text is not a query of a list; None where it may be one."""
    from openmldb_sql import syntax
    from openmldb_sql.errors import SqlError
    from openmldb_sql.parse import parse_select

    try:
        tree = parse_select(sql.strip().rstrip(";"))
    except SqlError as error:
        return f"is not a SELECT that OpenMLDB takes: {getattr(error, 'reason', error)}"
    first: Any = tree
    while isinstance(first, syntax.Query):
        first = first.selects[0]
    names = [item.alias or syntax.show(item.expr).rpartition(".")[2] for item in first.items]
    if "*" in names:
        return None  # only the tables say; the night does
    for name in (ITEM, SCORE):
        if name not in names:
            return (
                f"gives no column {name!r}; a list has {ITEM} and {SCORE}, and {USER} where it "
                "differs by user"
            )
    return None


def read(folder: Path, users: pa.Array, items: pa.Array) -> tuple[Ragged, dict[str, int]]:
    """The list that a night's query exported.

    Args:
        folder: its parquet files.
        users: the known users' ids, ascending.
        items: the known items' ids, ascending.

    Returns:
        Places of items by user, the best first, in a last row those for everybody (whose user is
        NULL, or where there is no column of users); and how many rows were left out for an
        unknown item, an unknown user, or a score that is NULL.

    Raises:
        DataError: a column is absent or of another type.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = reading.table(reading.parquet_files(folder))
    for name in (ITEM, SCORE):
        if name not in table.column_names:
            raise DataError(
                f"recommend.sql_list: the query gives {', '.join(table.column_names)}, and a list has "
                f"{ITEM} and {SCORE}"
            )
    if not (pa.types.is_integer(table[SCORE].type) or pa.types.is_floating(table[SCORE].type)):
        raise DataError(f"recommend.sql_list: {SCORE} is {table[SCORE].type}; give a number")
    item = _places(table[ITEM], items, ITEM)
    scores = table[SCORE].cast(pa.float64()).to_numpy()
    scored = ~np.isnan(scores)
    if USER in table.column_names:
        user = _places(table[USER], users, USER)
        everybody = np.asarray(pc.is_null(table[USER]).to_numpy())
        user[everybody] = len(users)
    else:
        user = np.full(len(table), len(users), np.int64)
    dropped = {
        "unknown_items": int((item < 0).sum()),
        "unknown_users": int((user < 0).sum()),
        "without_score": int((~scored).sum()),
    }
    kept = scored & (item >= 0) & (user >= 0)
    user, item, scores = user[kept], item[kept], scores[kept]
    order = np.lexsort((item, -scores))
    user, item = user[order], item[order]
    # An item that is listed twice for a user keeps its better place.
    _, first = np.unique(user * max(1, len(items)) + item, return_index=True)
    first.sort()
    return Ragged.of(user[first], item[first], len(users) + 1), dropped


def _places(column: Any, among: Any, name: str) -> Any:
    """Places of ids, int64 [n]; -1 for one that is not known."""
    import pyarrow.compute as pc

    ids = as_ids(column, f"recommend.sql_list: {name}")
    if ids.type != among.type:
        raise DataError(
            f"recommend.sql_list: {name} is {ids.type} in the list and {among.type} in the "
            "interactions; give both one type"
        )
    found = pc.fill_null(pc.index_in(ids, value_set=among), -1)
    return found.to_numpy().astype(np.int64)

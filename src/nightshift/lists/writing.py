"""Scores of a user's items, as the rows of a file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nightshift import files
from nightshift.spreadsheets import inert

if TYPE_CHECKING:
    import pyarrow as pa

    from nightshift.lists.pairs import Pairs

SUFFIXES = {"parquet": ".parquet", "csv": ".csv", "spreadsheet": ".spreadsheet.csv"}
"""How the files of each format end."""


@dataclass
class Part:
    """Rows of one file: whole users, best item first.

    Attributes:
        users: places of users, one a row.
        items: places of items.
        scores: float32.
        ranks: from 1 on.
    """

    users: list[npt.NDArray[np.int32]] = field(default_factory=list)
    items: list[npt.NDArray[np.int32]] = field(default_factory=list)
    scores: list[npt.NDArray[np.float32]] = field(default_factory=list)
    ranks: list[npt.NDArray[np.int32]] = field(default_factory=list)

    def add(self, user: int, scores: npt.NDArray[np.float32], top: int | None) -> None:
        """Rank a user's items; equal scores keep the items' order."""
        order = np.argsort(-scores, kind="stable")[:top].astype(np.int32)
        self.users.append(np.full(len(order), user, np.int32))
        self.items.append(order)
        self.scores.append(scores[order])
        self.ranks.append(np.arange(1, len(order) + 1, dtype=np.int32))

    def table(self, pairs: Pairs, release: str) -> pa.Table:
        """What names a row, score, rank where there is more than one item, release."""
        import pyarrow as pa

        users, items = np.concatenate(self.users), np.concatenate(self.items)
        columns = {
            **pairs.named(pa.array(users), pa.array(items)),
            "score": pa.array(np.concatenate(self.scores)),
        }
        if pairs.items > 1:
            columns["rank"] = pa.array(np.concatenate(self.ranks))
        return pa.table({**columns, "release": pa.repeat(release, len(users))})


def write(table: pa.Table, path: Path) -> None:
    """Write a part as its name says, whole or not at all."""
    staged = files.staging_path(path)
    try:
        if path.suffix == ".csv":
            _csv(table, staged, spreadsheet=path.name.endswith(SUFFIXES["spreadsheet"]))
        else:
            import pyarrow.parquet as pq

            pq.write_table(table, staged, compression="zstd")
        with staged.open("rb+") as file:
            os.fsync(file.fileno())
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
    files.fsync_dir(path.parent)


def _csv(table: pa.Table, path: Path, *, spreadsheet: bool) -> None:
    """Scores are written so that they read back as the same float32."""
    import csv

    columns: list[list[Any]] = [column.to_pylist() for column in table.columns]
    if spreadsheet:
        columns = [[inert(v) if isinstance(v, str) else v for v in column] for column in columns]
    at = table.column_names.index("score")
    columns[at] = [repr(np.float32(value).item()) for value in columns[at]]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table.column_names)
        writer.writerows(zip(*columns, strict=True))

"""From ids (hashes) to rows of the embedding table; each field begins with its unknown row."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.errors import ContractError

Ids = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32]


class Vocabulary:
    """The ids that a model knows.

    All fields share one table: field f's rows are `offsets[f]` (out of vocabulary) and the
    `len(hashes[f])` rows after it, in the order of the sorted hashes.

    Attributes:
        hashes: per field the known ids, int64, ascending.
        offsets: per field its out-of-vocabulary row, int64 of shape [number of fields].
        num_rows: rows of the whole table.
    """

    def __init__(self, hashes: Sequence[Ids]) -> None:
        for position, known in enumerate(hashes):
            if known.dtype != np.int64 or known.ndim != 1 or (known[1:] <= known[:-1]).any():
                raise ContractError(
                    f"vocabulary of field {position} is not ascending, unique int64"
                )
        self.hashes = tuple(hashes)
        sizes = np.array([len(known) + 1 for known in hashes], dtype=np.int64)
        self.offsets = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64)
        self.num_rows = int(sizes.sum())
        if self.num_rows > np.iinfo(np.int32).max:
            raise ContractError(
                f"the vocabulary has {self.num_rows} rows, more than int32 can number; raise "
                "min_count or round the numeric features more"
            )

    @classmethod
    def learn(cls, columns: Iterable[Ids], min_count: int = 1) -> Vocabulary:
        """Know the ids that occur at least `min_count` times in each column of ids."""
        hashes = []
        for column in columns:
            known, counts = np.unique(column, return_counts=True)
            hashes.append(known[counts >= min_count])
        return cls(hashes)

    @property
    def num_fields(self) -> int:
        """Number of fields."""
        return len(self.hashes)

    @property
    def table_sizes(self) -> list[int]:
        """Rows of each field, the out-of-vocabulary row included."""
        return [len(known) + 1 for known in self.hashes]

    def rows_of_field(self, position: int, ids: Ids) -> Rows:
        """Table rows of one field's ids: int64 [n] to int32 [n]."""
        known, offset = self.hashes[position], self.offsets[position]
        if not len(known):
            return np.full(len(ids), offset, dtype=np.int32)
        at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        rows: Rows = np.where(known[at] == ids, offset + 1 + at, offset).astype(np.int32)
        return rows

    def rows(self, ids: Ids) -> Rows:
        """Table rows of ids: int64 [n, number of fields] to int32 of the same shape.

        Raises:
            ContractError: another dtype or number of columns.
        """
        if ids.dtype != np.int64 or ids.ndim != 2 or ids.shape[1] != self.num_fields:
            raise ContractError(
                f"ids are {ids.dtype} of shape {list(ids.shape)}; the model wants int64 of "
                f"[rows, {self.num_fields}]"
            )
        rows = np.empty(ids.shape, dtype=np.int32)
        for position in range(self.num_fields):
            rows[:, position] = self.rows_of_field(position, ids[:, position])
        return rows

    def save(self, path: Path) -> None:
        """Write an `.npz` with one array a field."""
        arrays: dict[str, Any] = {f"field_{at}": known for at, known in enumerate(self.hashes)}
        with path.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            ContractError: the file is absent or broken.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls([arrays[f"field_{at}"] for at in range(len(arrays.files))])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ContractError(f"{path} is not a vocabulary: {error}") from error

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
        self._joined: _Joined | None = None
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

    def rows_of_fields(self, positions: Sequence[int], ids: Ids) -> Rows:
        """As `rows_of_field`, of several fields side by side: int64 [n, k] to int32 [n, k].

        Of few rows, all fields cost about as much here as one of them does there.
        """
        if self._joined is None:
            self._joined = _Joined(self.hashes, self.offsets)
        if self._joined.unique:
            return self._joined.rows(np.asarray(positions, dtype=np.int64), ids)
        columns = [self.rows_of_field(p, ids[:, at]) for at, p in enumerate(positions)]
        return np.stack(columns, axis=1)

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


class _Joined:
    """The known ids of all fields, sorted as one, so that one search finds any of them.

    An id is found by a key that its field is mixed into, and compared whole afterwards.

    Attributes:
        unique: no two known ids share a key; else this finds only one of them.
    """

    def __init__(self, hashes: Sequence[Ids], offsets: Ids) -> None:
        lengths = np.array([len(known) for known in hashes], dtype=np.int64)
        self._first = np.cumsum(lengths) - lengths
        self._last = self._first + lengths
        self._offsets = offsets
        self._ids = np.concatenate([np.zeros(0, np.int64), *hashes])
        keys = _mixed(self._ids, np.repeat(np.arange(len(hashes), dtype=np.int64), lengths))
        order = np.argsort(keys, kind="stable")
        self._keys, self._places = keys[order], order.astype(np.int32)
        self.unique = bool((self._keys[1:] != self._keys[:-1]).all())

    def rows(self, fields: Ids, ids: Ids) -> Rows:
        """Table rows: fields int64 [k] and ids int64 [n, k] to int32 [n, k]."""
        offsets, first = self._offsets[fields], self._first[fields]
        if not len(self._keys):
            return np.broadcast_to(offsets, ids.shape).astype(np.int32)
        at = np.searchsorted(self._keys, _mixed(ids, fields))
        places = self._places[np.minimum(at, len(self._keys) - 1)]
        known = (self._ids[places] == ids) & (places >= first) & (places < self._last[fields])
        rows: Rows = np.where(known, offsets + 1 + places - first, offsets).astype(np.int32)
        return rows


def _mixed(ids: Ids, fields: Ids) -> Ids:
    """Keys of ids: each field adds a constant of its own, modulo 2**64."""
    return ids + fields * np.int64(-7046029254386353131)

"""Lists of different lengths in two arrays: who has which, without a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int32]
"""Positions of users or items."""


@dataclass(frozen=True)
class Ragged:
    """`values[starts[row]:starts[row + 1]]` are the entries of a row.

    Attributes:
        starts: int64 [rows + 1].
        values: int32 [entries].
    """

    starts: npt.NDArray[np.int64]
    values: Index

    @classmethod
    def of(cls, rows: npt.NDArray[Any], values: npt.NDArray[Any], count: int) -> Ragged:
        """Group `values` by `rows`; entries of one row keep their order.

        Args:
            rows: int [entries], each below `count`.
            values: int [entries].
            count: how many rows there are.
        """
        order = np.argsort(rows, kind="stable")
        starts = np.zeros(count + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=count), out=starts[1:])
        return cls(starts, np.ascontiguousarray(values[order], dtype=np.int32))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.starts) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Entries of each row: int64 [rows]."""
        return np.diff(self.starts)

    def row(self, at: int) -> Index:
        """The entries of one row."""
        return self.values[self.starts[at] : self.starts[at + 1]]

    def many(self, rows: npt.NDArray[Any]) -> tuple[Index, npt.NDArray[np.int64]]:
        """The entries of several rows one after another, and how many each gave."""
        starts = self.starts[rows]
        lengths = self.starts[rows + 1] - starts
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        at = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
        return self.values[at], lengths

    def transposed(self, columns: int) -> Ragged:
        """Who has a value: rows by value."""
        owners = np.repeat(np.arange(self.rows, dtype=np.int32), self.lengths)
        return Ragged.of(self.values, owners, columns)

    def save(self, folder: Path, name: str) -> None:
        """Write two `.npy` files."""
        np.save(folder / f"{name}_starts.npy", self.starts)
        np.save(folder / f"{name}_values.npy", self.values)

    @classmethod
    def load(cls, folder: Path, name: str) -> Ragged:
        """What `save` wrote, mapped into memory, so that all workers share it."""
        return cls(
            np.load(folder / f"{name}_starts.npy", mmap_mode="r"),
            np.load(folder / f"{name}_values.npy", mmap_mode="r"),
        )


def best(scores: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """Places of the `count` highest scores, highest first; equal ones in their order."""
    if len(scores) > count:
        cut = np.partition(scores, len(scores) - count)[len(scores) - count]
        # All that could be among them: of equal scores at the cut the first ones stay.
        found = np.flatnonzero(scores >= cut)
    else:
        found = np.arange(len(scores))
    return found[np.argsort(-scores[found], kind="stable")][:count]


def summed(items: npt.NDArray[Any], weights: npt.NDArray[Any]) -> tuple[Index, Any]:
    """Distinct items, ascending, with the sum of their weights: int32 [n], float32 [n]."""
    distinct, where = np.unique(items, return_inverse=True)
    total = np.bincount(where, weights=weights, minlength=len(distinct))
    return distinct.astype(np.int32), total.astype(np.float32)

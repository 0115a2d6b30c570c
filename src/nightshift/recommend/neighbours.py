"""The k nearest neighbours of items, or of users, by what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.recommend.ragged import Ragged, best

PAIRS = 4_000_000
"""Pairs that are counted at a time: about 100 MB."""


@dataclass(frozen=True)
class Neighbours:
    """For each of n the k most similar others.

    Attributes:
        index: int32 [n, k]; -1 where there are fewer.
        similarity: float32 [n, k], highest first; 0 where there are fewer.
    """

    index: npt.NDArray[np.int32]
    similarity: npt.NDArray[np.float32]

    @classmethod
    def fit(cls, has: Ragged, columns: int, k: int, *, shrinkage: float, most: int) -> Neighbours:
        """Cosine similarity of binary rows: pairs in common over the root of both counts.

        The measure of item-based filtering (Sarwar, Karypis, Konstan and Riedl, 2001) with the
        support shrinkage of Bell and Koren (2007). The matrix of all pairs is never made: rows are
        taken a few at a time and k of each are kept.

        Args:
            has: n rows, each with distinct columns, newest last.
            columns: how many columns there are.
            k: neighbours to keep.
            shrinkage: added to the pairs in common: `c / (c + shrinkage)` times the cosine.
            most: of a column with more rows, so many count, spread evenly over it: what
                everybody has says little and would cost the square of its length.
        """
        index = np.full((has.rows, k), -1, np.int32)
        similarity = np.zeros((has.rows, k), np.float32)
        counts = has.lengths
        owners = _thinned(has.transposed(columns), most)
        cost = np.cumsum(_sums(owners.lengths[has.values], has.starts))
        begin = 0
        while begin < has.rows:
            spent = cost[begin - 1] if begin else 0
            end = max(int(np.searchsorted(cost, spent + PAIRS, side="right")), begin + 1)
            _block(has, owners, counts, begin, end, k, shrinkage, index, similarity)
            begin = end
        return cls(index, similarity)

    def of(self, rows: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Neighbours of several rows, and their similarities, without the gaps."""
        index, similarity = self.index[rows].ravel(), self.similarity[rows].ravel()
        there = index >= 0
        return index[there], similarity[there]

    def save(self, folder: Path) -> None:
        """Write two `.npy` files."""
        np.save(folder / "neighbours.npy", self.index)
        np.save(folder / "similarity.npy", self.similarity)

    @classmethod
    def load(cls, folder: Path) -> Neighbours:
        """What `save` wrote, mapped into memory."""
        return cls(
            np.load(folder / "neighbours.npy", mmap_mode="r"),
            np.load(folder / "similarity.npy", mmap_mode="r"),
        )


def _sums(values: npt.NDArray[Any], starts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    running = np.concatenate([[0], np.cumsum(values)])
    found: npt.NDArray[Any] = running[starts[1:]] - running[starts[:-1]]
    return found


def _thinned(lists: Ragged, most: int) -> Ragged:
    lengths = lists.lengths
    if not len(lengths) or lengths.max() <= most:
        return lists
    place = np.arange(len(lists.values)) - np.repeat(lists.starts[:-1], lengths)
    length = np.repeat(lengths, lengths)
    # Of n entries those where the count of n * most / n steps goes up.
    kept = (length <= most) | ((place * most) // length != ((place + 1) * most) // length)
    row = np.repeat(np.arange(lists.rows), lengths)[kept]
    return Ragged.of(row, lists.values[kept], lists.rows)


def _block(
    has: Ragged,
    owners: Ragged,
    counts: npt.NDArray[Any],
    begin: int,
    end: int,
    k: int,
    shrinkage: float,
    index: npt.NDArray[np.int32],
    similarity: npt.NDArray[np.float32],
) -> None:
    columns = has.values[has.starts[begin] : has.starts[end]]
    row = np.repeat(np.arange(begin, end), counts[begin:end])
    others, lengths = owners.many(columns)
    pairs = np.repeat(row, lengths) * np.int64(has.rows) + others
    distinct, common = np.unique(pairs, return_counts=True)
    left, right = distinct // has.rows, distinct % has.rows
    apart = left != right
    left, right, common = left[apart], right[apart], common[apart]
    cosine = common / np.sqrt(counts[left] * counts[right])
    score = (cosine * (common / (common + shrinkage))).astype(np.float32)
    starts = np.searchsorted(left, np.arange(begin, end + 1))
    for at in range(end - begin):
        low, high = starts[at], starts[at + 1]
        if low == high:
            continue
        chosen = best(score[low:high], k)
        index[begin + at, : len(chosen)] = right[low:high][chosen]
        similarity[begin + at, : len(chosen)] = score[low:high][chosen]

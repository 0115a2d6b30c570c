"""Implicit matrix factorisation, searched through an approximate index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.config.recommend import Recommend
from nightshift.recommend import factorise
from nightshift.recommend.ragged import Index, Ragged, best
from nightshift.recommend.retrievers.base import Liked, Query, Retriever

INDEX = "index.usearch"
WIDEN = (2, 8, 32)
"""How many times the wanted count is searched, while the mask leaves too few."""

SAMPLE = 500
"""Users by whom the index is compared with the exact search."""


class Embeddings(Retriever):
    """The items whose vectors have the greatest inner product with the user's.

    A user who was not there in the night has no vector; one is made of the items given as
    history, as the factorisation would have done.
    """

    def __init__(
        self,
        users: npt.NDArray[np.float32],
        items: npt.NDArray[np.float32],
        known: Index,
        index: Any,
        by_user: Ragged,
        options: Recommend,
    ) -> None:
        self._users = users
        self._items = items
        self._known = known
        self._index = index
        self._by_user = by_user
        self._options = options
        self._gram: npt.NDArray[np.float32] | None = None

    @classmethod
    def fit(cls, liked: Liked, options: Recommend, folder: Path) -> dict[str, Any]:
        """Factorise; above `exact_below` items an HNSW graph is built as well."""
        own = options.factors
        users, items = factorise.fit(liked.by_user, liked.items, own)
        known = np.flatnonzero(np.bincount(liked.by_user.values, minlength=liked.items))
        np.save(folder / "users.npy", users)
        np.save(folder / "items.npy", items)
        np.save(folder / "known.npy", known.astype(np.int32))
        figures: dict[str, Any] = {"dimensions": own.dimensions, "index_recall": None}
        if len(known) > own.exact_below:
            from usearch.index import Index as Graph

            graph = Graph(ndim=items.shape[1], metric="ip", dtype="f32")
            graph.add(known.astype(np.uint64), items[known])
            graph.save(str(folder / INDEX))
            made = cls.load(folder, liked, options)
            figures["index_recall"] = made.index_recall(min(options.candidates, 100))
        return figures

    @classmethod
    def load(cls, folder: Path, liked: Liked, options: Recommend) -> Embeddings:
        """Map vectors and graph into memory."""
        index = None
        if (folder / INDEX).is_file():
            from usearch.index import Index as Graph

            index = Graph.restore(str(folder / INDEX), view=True)
        return cls(
            np.load(folder / "users.npy", mmap_mode="r"),
            np.load(folder / "items.npy", mmap_mode="r"),
            np.load(folder / "known.npy", mmap_mode="r"),
            index,
            liked.by_user,
            options,
        )

    def candidates(self, query: Query) -> Index:
        """The nearest items that the mask allows."""
        vector = self._vector(query)
        if vector is None:
            return np.zeros(0, np.int32)
        if self._index is not None:
            for times in WIDEN:
                wanted = times * query.count
                if wanted > len(self._known):
                    break
                found = self._index.search(vector, wanted).keys.astype(np.int32)
                found = found[query.mask[found]][: query.count]
                if len(found) == query.count:
                    return np.asarray(found)
        return self._exact(vector, query.mask, query.count)

    def _vector(self, query: Query) -> npt.NDArray[np.float32] | None:
        if query.user is not None and len(self._by_user.row(query.user)):
            return np.asarray(self._users[query.user])
        if not len(query.history):
            return None
        if self._gram is None:
            self._gram = np.asarray(self._items.T @ self._items)
        return factorise.fold_in(self._items[query.history], self._gram, self._options.factors)

    def _exact(
        self, vector: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], count: int
    ) -> Index:
        there = self._known[mask[self._known]]
        scores = (self._items[there] if len(there) < len(self._items) else self._items) @ vector
        return np.asarray(there[best(scores, count)])

    def index_recall(self, count: int) -> float | None:
        """Share of the exact answer's items that the index finds; None without an index."""
        if self._index is None:
            return None
        mask = np.ones(len(self._items), bool)
        step = max(1, len(self._users) // SAMPLE)
        shares = []
        for user in range(0, len(self._users), step):
            vector = np.asarray(self._users[user])
            if vector.any():
                found = self._index.search(vector, count).keys
                exact = self._exact(vector, mask, count)
                shares.append(len(np.intersect1d(found, exact)) / max(1, len(exact)))
        return float(np.mean(shares)) if shares else None

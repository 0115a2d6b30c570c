"""Items that were liked together with those that the user liked (ItemCF)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nightshift.config.recommend import Recommend
from nightshift.recommend.neighbours import Neighbours
from nightshift.recommend.ragged import Index, best, summed
from nightshift.recommend.retrievers.base import Liked, Query, Retriever

MOST = 2_000
"""Items of one user that count; nobody likes more, but robots do."""


class ItemNeighbours(Retriever):
    """Each item of the user's history votes for its neighbours by their similarity."""

    def __init__(self, neighbours: Neighbours, history: int) -> None:
        self._neighbours = neighbours
        self._history = history

    @classmethod
    def fit(cls, liked: Liked, options: Recommend, folder: Path) -> dict[str, Any]:
        """Find each item's neighbours by the users they share."""
        by_item = liked.by_user.transposed(liked.items)
        found = Neighbours.fit(
            by_item, liked.users, options.neighbours, shrinkage=options.shrinkage, most=MOST
        )
        found.save(folder)
        return {"with_neighbours": int((found.index[:, 0] >= 0).sum())}

    @classmethod
    def load(cls, folder: Path, liked: Liked, options: Recommend) -> ItemNeighbours:
        """Read the neighbours."""
        return cls(Neighbours.load(folder), options.history)

    def candidates(self, query: Query) -> Index:
        """The neighbours with most votes."""
        votes = self._neighbours.of(query.history[-self._history :])
        items, scores = summed(*votes)
        there = query.mask[items]
        items, scores = items[there], scores[there]
        return np.asarray(items[best(scores, query.count)])

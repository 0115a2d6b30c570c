"""What users liked who like what this one likes (UserCF)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nightshift.config.recommend import Recommend
from nightshift.recommend.neighbours import Neighbours
from nightshift.recommend.ragged import Index, Ragged, best, summed
from nightshift.recommend.retrievers.base import Liked, Query, Retriever

MOST = 2_000
"""Users of one item that count: what everybody likes tells no two users apart."""


class UserNeighbours(Retriever):
    """Each neighbour votes for what it liked by its similarity; unknown users have none."""

    def __init__(self, neighbours: Neighbours, by_user: Ragged) -> None:
        self._neighbours = neighbours
        self._by_user = by_user

    @classmethod
    def fit(cls, liked: Liked, options: Recommend, folder: Path) -> dict[str, Any]:
        """Find each user's neighbours by the items they share."""
        found = Neighbours.fit(
            liked.by_user, liked.items, options.neighbours, shrinkage=options.shrinkage, most=MOST
        )
        found.save(folder)
        return {"with_neighbours": int((found.index[:, 0] >= 0).sum())}

    @classmethod
    def load(cls, folder: Path, liked: Liked, options: Recommend) -> UserNeighbours:
        """Read the neighbours."""
        return cls(Neighbours.load(folder), liked.by_user)

    def candidates(self, query: Query) -> Index:
        """The items with most votes."""
        if query.user is None:
            return np.zeros(0, np.int32)
        users, similarity = self._neighbours.of(np.array([query.user]))
        items, lengths = self._by_user.many(users)
        items, scores = summed(items, np.repeat(similarity, lengths))
        there = query.mask[items]
        items, scores = items[there], scores[there]
        return np.asarray(items[best(scores, query.count)])

"""Items that nobody touched yet, so that a new item can be found at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nightshift.config.recommend import Recommend
from nightshift.recommend.ragged import Index
from nightshift.recommend.retrievers.base import Liked, Query, Retriever, allowed


class Fresh(Retriever):
    """Items of the item table without an interaction, each user from another place on."""

    def __init__(self, order: Index) -> None:
        self._order = order

    @classmethod
    def fit(cls, liked: Liked, options: Recommend, folder: Path) -> dict[str, Any]:
        """List them in an order that says nothing."""
        counts = np.bincount(liked.by_user.values, minlength=liked.items)
        found = np.flatnonzero(counts == 0).astype(np.int32)
        np.random.default_rng(options.factors.seed).shuffle(found)
        np.save(folder / "order.npy", found)
        return {"items": len(found)}

    @classmethod
    def load(cls, folder: Path, liked: Liked, options: Recommend) -> Fresh:
        """Read the order."""
        return cls(np.load(folder / "order.npy", mmap_mode="r"))

    def candidates(self, query: Query) -> Index:
        """As many as are wanted, from the user's place on."""
        if not len(self._order):
            return np.zeros(0, np.int32)
        place = query.salt % len(self._order)
        first = allowed(self._order[place:], query.mask, query.count)
        rest = allowed(self._order[:place], query.mask, query.count - len(first))
        return np.concatenate([first, rest])

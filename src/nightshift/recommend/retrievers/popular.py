"""What most users liked; it answers for everybody, new users included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nightshift.config.recommend import Recommend
from nightshift.recommend.ragged import Index
from nightshift.recommend.retrievers.base import Liked, Query, Retriever, allowed


class Popular(Retriever):
    """Items by the number of users who liked them; those that nobody did come last."""

    def __init__(self, order: Index) -> None:
        self._order = order

    @classmethod
    def fit(cls, liked: Liked, options: Recommend, folder: Path) -> dict[str, Any]:
        """Count."""
        del options
        counts = np.bincount(liked.by_user.values, minlength=liked.items)
        np.save(folder / "order.npy", np.argsort(-counts, kind="stable").astype(np.int32))
        return {"most": int(counts.max()) if len(counts) else 0}

    @classmethod
    def load(cls, folder: Path, liked: Liked, options: Recommend) -> Popular:
        """Read the order."""
        return cls(np.load(folder / "order.npy", mmap_mode="r"))

    def candidates(self, query: Query) -> Index:
        """The most popular items that the mask allows."""
        return allowed(self._order, query.mask, query.count)

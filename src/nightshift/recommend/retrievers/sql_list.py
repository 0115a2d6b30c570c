"""A list that the pipeline's own SQL gives: what an editor chose, what sells, what is in stock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nightshift.config.recommend import Recommend
from nightshift.recommend.ragged import Index, Ragged
from nightshift.recommend.retrievers.base import Liked, Query, Retriever, allowed


class SqlList(Retriever):
    """The user's own rows of the list first, then those for everybody, by descending score."""

    def __init__(self, by_user: Ragged) -> None:
        self._by_user = by_user

    @classmethod
    def fit(cls, liked: Liked, options: Recommend, folder: Path) -> dict[str, Any]:
        """Keep the list as the night read it."""
        del options
        listed = liked.listed
        if listed is None:
            listed = Ragged.of(np.zeros(0, np.int64), np.zeros(0, np.int32), liked.users + 1)
        listed.save(folder, "list")
        own = int(listed.starts[-2])
        return {"for_all": len(listed.values) - own, "for_users": own}

    @classmethod
    def load(cls, folder: Path, liked: Liked, options: Recommend) -> SqlList:
        """Read the list."""
        return cls(Ragged.load(folder, "list"))

    def candidates(self, query: Query) -> Index:
        """The first rows that the mask allows."""
        everybody = self._by_user.row(self._by_user.rows - 1)
        if query.user is None:
            return allowed(everybody, query.mask, query.count)
        own = self._by_user.row(query.user)
        if not len(own):
            return allowed(everybody, query.mask, query.count)
        rest = everybody[~np.isin(everybody, own)]
        return allowed(np.concatenate([own, rest]), query.mask, query.count)

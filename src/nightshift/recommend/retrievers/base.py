"""What every retriever gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.config.recommend import Recommend
from nightshift.recommend.ragged import Index, Ragged


@dataclass(frozen=True)
class Liked:
    """What users liked, as positions.

    Attributes:
        users: how many users there are.
        items: how many items there are, those that nobody touched included.
        by_user: each user's distinct items, the newest last.
        listed: what `recommend.sql_list` gave, if the pipeline has one and this is a fit: items by
            user, the best first, in a last row those for everybody.
    """

    users: int
    items: int
    by_user: Ragged
    listed: Ragged | None = None


@dataclass(frozen=True)
class Query:
    """One question.

    Attributes:
        user: the user's position; None for one that was not there when the night was.
        history: items that the user liked, the newest last.
        mask: bool [items]: what may be answered.
        count: candidates wanted.
        salt: differs by user and release, the same each time.
    """

    user: int | None
    history: Index
    mask: npt.NDArray[np.bool_]
    count: int
    salt: int


class Retriever(ABC):
    """A way to find candidates. `fit` writes a folder, `load` reads it."""

    @classmethod
    @abstractmethod
    def fit(cls, liked: Liked, options: Recommend, folder: Path) -> dict[str, Any]:
        """Learn from what users liked and write `folder`, which is there and empty.

        Returns:
            Figures for the report.
        """

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, liked: Liked, options: Recommend) -> Retriever:
        """What `fit` wrote; large arrays are mapped into memory."""

    @abstractmethod
    def candidates(self, query: Query) -> Index:
        """At most `count` distinct items that the mask allows, the best first."""


def allowed(order: Index, mask: npt.NDArray[np.bool_], count: int) -> Index:
    """The first `count` items of an order that the mask allows."""
    found: list[Index] = []
    have, at, step = 0, 0, 4 * count
    while at < len(order) and have < count:
        part = order[at : at + step]
        part = part[mask[part]][: count - have]
        found.append(part)
        have += len(part)
        at, step = at + step, 2 * step
    return np.concatenate(found) if found else np.zeros(0, np.int32)

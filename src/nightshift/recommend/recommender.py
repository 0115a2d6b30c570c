"""A release's retrieval, ready to answer."""

from __future__ import annotations

import json
import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.config.reading import parse
from nightshift.config.recommend import Recommend
from nightshift.errors import ContractError
from nightshift.recommend import artefact, filters
from nightshift.recommend.ids import Ids
from nightshift.recommend.interactions import ID
from nightshift.recommend.ragged import Index, Ragged, best, summed
from nightshift.recommend.retrievers import REGISTRY, Liked, Query, Retriever

FUSION = 60
"""The constant of reciprocal rank fusion."""

MASKS = 32
"""Filters whose answer is kept."""


@dataclass(frozen=True)
class Candidates:
    """What retrieval found.

    Attributes:
        items: places in the items, the best first.
        known: whether the user was there when the night was.
        found: by retriever, the rank (from 1) that it gave an item.
    """

    items: Index
    known: bool
    found: Mapping[str, Mapping[int, int]]


class Recommender:
    """The folder of `nightshift.recommend.artefact`, loaded.

    Args:
        card: `recommend.json`.
        options: how it was made.
        users: ids of the users.
        items: ids and columns of the items.
        consumed: what each user touched.
        liked: what each user liked.
        retrievers: by name; `popular` is always among them.
    """

    def __init__(
        self,
        card: Mapping[str, Any],
        options: Recommend,
        users: Ids,
        items: Any,
        consumed: Ragged,
        liked: Ragged,
        retrievers: Mapping[str, Retriever],
    ) -> None:
        self.card = card
        self.options = options
        self.users = users
        self.items = items
        self.ids = Ids(items[ID].chunk(0) if items[ID].num_chunks else items[ID].combine_chunks())
        self.consumed = consumed
        self.liked = liked
        self._retrievers = retrievers
        self._masks: OrderedDict[str, npt.NDArray[np.bool_]] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path, digest: str | None = None) -> Recommender:
        """Load a folder.

        Args:
            folder: of `fitting.build`.
            digest: the manifest's; None where there is none yet.

        Raises:
            ContractError: it is absent, broken, or not the one that the manifest names.
        """
        if digest is not None:
            artefact.check(folder, digest)
        card = artefact.read_card(folder)
        options, problems = parse(Recommend, card["options"], source=str(folder / artefact.CARD))
        if options is None:
            raise ContractError(f"{folder}: {problems[0]}; run the release's date again")
        try:
            users, items = (
                artefact.read_table(folder, "users"),
                artefact.read_table(folder, "items"),
            )
            consumed, liked = Ragged.load(folder, "consumed"), Ragged.load(folder, "liked")
            given = Liked(len(users), len(items), liked)
            names = dict.fromkeys((*options.retrievers, "popular"))
            retrievers = {
                name: REGISTRY[name].load(folder / name, given, options) for name in names
            }
        except (OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
            raise ContractError(f"{folder} cannot be read: {error}") from error
        column = users[ID]
        ids = Ids(column.chunk(0) if column.num_chunks else column.combine_chunks())
        return cls(card, options, ids, items, consumed, liked, retrievers)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the items to filter by and to answer with."""
        return tuple(name for name in self.items.column_names if name != ID)

    def retrieve(
        self,
        user: Any,
        count: int,
        *,
        exclude_consumed: bool = True,
        conditions: Mapping[str, Any] | None = None,
        exclude: Sequence[Any] = (),
        history: Sequence[Any] = (),
    ) -> Candidates:
        """Candidates for a user.

        Args:
            user: its id; an unknown one gets what `history` leads to, and popular items.
            count: candidates wanted; fewer are given where there are no more.
            exclude_consumed: leave out what the user touched before the night.
            conditions: on the items' columns; see `nightshift.recommend.filters`.
            exclude: ids of items to leave out; unknown ones change nothing.
            history: ids of items that the user liked since the night, the newest last.

        Raises:
            ConfigurationError: a condition does not fit.
        """
        place = self.users.find(user)
        mask = self._mask(conditions or {}).copy()
        newer = self._places(history)
        liked = self.liked.row(place) if place is not None else np.zeros(0, np.int32)
        if len(newer):
            liked = np.concatenate([liked[~np.isin(liked, newer)], newer])
        if exclude_consumed:
            mask[newer] = False
            if place is not None:
                mask[self.consumed.row(place)] = False
        mask[self._places(exclude)] = False
        salt = zlib.crc32(f"{user}\0{self.card['last_day']}".encode())
        return self.candidates(place, liked, mask, count, salt)

    def candidates(
        self,
        user: int | None,
        history: Index,
        mask: npt.NDArray[np.bool_],
        count: int,
        salt: int = 0,
        only: Sequence[str] | None = None,
    ) -> Candidates:
        """As `retrieve`, of places; `only` asks some of the retrievers."""
        query = Query(user, np.asarray(history), mask, count, salt)
        names = self.options.retrievers if only is None else only
        lists = {name: self._retrievers[name].candidates(query) for name in names}
        merged = fuse(list(lists.values()), count)
        if len(merged) < count and "popular" not in lists:
            left = mask.copy()
            left[merged] = False
            more = Query(user, query.history, left, count - len(merged), salt)
            lists["popular"] = self._retrievers["popular"].candidates(more)
            merged = np.concatenate([merged, lists["popular"]])
        ranks = {
            name: {int(item): rank for rank, item in enumerate(found, start=1)}
            for name, found in lists.items()
        }
        return Candidates(merged, user is not None, ranks)

    def _places(self, ids: Sequence[Any]) -> Index:
        found = [place for value in ids if (place := self.ids.find(value)) is not None]
        return np.array(list(dict.fromkeys(found)), np.int32)

    def _mask(self, conditions: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
        if not conditions:
            return np.ones(len(self.items), bool)
        key = json.dumps(conditions, sort_keys=True)
        with self._lock:
            known = self._masks.get(key)
            if known is not None:
                self._masks.move_to_end(key)
                return known
        filters.check(conditions, self.columns, "filter")
        made = filters.mask(self.items, conditions, "filter")
        with self._lock:
            self._masks[key] = made
            while len(self._masks) > MASKS:
                self._masks.popitem(last=False)
        return made

    def values(self, name: str, places: Index) -> list[Any]:
        """Values of an item column, or the ids, by place."""
        import pyarrow as pa

        found: list[Any] = self.items[name].take(pa.array(places)).to_pylist()
        return found


def fuse(lists: Sequence[Index], count: int) -> Index:
    """One list of several, by reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009)."""
    if len(lists) == 1:
        return np.asarray(lists[0][:count], np.int32)
    items = np.concatenate(lists)
    weights = np.concatenate([1.0 / (FUSION + 1 + np.arange(len(part))) for part in lists])
    distinct, scores = summed(items, weights)
    return distinct[best(scores, count)]

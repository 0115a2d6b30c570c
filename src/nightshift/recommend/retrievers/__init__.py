"""The retrievers that there are: a module here, a line below, its name in the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from nightshift.recommend.retrievers.base import Liked, Query, Retriever
from nightshift.recommend.retrievers.embeddings import Embeddings
from nightshift.recommend.retrievers.fresh import Fresh
from nightshift.recommend.retrievers.item_neighbours import ItemNeighbours
from nightshift.recommend.retrievers.popular import Popular
from nightshift.recommend.retrievers.sql_list import SqlList
from nightshift.recommend.retrievers.user_neighbours import UserNeighbours

REGISTRY: Mapping[str, type[Retriever]] = {
    "item_neighbours": ItemNeighbours,
    "user_neighbours": UserNeighbours,
    "embeddings": Embeddings,
    "popular": Popular,
    "fresh": Fresh,
    "sql_list": SqlList,
}
"""By the names of `nightshift.config.recommend.RETRIEVERS`."""

__all__ = ["REGISTRY", "Liked", "Query", "Retriever"]

"""The retrievers that there are: a module here, and its name in the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from nightshift.config.recommend import RETRIEVERS
from nightshift.modules import class_of
from nightshift.recommend.retrievers.base import Liked, Query, Retriever

REGISTRY: Mapping[str, type[Retriever]] = {
    name: class_of(__name__, name, Retriever)  # type: ignore[type-abstract]
    for name in RETRIEVERS
}
"""By the names of `nightshift.config.recommend.RETRIEVERS`, each in the module of its name."""

__all__ = ["REGISTRY", "Liked", "Query", "Retriever"]

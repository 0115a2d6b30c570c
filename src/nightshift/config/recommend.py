"""The model of the part `recommend` of `pipeline.yaml`."""

from __future__ import annotations

import re
import string
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from nightshift.config.reading import Strict
from nightshift.config.yamlfile import nearest

RETRIEVERS = ("item_neighbours", "user_neighbours", "embeddings", "popular", "fresh", "sql_list")
"""Names of the retrievers; each is a module of `nightshift.recommend.retrievers`."""

FILLS = ("user", "item", "time", "id")
"""What a template of `fill` may name, besides the columns of the item table (`{item.title}`)."""

_COLUMN = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def _column(value: str) -> str:
    if not _COLUMN.fullmatch(value):
        raise ValueError(f"is {value!r}; give the name of a column or table")
    return value


def _retrievers(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError(f"is empty; name at least one of {', '.join(RETRIEVERS)}")
    for name in value:
        if name not in RETRIEVERS:
            hint = nearest(name, RETRIEVERS)
            raise ValueError(
                f"there is no retriever {name!r}; known: {', '.join(RETRIEVERS)}{hint}"
            )
    if len(set(value)) != len(value):
        raise ValueError("a retriever is named twice")
    return value


def placeholders(template: str) -> list[str]:
    """What the braces of a template name.

    Raises:
        ValueError: a brace is not closed, or the template asks for more than a name.
    """
    found = []
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if spec or conversion or not (name in FILLS or name.startswith("item.")):
            raise ValueError(
                f"is {template!r}; a template may hold {{user}}, {{item}}, {{time}}, {{id}} and "
                "{item.<column>}"
            )
        found.append(name)
    return found


def _fill(value: dict[str, str]) -> dict[str, str]:
    for template in value.values():
        placeholders(template)
    return value


Column = Annotated[str, AfterValidator(_column)]


class Interactions(Strict):
    """Which rows say that a user liked an item."""

    table: Column | None = Field(
        None, description="event table of the interactions; empty: the request table"
    )
    user: Column | None = Field(None, description="its column of users; empty: as in requests")
    item: Column | None = Field(None, description="its column of items; empty: as in requests")
    where: dict[str, Any] = Field(
        default_factory=dict,
        description="conditions on its columns for a row to count as liked; rows that do not "
        "fulfil them count as consumed only",
    )


class Items(Strict):
    """The table of items."""

    table: Column = Field(description="snapshot table with one row an item")
    key: Column | None = Field(None, description="its column of items; empty: as in requests")
    columns: tuple[Column, ...] = Field(
        (), description="columns to filter by, to answer with, and to fill requests", strict=False
    )


class Factors(Strict):
    """Implicit matrix factorisation."""

    dimensions: int = Field(64, ge=2, le=1024)
    iterations: int = Field(15, ge=1, le=1000)
    regularisation: float = Field(0.05, gt=0)
    confidence: float = Field(20.0, gt=0, description="weight of a seen pair against an unseen one")
    seed: int = Field(10, ge=0)
    exact_below: int = Field(
        20_000, ge=0, description="up to so many items are compared exactly, without an index"
    )


class Recommend(Strict):
    """What `POST .../recommend` needs: retrieval, before features and the ranking model."""

    user: Column = Field(description="the request table's column of users")
    item: Column = Field(description="the request table's column of items")
    interactions: Interactions = Interactions()
    items: Items | None = Field(None, description="the table of items; empty: ids alone")
    fill: Annotated[dict[str, str], AfterValidator(_fill)] = Field(
        default_factory=dict,
        description="how further columns of a request are made: '{user}_{item}', '{item.brand}'",
    )
    time: Literal["now", "last_day"] = Field(
        "now",
        description="the moment of a request that names none; last_day: the end of the release's "
        "last day, for data that has an end",
    )
    retrievers: Annotated[tuple[str, ...], AfterValidator(_retrievers)] = Field(
        ("item_neighbours", "embeddings"),
        description=f"any of {', '.join(RETRIEVERS)}; popular items fill up what they leave",
        strict=False,
    )
    sql_list: str | None = Field(
        None,
        description="file of the retriever sql_list: a SELECT over the source tables that gives "
        "item and score, and user where the list differs by user",
    )
    candidates: int = Field(200, ge=1, le=10_000, description="candidates that the model ranks")
    neighbours: int = Field(50, ge=1, le=1000, description="neighbours kept of an item or a user")
    history: int = Field(
        200, ge=1, le=10_000, description="newest items of a user that neighbours are looked up of"
    )
    shrinkage: float = Field(5.0, ge=0, description="damps the similarity of rarely seen pairs")
    factors: Factors = Factors()
    days: int | None = Field(
        None, ge=1, description="days of interactions; empty: the training window"
    )
    test_days: int | None = Field(
        None, ge=1, description="held-out days; empty: the feature specification's"
    )

    @model_validator(mode="after")
    def _list_is_used(self) -> Recommend:
        if (self.sql_list is not None) != ("sql_list" in self.retrievers):
            raise ValueError(
                "the retriever sql_list needs a file in sql_list, and the file the retriever; give both, or neither"
            )
        return self

"""The model of the part `score` of `pipeline.yaml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nightshift.config.reading import Strict


class Score(Strict):
    """The list that `score_<pipeline>` writes: users by items, with score and rank."""

    users: str = Field("all", description="all the release knows, or a csv or parquet file")
    items: str = Field("all", description="all the release knows, or a csv or parquet file")
    top: int | None = Field(None, ge=1, description="items kept of each user; empty: all")
    format: Literal["parquet", "csv", "spreadsheet"] = Field(
        "parquet", description="spreadsheet: csv with an apostrophe before what is a formula there"
    )
    schedule: str = Field("off", description="cron expression, UTC; off: by hand")
    keep: int | None = Field(
        None, ge=1, description="newest lists that stay, older ones are removed; empty: all"
    )

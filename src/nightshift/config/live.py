"""The key `live` of `pipeline.yaml`: what is kept of live traffic, and what is streamed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nightshift.config.reading import Strict


class LogConfig(Strict):
    """The request log."""

    enabled: bool = Field(True, description="keep scored requests on disk")
    sample: float = Field(
        1.0, ge=0.0, le=1.0, description="share of requests that is kept, chosen by their content"
    )
    max_mb: int = Field(
        2048, ge=8, description="megabytes on disk at most; the oldest hours go first"
    )
    keep_days: int = Field(30, ge=1, description="days after which an hour goes")
    hashed: tuple[str, ...] = Field(
        (), description="request or feature columns kept as keyed hashes", strict=False
    )
    omitted: tuple[str, ...] = Field(
        (), description="request or feature columns that are not kept", strict=False
    )


class ShadowConfig(Strict):
    """The release before, which goes on to score after a switch and is compared."""

    hours: float = Field(
        0.0,
        ge=0.0,
        le=2400.0,
        description="hours after a switch that the release before stays loaded and scores in "
        "shadow; 0: not at all",
    )
    share: float = Field(
        0.2, gt=0.0, le=1.0, description="share of the logged requests that it scores"
    )
    rows_per_s: float = Field(
        100.0, gt=0.0, description="rows a second at most, of each worker of the predict server"
    )


class CanaryConfig(Strict):
    """A candidate answers a share of the users before it answers all of them."""

    column: str = Field(description="column of the request table that says who the user is")
    share: float = Field(0.1, gt=0.0, lt=1.0, description="share of the users that it is given")
    hours: float = Field(
        12.0,
        gt=0.0,
        description="hours after which monitor_<pipeline> promotes it, unless something was shown "
        "against it; fewer than lie between two nights",
    )


class LiveConfig(Strict):
    """Live traffic of a pipeline."""

    log: LogConfig = LogConfig()
    shadow: ShadowConfig = ShadowConfig()
    canary: CanaryConfig | None = Field(
        None, description="give a candidate a share of the users first"
    )
    insert_requests: bool = Field(
        False, description="insert each scored request into the online request table"
    )
    same_instant: Literal["before", "after"] = Field(
        "after",
        description="events of a request's own instant reach the store before the request is asked "
        "(the client posts what led to it first), or after its answer",
    )
    event_id_days: int = Field(
        7, ge=1, description="days that a streamed event's id is remembered, against repeats"
    )

"""The key `monitor` of `pipeline.yaml`: what is looked at in service, and what is done about it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nightshift.config.reading import Strict


class MonitorConfig(Strict):
    """Quality in service."""

    action: Literal["report", "alert", "withdraw"] = Field(
        "alert",
        description="report: only write it down; alert: send a message; withdraw: also go back to "
        "the release before, where a gross fault is seen or the sequential test says that the "
        "release is worse",
    )
    alpha: float = Field(
        0.01,
        gt=0,
        le=0.2,
        description="chance, at most, that the sequential test ever finds a release worse that "
        "is not",
    )
    settle_hours: float | None = Field(
        None,
        ge=0,
        description="hours after which the sequential test takes a label as final; empty: the "
        "settle time. Fewer see sooner, and take late positives of both releases for negatives",
    )
    days: int = Field(14, ge=1, description="days of the request log that are looked at")
    auc_margin: float = Field(
        0.02, ge=0, description="how far served AUC may lie below held-out AUC, beyond its interval"
    )
    max_calibration: float = Field(
        2.0, gt=1, description="mean score over share of positives: at most, and at least 1/this"
    )
    least_positives: int = Field(50, ge=1, description="positives that calibration is judged of")
    max_psi: float = Field(0.5, gt=0, description="drift of a live feature against training")
    max_skew_auc: float = Field(
        0.01,
        ge=0,
        description="AUC that serving may lose against training's features, by the skew ledger",
    )
    max_skew_rows: float = Field(
        1.0, ge=0, le=1, description="share of requests whose features may differ from training's"
    )
    slices: tuple[str, ...] = Field(
        (), description="columns of the feature query whose values are measured apart", strict=False
    )

"""The model of `gates.yaml`; every threshold has a default."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator
from typing_extensions import Self

from nightshift.config.reading import Strict

Level = Literal["fail", "warn"]
LevelOrOff = Literal["fail", "warn", "off"]

PartitionFinding = Literal[
    "unreadable",
    "extra_columns",
    "other_day",
    "no_time",
    "repeated_ids",
    "no_id",
    "empty_newest",
    "empty_days",
    "no_labels",
    "no_key",
    "not_finite",
    "no_history",
    "unread",
    "null_labels",
    "odd_labels",
    "same_key",
    "future_day",
]
"""What `nightshift.gates.partitions` may find."""

DayFinding = Literal["no_labels", "few_labels", "no_positives", "nulls", "not_finite"]
"""What `nightshift.gates.data` may find on one day."""


Model = TypeVar("Model", bound=Strict)


def _in_order(model: Model, low: str, high: str) -> Model:
    """Refuse bounds between which nothing fits."""
    least, most = getattr(model, low), getattr(model, high)
    if least > most:
        raise ValueError(f"{low} is {least:g} and {high} {most:g}; nothing is between them")
    return model


Share = Annotated[float, Field(ge=0, le=1)]


class MostRatio(Strict):
    """An upper bound of a ratio and what a breach means."""

    value: float = Field(gt=0)
    level: Level


class LeastShare(Strict):
    """A bound of a figure between 0 and 1, and what a breach means."""

    value: float = Field(ge=0, le=1)
    level: Level


class LeastCount(Strict):
    """A number of rows and what a breach means."""

    value: int = Field(ge=0)
    level: Level


class Rows(Strict):
    """Rows of a run's features."""

    min: int = Field(500, ge=0)
    level: Level = "fail"


class DayRows(Strict):
    """Rows of a day against the median day."""

    min_share: float = Field(0.1, ge=0, le=1)
    max_share: float = Field(10.0, ge=1)
    level: Level = "warn"


class Nulls(Strict):
    """Share of NULLs of a feature; `except` gives a feature a bound of its own."""

    max_share: float = Field(0.8, ge=0, le=1)
    level: Level = "warn"
    except_: dict[str, Share] = Field(default_factory=dict, alias="except")


class Positives(Strict):
    """Share of rows whose label is 1."""

    min_share: float = Field(0.0005, ge=0, lt=1)
    max_share: float = Field(0.5, gt=0, le=1)
    level: Level = "fail"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _in_order(self, "min_share", "max_share")


class Drift(Strict):
    """Population stability index of a feature against the live release's training data."""

    warn_psi: float = Field(0.25, ge=0)
    fail_psi: float = Field(2.0, ge=0)
    except_: list[str] = Field(default_factory=list, alias="except")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _in_order(self, "warn_psi", "fail_psi")


class DataGate(Strict):
    """Thresholds of the data gate."""

    rows: Rows = Rows()
    day_rows: DayRows = DayRows()
    nulls: Nulls = Nulls()
    positives: Positives = Positives()
    drift: Drift = Drift()
    partitions: dict[PartitionFinding, LevelOrOff] = Field(
        default_factory=dict, description="levels of findings in the source partitions"
    )
    days: dict[DayFinding, LevelOrOff] = Field(
        default_factory=dict, description="levels of findings on one day of the features"
    )


class CalibrationRatio(Strict):
    """Mean score over the share of positives."""

    min: float = Field(0.5, ge=0)
    max: float = Field(2.0, gt=0)
    level: Level = "warn"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _in_order(self, "min", "max")


class VersusLive(Strict):
    """Margins of the comparison with the live release."""

    auc_margin: float = Field(0.03, ge=0, le=0.5)
    logloss_margin: float = Field(0.1, ge=0, le=1)
    confidence: float = Field(0.9, gt=0, lt=1)
    resamples: int = Field(1000, ge=1)
    seed: int = Field(10, ge=0)
    level: Level = "fail"
    incomparable: Level = "warn"


class QualityGate(Strict):
    """Thresholds of the quality gate."""

    min_auc: LeastShare = LeastShare(value=0.55, level="fail")
    max_logloss_ratio: MostRatio = MostRatio(value=1.1, level="fail")
    calibration_ratio: CalibrationRatio = CalibrationRatio()
    max_calibration_error: LeastShare = LeastShare(value=0.05, level="warn")
    versus_live: VersusLive = VersusLive()
    slices: list[str] = Field(default_factory=list)


class BaselineGate(Strict):
    """The comparison with a logistic regression on the same rows.

    A model that is shown to be worse is told; one that is shown to be worse by more than
    `fail_margin` (of AUC) is rejected.
    """

    fail_margin: float = Field(0.02, ge=0, le=0.5)
    level: Level = "fail"


class Latency(Strict):
    """How much slower than the live pair a candidate may be."""

    max_ratio: float = Field(5.0, gt=0)
    level: Level = "warn"


class RehearsalGate(Strict):
    """Thresholds of the rehearsal."""

    requests: int = Field(50, ge=1)
    latency: Latency = Latency()


class ConsistencyGate(Strict):
    """The comparison of online with offline features."""

    sample: int = Field(200, ge=1)
    tolerance: float = Field(1e-5, ge=0, le=0.01)
    seed: int = Field(10, ge=0)
    min_compared: LeastCount = LeastCount(value=20, level="fail")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.min_compared.value > self.sample:
            raise ValueError(
                f"min_compared is {self.min_compared.value}, more than the sample of "
                f"{self.sample}, so that no candidate would pass; raise sample, or lower it"
            )
        return self


class RecommendGate(Strict):
    """What retrieval must find of the held-out days, against the most popular items.

    Recall is the share of the items that a user liked in the held-out days and had not seen
    before, that are among the first `at` candidates. Retrieval that is shown to find less than
    the popular items do, by more than `fail_margin`, is refused.
    """

    at: Literal[10, 20, 50, 100, 200] = 100
    fail_margin: float = Field(0.01, ge=0, le=1)
    level: Level = "fail"
    min_recall: LeastShare = LeastShare(value=0.0, level="fail")
    min_users: LeastCount = LeastCount(value=20, level="warn")
    min_index_recall: LeastShare = LeastShare(value=0.9, level="fail")


class GatesConfig(Strict):
    """The content of `gates.yaml`."""

    data: DataGate = DataGate()
    quality: QualityGate = QualityGate()
    baseline: BaselineGate = BaselineGate()
    rehearsal: RehearsalGate = RehearsalGate()
    consistency: ConsistencyGate = ConsistencyGate()
    recommend: RecommendGate = RecommendGate()

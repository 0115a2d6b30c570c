"""The model of `pipelines/<name>/pipeline.yaml`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from nightshift.config.live import LiveConfig
from nightshift.config.monitor import MonitorConfig
from nightshift.config.reading import Strict
from nightshift.config.recommend import Recommend
from nightshift.config.score import Score
from nightshift.errors import ConfigurationError
from nightshift.zones import Zone

NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
"""A pipeline's name: it becomes part of names in OpenMLDB, Triton, Airflow and the file system."""

DEFAULT_GATES = ("data", "quality", "baseline", "rehearsal", "consistency")


_TAKEN = ("information_schema", "pre_agg_db")
"""Databases of OpenMLDB's own, in lower case; the others begin with `_`."""


def _identifier(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", value):
        raise ValueError(f"is {value!r}; use letters, digits and _, and begin with a letter")
    if value is not None and value.lower() in _TAKEN:
        raise ValueError(f"is {value!r}, a database of OpenMLDB's own; choose another name")
    return value


def _cron(value: str) -> str:
    if value != "off" and len(value.split()) != 5:
        raise ValueError(
            f"is {value!r}; give a cron expression of five parts, such as '0 2 * * *', or off"
        )
    return value


def _off(value: object) -> object:
    """YAML reads `off` as false, and `2:00` as a number of base 60."""
    if value is False:
        return "off"
    if isinstance(value, int):
        raise ValueError(
            f"is {value} to YAML, not text; give a cron expression of five parts, such as "
            "'0 2 * * *', or off"
        )
    return value


def _quoted(value: object) -> object:
    if isinstance(value, int):
        raise ValueError(
            f"is {value} to YAML, not text; write the time of day in quotes, as '06:30'"
        )
    return value


def _hour(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError(f"is {value!r}; give a time of day such as '06:30'")
    return value


def _zone(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"is {value}, a number to YAML; write an offset in quotes, as '+10:00'")
    if isinstance(value, str):
        try:
            Zone.of(value)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
    return value


Identifier = Annotated[str, AfterValidator(_identifier)]


class FeatureFiles(Strict):
    """Files of a pipeline's features, relative to its folder."""

    sql: str = Field("features.sql", description="the one feature query")
    create_tables: str = Field("create_tables.sql", description="the script that makes the tables")
    tables: str = Field("tables.yaml", description="the declaration of the source tables")
    spec: str = Field("feature_spec.yaml", description="the feature specification")


class Serving(Strict):
    """How Triton serves the pipeline's model."""

    max_batch_size: int | None = Field(
        None, ge=0, description="rows of one request; empty: what the model's signature says"
    )
    instances: int = Field(1, ge=1, le=64, description="instances of a version on its device")
    dynamic_batching: bool = Field(True, description="score waiting requests in one batch")
    max_queue_delay_us: int = Field(0, ge=0, description="microseconds a request may be held back")


class PipelineConfig(Strict):
    """The content of `pipeline.yaml`."""

    version: Literal[1]
    description: str = Field("", description="one line for Airflow's list of DAGs")
    family: Literal["ctr", "tensor"] = Field(
        "ctr", description="ctr: features by SQL, a probability; tensor: any OneFlow module"
    )
    schedule: Annotated[str, BeforeValidator(_off), AfterValidator(_cron)] = Field(
        "0 2 * * *",
        description="cron expression of the nightly run, in `time_zone` or else UTC; off: by hand",
    )
    time_zone: Annotated[str, BeforeValidator(_zone)] | None = Field(
        None,
        description="time zone of the partitions' days and of `schedule`: UTC, an offset such as "
        "'+08:00', or a name such as Europe/Berlin; empty: days of UTC+8, schedule in UTC",
    )
    live_by: Annotated[str | None, BeforeValidator(_quoted), AfterValidator(_hour)] = Field(
        None,
        description="time of day, in the zone of `schedule`, by which the night's release is live; "
        "later, a message "
        "is sent; empty: no hour is promised",
    )
    database: Identifier | None = Field(
        None, description="OpenMLDB database; empty: <pipeline>_<installation>"
    )
    model: Identifier | None = Field(
        None, description="model name in Triton; empty: <pipeline>_<installation>"
    )
    data: str | None = Field(
        None, description="folder of the source tables; empty: <NIGHTSHIFT_DATA>/<pipeline>"
    )
    train_days: int = Field(
        30,
        ge=1,
        le=3660,
        description="days of requests that a run learns from, held-out days included",
    )
    refit: bool = Field(
        False,
        description="after the gates, train the same recipe once more on all judged days, held-out "
        "ones included, and release that model; family ctr",
    )
    keep_releases: int = Field(3, ge=0, description="previous releases kept for a rollback")
    approval_timeout_s: int = Field(
        43200, ge=1, description="seconds a run with `approve` waits; then the answer is no"
    )
    gates_run: tuple[str, ...] = Field(
        DEFAULT_GATES, description="gates that a candidate must pass, in this order", strict=False
    )
    features: FeatureFiles | None = Field(
        None, description="files of the features; a ctr pipeline has them"
    )
    gates: str = Field("gates.yaml", description="thresholds of the gates")
    hyperparameters: str = Field("hyperparameters.yaml", description="settings of training")
    module: str = Field("model.py", description="tensor family: the file that builds the module")
    serving: Serving = Serving()
    monitor: MonitorConfig = MonitorConfig()
    live: LiveConfig = LiveConfig()
    recommend: Recommend | None = Field(
        None, description="retrieval for POST .../recommend; a ctr pipeline may have it"
    )

    score: Score | None = Field(None, description="the list that score_<pipeline> writes")

    @model_validator(mode="before")
    @classmethod
    def _gate_of_recommend(cls, value: Any) -> Any:
        """Where `gates_run` is left out, a pipeline that recommends is judged by that, too."""
        if isinstance(value, dict) and value.get("recommend") and "gates_run" not in value:
            return {**value, "gates_run": [*DEFAULT_GATES, "recommend"]}
        return value

    @model_validator(mode="after")
    def _recommend_fits(self) -> PipelineConfig:
        if self.refit and self.family != "ctr":
            raise ValueError("refit trains on held-out days: it needs the family ctr")
        if self.score is not None and self.family != "ctr":
            raise ValueError("score lists probabilities: it needs the family ctr")
        if self.recommend is None:
            if "recommend" in self.gates_run:
                raise ValueError("gates_run names recommend, and there is no part recommend")
            return self
        if self.family != "ctr":
            raise ValueError("recommend ranks by features: it needs the family ctr")
        if "recommend" not in self.gates_run:
            raise ValueError("gates_run must name recommend, since there is a part recommend")
        return self

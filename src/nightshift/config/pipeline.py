"""The model of `pipelines/<name>/pipeline.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from nightshift.config.live import LiveConfig
from nightshift.config.monitor import MonitorConfig
from nightshift.config.reading import Misfit, Strict, refusal
from nightshift.config.recommend import Recommend
from nightshift.config.score import Score
from nightshift.config.yamlfile import nearest
from nightshift.errors import ConfigurationError
from nightshift.families import DEFAULT, FAMILIES, Family, Part, having
from nightshift.zones import Zone

NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
"""A pipeline's name: it becomes part of names in OpenMLDB, Triton, Airflow and the file system."""

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


def _family(value: str) -> str:
    if value not in FAMILIES:
        known = " or ".join(map(repr, FAMILIES))
        raise ValueError(f"is {value!r}; give {known}{nearest(value, FAMILIES).replace(';', ',')}")
    return value


Identifier = Annotated[str, AfterValidator(_identifier)]


def _of(part: Part) -> str:
    """Which families have a part, for a description."""
    return f"family {having(part)}"


class FeatureFiles(Strict):
    """Files of a pipeline's features, relative to its folder."""

    sql: str = Field("features.sql", description="the one feature query")
    create_tables: str = Field("create_tables.sql", description="the script that makes the tables")
    tables: str = Field("tables.yaml", description="the declaration of the source tables")
    spec: str = Field("feature_spec.yaml", description="the feature specification")


class Serving(Strict):
    """How Triton serves the pipeline's model."""

    max_batch_size: int | None = Field(
        None, ge=1, description="rows of one request; empty: what the model's signature says"
    )
    instances: int = Field(1, ge=1, le=64, description="instances of a version on its device")
    dynamic_batching: bool = Field(True, description="score waiting requests in one batch")
    max_queue_delay_us: int = Field(0, ge=0, description="microseconds a request may be held back")


class PipelineConfig(Strict):
    """The content of `pipeline.yaml`."""

    version: Literal[1]
    description: str = Field("", description="one line for Airflow's list of DAGs")
    family: Annotated[str, AfterValidator(_family)] = Field(
        DEFAULT,
        description="; ".join(f"{one.name}: {one.title}" for one in FAMILIES.values()),
        json_schema_extra={"enum": list(FAMILIES)},
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
        f"ones included, and release that model; {_of('refit')}",
    )
    keep_releases: int = Field(3, ge=0, description="previous releases kept for a rollback")
    approval_timeout_s: int = Field(
        43200, ge=1, description="seconds a run with `approve` waits; then the answer is no"
    )
    gates_run: tuple[str, ...] = Field(
        FAMILIES[DEFAULT].gates,
        description="gates that a candidate must pass, in this order; empty: those of the family",
        strict=False,
    )
    features: FeatureFiles | None = Field(
        None, description=f"files of the features; {_of('features')}"
    )
    gates: str = Field("gates.yaml", description="thresholds of the gates")
    hyperparameters: str = Field("hyperparameters.yaml", description="settings of training")
    module: str = Field("model.py", description=f"the file that builds the module; {_of('module')}")
    serving: Serving = Serving()
    monitor: MonitorConfig = MonitorConfig()
    live: LiveConfig = LiveConfig()
    recommend: Recommend | None = Field(
        None, description=f"retrieval for POST .../recommend; {_of('recommend')}"
    )
    score: Score | None = Field(
        None, description=f"the list that score_<pipeline> writes; {_of('score')}"
    )

    @property
    def kind(self) -> Family:
        """What the family is."""
        return FAMILIES[self.family]

    @model_validator(mode="before")
    @classmethod
    def _of_family(cls, value: Any) -> Any:
        """The gates and the features' files of the family, where they are left out."""
        name = value.get("family", DEFAULT) if isinstance(value, dict) else None
        family = FAMILIES.get(name) if isinstance(name, str) else None
        if family is None:
            return value
        value = dict(value)
        if "gates_run" not in value:
            more = ["recommend"] if value.get("recommend") else []
            value["gates_run"] = [*family.gates, *more]
        if "features" in family.parts and value.get("features") is None:
            value["features"] = {}
        return value

    @model_validator(mode="after")
    def _parts_fit(self) -> PipelineConfig:
        found = [
            Misfit(part, why, f"leave it out, or choose the {_of(part)}")
            for part, why in _NOT_OF_FAMILY.items()
            if getattr(self, part) and part not in self.kind.parts
        ]
        if self.recommend is None and "recommend" in self.gates_run:
            found.append(
                Misfit(
                    "gates_run",
                    "names recommend, and there is no part recommend",
                    "leave it out, or write the part recommend",
                )
            )
        if self.recommend is not None and "recommend" not in self.gates_run:
            found.append(
                Misfit(
                    "gates_run",
                    "does not name recommend, and there is a part recommend",
                    "add recommend, or leave gates_run out",
                )
            )
        if found:
            raise refusal(PipelineConfig, found)
        return self


_NOT_OF_FAMILY: Mapping[Part, str] = {
    "features": "a model of this family takes no features of OpenMLDB",
    "recommend": "items are ranked by features, which this family has not",
    "refit": "a refit trains on held-out days, which this family has not",
    "score": "a list holds probabilities, which this family does not give",
}
"""Parts of the file that a family may lack, and why it then refuses them."""

"""What an experiment tries: the model of an experiment's file, and of the command's options."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from nightshift.config.reading import Strict

# YAML has lists, and these are tuples.
Texts = Annotated[tuple[str, ...], Field(strict=False)]
Wholes = Annotated[tuple[int, ...], Field(strict=False)]
Values = Annotated[tuple[Any, ...], Field(strict=False)]
Sets = Annotated[tuple[Texts, ...], Field(strict=False)]


def _is_date(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _dates(value: int | tuple[str, ...]) -> int | tuple[str, ...]:
    if isinstance(value, int):
        if not 1 <= value <= 366:
            raise ValueError(f"is {value}; give 1 to 366 nights, or their dates")
        return value
    wrong = [text for text in value if not _is_date(text)]
    if wrong:
        raise ValueError(f"has {wrong[0]!r}; write dates as 'YYYY-MM-DD'")
    if len(set(value)) != len(value) or not value:
        raise ValueError("names a date twice, or none")
    return tuple(sorted(value))


def _seeds(value: tuple[int, ...]) -> tuple[int, ...]:
    if not value or len(set(value)) != len(value) or min(value) < 0:
        raise ValueError(f"is {list(value)}; give different seeds, 0 or more")
    return value


class Range(Strict):
    """Values of one hyper-parameter that a search draws from."""

    low: float | None = Field(None, description="lowest value")
    high: float | None = Field(None, description="highest value")
    log: bool = Field(False, description="draw on a log scale")
    whole: bool = Field(False, description="whole numbers only")
    choices: Values | None = Field(None, description="one of these")

    @model_validator(mode="after")
    def _one_kind(self) -> Range:
        ends = self.low is not None and self.high is not None
        if (self.choices is None) != ends or (self.low is None) != (self.high is None):
            raise ValueError("give either low and high, or choices")
        if self.choices is not None and not self.choices:
            raise ValueError("choices is empty")
        if ends:
            assert self.low is not None and self.high is not None
            if self.low > self.high or (self.log and self.low <= 0):
                raise ValueError(f"low {self.low} and high {self.high} are not a range")
        return self


class Search(Strict):
    """A search by Optuna: each configuration is drawn by what the ones before gave."""

    trials: int = Field(20, ge=1, le=10_000, description="configurations to try")
    sampler: Literal["tpe", "random"] = Field("tpe", description="how they are drawn")
    seed: int = Field(10, ge=0, description="of the drawing")
    space: Mapping[str, Range] = Field(
        description="hyper-parameters, each with low and high or with choices"
    )


class ExperimentConfig(Strict):
    """The content of an experiment's file."""

    version: Literal[1] = 1
    description: str = Field("", description="one line for the report")
    dates: Annotated[int | Texts, AfterValidator(_dates)] = Field(
        1, description="past nights to train for: how many of the newest, or a list"
    )
    step_days: int = Field(1, ge=1, le=366, description="days between two nights (dates: a number)")
    seeds: Annotated[Wholes, AfterValidator(_seeds)] = Field(
        (1,), description="each configuration is trained once a date and seed"
    )
    train_days: int | None = Field(
        None, ge=1, description="days of requests to learn from; empty: the pipeline's"
    )
    base: Mapping[str, Any] = Field(
        default_factory=dict, description="hyper-parameters that every configuration has"
    )
    vary: Mapping[str, Values] = Field(
        default_factory=dict,
        description="values tried one at a time, the others as in base",
    )
    grid: Mapping[str, Values] = Field(
        default_factory=dict, description="values of which every combination is tried"
    )
    leave_out: Sets = Field((), description="sets of features, each left out once")
    search: Search | None = Field(None, description="a search by Optuna instead of a grid")
    measure: Literal["auc", "logloss"] = Field(
        "auc", description="what chooses the best configuration, on the validation rows"
    )

    @model_validator(mode="after")
    def _one_design(self) -> ExperimentConfig:
        if self.search is not None and (self.grid or self.vary):
            raise ValueError("search stands alone; give grid and vary, or search")
        for key, values in {**self.vary, **self.grid}.items():
            if not values:
                raise ValueError(f"{key} has no value to try")
            if key == "seed":
                raise ValueError("seed is not a configuration; name seeds under seeds")
        return self

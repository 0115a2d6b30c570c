"""What the server answers, as values with types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """One row's score.

    Attributes:
        score: a probability.
        request_id: the value of the row's key column, if the pipeline has one.
        features: by name, where `explain` asked for them.
        ids: by feature, where `explain` asked for them.
    """

    score: float
    request_id: Any = None
    features: Mapping[str, Any] | None = None
    ids: Mapping[str, str] | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Prediction:
        """From the server's JSON."""
        known = {name: value.get(name) for name in ("request_id", "features", "ids")}
        return cls(float(value["score"]), **known)


@dataclass(frozen=True, kw_only=True)
class _ByRelease:
    """What an answer of one release says of it.

    Attributes:
        receipt: names the answer in the server's request log.
    """

    release: str
    deployment: str
    model: str
    model_version: int
    receipt: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Predictions(_ByRelease):
    """A score a row, in the order of the request, all by one release."""

    predictions: tuple[Prediction, ...]

    @property
    def scores(self) -> list[float]:
        """The scores alone."""
        return [prediction.score for prediction in self.predictions]

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Predictions:
        """From the server's JSON."""
        rows = tuple(Prediction.of(item) for item in value["predictions"])
        return cls(rows, **_names(value))


@dataclass(frozen=True)
class Ranked:
    """A candidate by its place; `candidate` counts from 0 in the request's order."""

    rank: int
    candidate: int
    prediction: Prediction


@dataclass(frozen=True)
class Ranking(_ByRelease):
    """The best candidates, best first, all by one release."""

    ranking: tuple[Ranked, ...]

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Ranking:
        """From the server's JSON."""
        ranked = tuple(
            Ranked(int(item["rank"]), int(item["candidate"]), Prediction.of(item))
            for item in value["ranking"]
        )
        return cls(ranked, **_names(value))


@dataclass(frozen=True)
class Recommended:
    """An item by its place.

    Attributes:
        rank: from 1 on.
        item: its id.
        prediction: its score.
        fields: the item's columns that were asked for.
        retrieved: its rank by each retriever, where `explain` asked for it.
    """

    rank: int
    item: Any
    prediction: Prediction
    fields: Mapping[str, Any]
    retrieved: Mapping[str, int]


@dataclass(frozen=True)
class Recommendations(_ByRelease):
    """The best items for a user, best first, all by one release.

    Attributes:
        user_known: whether the user was there when the release was made.
        candidates: how many items were ranked.
    """

    recommendations: tuple[Recommended, ...]
    user_known: bool
    candidates: int

    @property
    def items(self) -> list[Any]:
        """The ids alone."""
        return [one.item for one in self.recommendations]

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Recommendations:
        """From the server's JSON."""
        found = tuple(
            Recommended(
                int(one["rank"]),
                one["item"],
                Prediction.of(one),
                one.get("fields", {}),
                one.get("retrieved", {}),
            )
            for one in value["recommendations"]
        )
        return cls(found, bool(value["user_known"]), int(value["candidates"]), **_names(value))


@dataclass(frozen=True)
class Tensors:
    """Output tensors by name, as nested lists, all by one release."""

    outputs: Mapping[str, Any]
    release: str

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Tensors:
        """From the server's JSON."""
        return cls(value["outputs"], str(value["release"]))


@dataclass(frozen=True)
class Health:
    """Whether a prediction can be had now, and if not, which part is at fault."""

    ready: bool
    parts: Mapping[str, str]
    release: str | None
    workers: Mapping[str, Any]

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Health:
        """From the server's JSON."""
        return cls(
            value["status"] == "ready", value["parts"], value["release"], value.get("workers", {})
        )


def _names(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "release": str(value["release"]),
        "deployment": str(value["deployment"]),
        "model": str(value["model"]),
        "model_version": int(value["model_version"]),
        "receipt": value.get("receipt"),
    }

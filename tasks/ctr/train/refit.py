"""A judged training once more, on all judged days, with nothing decided anew.

What the judged training chose on its validation rows (hyper-parameters that were `auto`, the trees'
number, the baseline's penalty, the best epoch, what each part of a mean weighs) is taken over; there
is nothing to validate on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from nightshift import files
from nightshift.errors import ContractError
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from tasks.ctr.train.dataset import Dataset

SPLITS = ("train",)


@dataclass(frozen=True)
class Judged:
    """The training that is repeated.

    Attributes:
        card: its model card.
        chosen: its hyper-parameters, none of them `auto`.
        epochs: its best epoch, after which the refit ends; 0: what it began with was the best. By
            the name of the start, where the model is the mean of two.
        strength: the C of its baseline; None without one.
        rates: by field the share of ids that were replaced by the unknown one; None where the
            hyper-parameter says it all.
        shares: what each part of its mean weighs, by name; None where it is the network alone.
        warm_start: the model folder that it began from.
    """

    card: Mapping[str, Any]
    chosen: Hyperparameters
    epochs: int | Mapping[str, int]
    strength: float | None
    rates: Mapping[str, float] | None
    shares: Mapping[str, float] | None
    warm_start: Path | None

    @classmethod
    def load(cls, folder: Path, spec: FeatureSpec) -> Judged:
        """Read a judged model's card.

        Raises:
            ContractError: the folder holds none, one of another specification, or of an older
                version, which did not write its recipe down.
        """
        card = files.read_json(folder / "model_card.json")
        if not spec.accepts(card.get("schema_hash", "")):
            raise ContractError(
                f"the model in {folder} was trained by another specification than {spec.source} "
                f"(schema {str(card.get('schema_hash'))[:12]}, now {spec.schema_hash[:12]}), so "
                "this would be another recipe; train and judge anew"
            )
        try:
            recipe, warm = card["recipe"], card["warm_start"]
            return cls(
                card,
                Hyperparameters(**card["hyperparameters"]),
                recipe["epochs"],
                recipe["baseline_c"],
                recipe["unknown_rates"],
                recipe["shares"],
                None if warm is None else Path(warm),
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise ContractError(
                f"the card of the model in {folder} does not hold its recipe ({error}); train it "
                "with this version"
            ) from error

    def until(self, start: str) -> int:
        """After how many epochs a training from the start of that name ends."""
        return self.epochs if isinstance(self.epochs, int) else self.epochs[start]

    def check_dataset(self, card: Mapping[str, Any], folder: Path) -> None:
        """Check that a dataset is one of `preprocess --refit` for the same date.

        Raises:
            ContractError: it is not.
        """
        if not card.get("refit"):
            raise ContractError(
                f"{folder} holds days out; a refit learns from all of them: run "
                "tasks.ctr.preprocess with --refit"
            )
        judged = self.card["dataset"]
        for name in ("ds", "window"):
            if card[name] != judged[name]:
                raise ContractError(
                    f"{folder} is of {name} {card[name]}, and the judged model of {judged[name]}; "
                    "a refit learns from the judged rows"
                )

    def unknown_rates(self, data: Dataset) -> npt.NDArray[np.float32] | None:
        """The judged training's shares of unknown ids, for each of the network's columns."""
        if self.rates is None:
            return None
        groups = data.inputs.groups
        return np.repeat(
            np.array([self.rates.get(group.name, 0.0) for group in groups], np.float32),
            data.inputs.group_widths,
        )

    def part_of_card(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """What the refit's card says of itself: the learned days, and whose the figures are."""
        learned = summary["splits"]["train"]
        return {
            "learned": learned,
            "epochs": self.epochs,
            "judged": {
                "model_sha256": self.card["model_sha256"],
                "dataset": self.card["dataset"],
            },
            "note": (
                f"Trained by the judged recipe on all judged days, {learned['first_day']} to "
                f"{learned['last_day']}. valid, test, baseline and importance are figures of the "
                "judged model, which had not seen its held-out days; of this one there are none."
            ),
        }


def rates_by_field(data: Dataset, rates: npt.NDArray[np.float32]) -> dict[str, float]:
    """Shares of unknown ids by field, of those for each of the network's columns."""
    return {group.name: float(rates[group.first]) for group in data.inputs.groups}

"""The recipe of a model: all that decides it but the rows that it learns from.

A refit trains a judged model's recipe on more days. That it is the same recipe is not believed
but checked: both model cards and both data cards are compared, part by part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from nightshift import files
from nightshift.errors import ContractError

_OF_MODEL = ("family", "hyperparameters", "schema_hash", "fields", "warm_start")
_OF_DATA = ("ds", "window", "label_absent", "columns", "schema_hash", "encoding_version")
_CHOSEN = ("baseline_c", "unknown_rates", "epochs", "shares")
"""Of the part `recipe` of a model card: what training found out on the validation rows."""


def recipe_of(
    model_card: Mapping[str, Any], data_card: Mapping[str, Any], sql_sha256: str
) -> dict[str, Any]:
    """The parts of a recipe by name, such as `hyperparameters/learning_rate`.

    Args:
        model_card: of the trained model.
        data_card: of the dataset that it was trained on.
        sql_sha256: hash of the feature query that gave the rows.

    Raises:
        ContractError: a card lacks a part.
    """
    try:
        found = {f"model/{name}": model_card[name] for name in _OF_MODEL}
        found |= {f"data/{name}": data_card[name] for name in _OF_DATA}
        found |= {f"training/{name}": model_card["recipe"][name] for name in _CHOSEN}
    except (KeyError, TypeError) as error:
        raise ContractError(
            f"a card of the run has no {error}; clear the run from its task `train` on"
        ) from None
    values = found.pop("model/hyperparameters")
    found |= {f"hyperparameters/{name}": value for name, value in values.items()}
    return {**found, "sql": sql_sha256}


def digest_of(recipe: Mapping[str, Any]) -> str:
    """Hex SHA-256 of a recipe."""
    return hashlib.sha256(files.dump_json(dict(recipe))).hexdigest()


def differences(judged: Mapping[str, Any], refit: Mapping[str, Any]) -> list[str]:
    """What differs between two recipes, one line a part, with both values."""
    absent = object()
    return [
        f"{name} was {_shown(judged.get(name))} and is {_shown(refit.get(name))}"
        for name in sorted({*judged, *refit})
        if judged.get(name, absent) != refit.get(name, absent)
    ]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def check_rows(judged: Mapping[str, Any], refit: Mapping[str, Any]) -> None:
    """Check that a refit's dataset holds the judged rows, all of them, to train on.

    Args:
        judged: data card of the judged run.
        refit: data card of the refit.

    Raises:
        ContractError: it holds other days, or a day with other rows.
    """
    theirs = sorted(
        (day for split in judged["splits"].values() for day in split["days"]),
        key=lambda day: day["day"],
    )
    ours = refit["splits"]["train"]["days"]
    if theirs == ours:
        return
    before = {day["day"]: day for day in theirs}
    after = {day["day"]: day for day in ours}
    wrong = [day for day in sorted({*before, *after}) if before.get(day) != after.get(day)]

    def rows(cards: Mapping[str, Any], day: str) -> str:
        found = cards.get(day)
        return f"{found['rows']} rows, {found['positives']} positives" if found else "no rows"

    raise ContractError(
        f"the refit learned from other rows than were judged: of {wrong[0]} {rows(before, wrong[0])} "
        f"were judged, and it has {rows(after, wrong[0])}"
        f"{f' ({len(wrong)} such days)' if len(wrong) > 1 else ''}; the run's features changed "
        "meanwhile: clear the run from its task `preprocess` on"
    )

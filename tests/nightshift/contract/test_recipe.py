"""The recipe of a model: what belongs to it, and what is said where two differ."""

from __future__ import annotations

import copy

import pytest

from nightshift.contract import recipe
from nightshift.errors import ContractError

SQL = "0" * 64
MODEL = {
    "family": "deepfm",
    "hyperparameters": {"learning_rate": 0.001, "hidden": [64, 32]},
    "schema_hash": "s",
    "fields": ["user", "item"],
    "warm_start": None,
    "recipe": {"baseline_c": 0.1, "unknown_rates": None, "epochs": 4, "shares": None},
    "test": {"auc": 0.8},
}
DATA = {
    "ds": "2026-11-19",
    "window": {"train_days": 30},
    "label_absent": None,
    "columns": {"user": "string"},
    "schema_hash": "s",
    "encoding_version": 2,
    "splits": {
        "train": {"days": [{"day": "2026-11-10", "rows": 5, "positives": 1}]},
        "valid": {"days": [{"day": "2026-11-11", "rows": 6, "positives": 2}]},
        "test": {"days": [{"day": "2026-11-12", "rows": 7, "positives": 3}]},
    },
}


def refit_card():
    days = [DATA["splits"][name]["days"][0] for name in ("train", "valid", "test")]
    empty = {"days": []}
    return {**DATA, "splits": {"train": {"days": days}, "valid": empty, "test": empty}}


def test_the_rows_and_the_figures_are_no_part_of_it():
    one = recipe.recipe_of(MODEL, DATA, SQL)
    two = recipe.recipe_of({**MODEL, "test": {"auc": 0.1}}, refit_card(), SQL)
    assert recipe.differences(one, two) == []
    assert recipe.digest_of(one) == recipe.digest_of(two)


@pytest.mark.parametrize(
    ("where", "key", "value", "said"),
    [
        ("model", "family", "fm", "model/family was 'deepfm' and is 'fm'"),
        ("model", "schema_hash", "t", "model/schema_hash was 's' and is 't'"),
        ("data", "label_absent", 0, "data/label_absent was None and is 0"),
        ("data", "encoding_version", 3, "data/encoding_version was 2 and is 3"),
        ("model", "warm_start", "/m", "model/warm_start was None and is '/m'"),
    ],
)
def test_each_part_that_differs_is_named_with_both_values(where, key, value, said):
    cards = {"model": copy.deepcopy(MODEL), "data": copy.deepcopy(DATA)}
    cards[where][key] = value
    one = recipe.recipe_of(MODEL, DATA, SQL)
    two = recipe.recipe_of(cards["model"], cards["data"], SQL)
    assert recipe.differences(one, two) == [said]
    assert recipe.digest_of(one) != recipe.digest_of(two)


def test_another_query_and_a_setting_that_came_or_went_are_named():
    one = recipe.recipe_of(MODEL, DATA, SQL)
    more = {**MODEL, "hyperparameters": {**MODEL["hyperparameters"], "dropout": 0.4}}
    said = recipe.differences(one, recipe.recipe_of(more, DATA, "1" * 64))
    assert [text.split(" ")[0] for text in said] == ["hyperparameters/dropout", "sql"]


def test_a_card_without_its_part_is_an_error_that_names_it():
    with pytest.raises(ContractError, match="recipe"):
        recipe.recipe_of({k: v for k, v in MODEL.items() if k != "recipe"}, DATA, SQL)


def test_a_refit_holds_just_the_judged_rows():
    recipe.check_rows(DATA, refit_card())
    wrong = copy.deepcopy(refit_card())
    wrong["splits"]["train"]["days"][2]["positives"] = 4
    with pytest.raises(ContractError, match="2026-11-12 7 rows, 3 positives were judged"):
        recipe.check_rows(DATA, wrong)
    short = copy.deepcopy(refit_card())
    del short["splits"]["train"]["days"][2]
    with pytest.raises(ContractError, match="it has no rows"):
        recipe.check_rows(DATA, short)

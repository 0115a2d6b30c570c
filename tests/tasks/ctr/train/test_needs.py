"""Fields that families look at, before training and without OneFlow."""

import ast
from pathlib import Path

import pytest

from nightshift.features.specification import FeatureSpec
from tasks.ctr.train import needs
from tasks.ctr.train.hyperparameters import Hyperparameters

MODELS = Path(needs.__file__).parent / "models"
HISTORY = {"type": "string", "split": ",", "most": 5, "sequence": True}


def spec(**columns):
    numeric = columns.pop("numeric", {})
    return FeatureSpec.parse(
        {"version": 1, "label": "y", "time": "t", "keys": ["t"], "test_days": 1, "valid_days": 1,
         "categorical": columns, "numeric": numeric},
        source="spec.yaml",
    ).fields  # fmt: skip


def settings(fields, **given):
    return [setting for setting, _, _ in needs.problems(Hyperparameters(**given), fields)]


def test_the_families_settings_are_those_that_their_classes_take():
    found = {}
    for path in MODELS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "takes":
                found[path.stem] = ast.literal_eval(node.value)
    assert found.pop("base") == ("hidden",)
    assert found == needs.OWN


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"family": "deepfm", "hidden": (8,)}, []),
        ({"family": "deepfm", "cross_layers": 4}, ["cross_layers"]),
        ({"family": "deepfm", "cross_layers": 3}, []),  # the default says nothing
        ({"family": "lr", "hidden": (8,)}, ["hidden"]),
        ({"family": "dcnv2", "cross_layers": 4, "cross_rank": 2}, []),
        ({"family": "dcn", "cross_rank": 2, "history_field": "x"}, ["cross_rank", "history_field"]),
    ],
)
def test_a_setting_of_another_family_is_named(given, told):
    assert sorted(name for name, _, _ in needs.unused(Hyperparameters(**given))) == told


@pytest.mark.parametrize(
    ("columns", "given", "wrong"),
    [
        ({"user": "string", "item": "string"}, {"family": "ncf"}, []),
        ({"user": "string"}, {"family": "ncf"}, ["item_field"]),
        ({"user": "string", "item": "string"}, {"family": "din"}, ["history_field", "target_field"]),
        ({"item": "string", "seen": HISTORY}, {"family": "din"}, ["target_field"]),
        ({"item": "string", "seen": {**HISTORY, "shares": "item"}}, {"family": "din"}, []),
        ({"item": "string", "seen": HISTORY}, {"family": "din", "target_field": "item"}, []),
        ({"item": "string", "seen": HISTORY}, {"family": "din", "history_field": "item"},
         ["history_field"]),
        ({"item": "string"}, {"user_field": "itme"}, ["user_field"]),
        ({"item": "string", "numeric": {"n": {"type": "int32"}}}, {"user_field": "n"},
         ["user_field"]),
        ({"a": "string", "b": "string"}, {"family": "ncf", "user_field": "a", "item_field": "a"},
         ["item_field"]),
    ],
)  # fmt: skip
def test_a_field_that_is_not_there_or_does_not_fit_is_named(columns, given, wrong):
    assert settings(spec(**columns), **given) == wrong


@pytest.mark.parametrize(
    ("given", "on_cpu", "on_gpu"),
    [
        ({}, [], []),
        ({"precision": "mixed", "processes": 2}, ["precision"], []),
        ({"embedding_store": "one_embedding"}, ["embedding_store"], []),
        (
            {"embedding_store": "one_embedding", "processes": 2, "table_step": "dense"},
            ["embedding_store", "processes", "table_step"],
            ["processes", "table_step"],
        ),
        (
            {"embedding_store": "one_embedding", "optimizer": "adagrad", "table_step": "dense"},
            ["embedding_store"],
            [],
        ),
    ],
)
def test_what_a_device_cannot_train_with_is_named(given, on_cpu, on_gpu):
    chosen = Hyperparameters(**given)
    assert [name for name, _, _ in needs.on_device(chosen, "cpu")] == on_cpu
    assert [name for name, _, _ in needs.on_device(chosen, "cuda")] == on_gpu
    fixes = {name: fix for name, _, fix in needs.on_device(chosen, "cpu")}
    assert "float32" in fixes.get("precision", "float32")
    assert "embedding_store: memory" in fixes.get("embedding_store", "embedding_store: memory")

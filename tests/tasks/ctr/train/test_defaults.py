"""What is chosen from the data, and what is left as it was given."""

from dataclasses import replace

import pytest

from nightshift.errors import ConfigurationError
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train import defaults
from tasks.ctr.train.defaults import Facts
from tasks.ctr.train.hyperparameters import AUTO, load
from tasks.ctr.train.inputs import Inputs

SPEC = FeatureSpec.parse(
    {
        "version": 1,
        "label": "y",
        "time": "at",
        "test_days": 1,
        "valid_days": 1,
        "keys": ["at"],
        "categorical": {
            "user": "string",
            "item": "string",
            "seen": {"type": "string", "split": ",", "most": 3, "sequence": True, "shares": "item"},
        },
    },
    source="spec.yaml",
)
INPUTS = Inputs(SPEC.fields, {})
SMALL, LARGE = Facts(20_000, 700, 500, 3), Facts(5_000_000, 200_000, 10**6, 3)


@pytest.fixture
def given(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("{}\n")
    return lambda *changes: load(path, changes)


def test_nothing_stays_open_and_each_choice_has_a_reason(given):
    chosen, why = defaults.choose(given(), SMALL, INPUTS, strength=0.1)
    assert AUTO not in chosen.to_json().values()
    assert all(why.values())
    assert chosen.l2_linear == pytest.approx(10.0)


def test_more_data_gives_a_larger_network_and_larger_batches(given):
    small, _ = defaults.choose(given(), SMALL, INPUTS)
    large, _ = defaults.choose(given(), LARGE, INPUTS)
    assert large.embedding_dim > small.embedding_dim
    assert sum(large.hidden) > sum(small.hidden)
    assert large.batch_size > small.batch_size
    assert defaults.bins(20_000, 60) == 0 < defaults.bins(20_000, 700)


def test_what_is_given_is_kept(given):
    asked = given("hidden=[7]", "l2_embedding=0.5", "linear_start=zero")
    chosen, why = defaults.choose(asked, LARGE, INPUTS)
    assert (chosen.hidden, chosen.l2_embedding, chosen.linear_start) == ((7,), 0.5, "zero")
    assert not {"hidden", "l2_embedding", "linear_start"} & set(why)


def test_without_a_baseline_there_is_nothing_to_begin_at(given):
    assert defaults.choose(given("baseline=false"), SMALL, INPUTS)[0].linear_start == "zero"


def test_fields_of_a_family_follow_from_the_specification(given):
    chosen, _ = defaults.choose(given("family=din"), SMALL, INPUTS)
    assert (chosen.user_field, chosen.item_field) == ("user", "item")
    assert (chosen.history_field, chosen.target_field) == ("seen", "item")
    assert defaults._place(chosen, "history_field", INPUTS) == 2


def test_a_field_that_is_not_there_is_named(given):
    chosen, _ = defaults.choose(given("family=ncf", "user_field=usr"), SMALL, INPUTS)
    with pytest.raises(ConfigurationError, match="user_field.*'usr'.*user, item"):
        defaults._place(chosen, "user_field", INPUTS)


def test_learning_twice_needs_rows_to_choose_by_and_not_too_many_to_learn_from(given):
    enough = replace(SMALL, judges=defaults.JUDGES)
    start = {
        facts: defaults.choose(given(), facts, INPUTS)[0].linear_start
        for facts in (SMALL, enough, replace(LARGE, judges=defaults.JUDGES))
    }
    assert list(start.values()) == ["baseline", "validation", "baseline"]

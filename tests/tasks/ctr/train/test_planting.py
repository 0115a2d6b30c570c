"""Whether a model gets trees: what decides, and the reason that the model card gives."""

import types

import numpy as np
import pytest

from nightshift.errors import ConfigurationError
from tasks.ctr.train import planting
from tasks.ctr.train.hyperparameters import Hyperparameters

ROWS = 4000


def resolved(**changes):
    values = {"family": "deepfm", "trees": "auto", "block_rows": 0, "seed": 1, **changes}
    return Hyperparameters(**values)


@pytest.fixture
def data():
    """A dataset of which only the labels matter: a validation split of a tenth positives."""
    labels = (np.arange(ROWS) % 10 == 0).astype(np.int8)

    class Split:
        def __init__(self):
            self.labels, self.tensors = labels, None

        def __len__(self):
            return ROWS

    return types.SimpleNamespace(splits={"train": Split(), "valid": Split()}, labels=labels)


@pytest.fixture
def grows(monkeypatch):
    """What growing gives: seven trees with these logits of the validation rows, or nothing."""

    def give(valid):
        def grow(data, spec, most, seed, *, exactly):
            grow.most, grow.exactly = most, exactly
            if valid is None:
                return None
            return types.SimpleNamespace(trees=[0] * 7, valid=np.asarray(valid, np.float32))

        monkeypatch.setattr(planting.dataset, "grow_trees", grow)
        return grow

    return give


@pytest.mark.parametrize("family", planting.WITHOUT)
def test_a_family_that_takes_nothing_else_gets_none(data, family):
    found = planting.plant(data, None, resolved(family=family), None, None)
    assert found == (None, 0, f"the family {family} takes none")


def test_trees_that_say_more_than_the_share_of_positives_are_kept(data, grows):
    grow = grows(np.where(data.labels == 1, 2.0, -4.0))
    grown, count, why = planting.plant(data, None, resolved(), None, None)
    assert count == 7
    assert grown is not None
    assert why.startswith("mixed with 7 trees, the baseline's validation log loss falls by ")
    assert (grow.most, grow.exactly) == (planting.trees.MOST_TREES, False)


def test_trees_that_say_no_more_than_chance_are_left_out(data, grows):
    grows(np.random.default_rng(1).normal(np.log(1 / 9), 0.01, ROWS))
    grown, count, why = planting.plant(data, None, resolved(), None, None)
    assert (grown, count) == (None, 0)
    assert "no more than its standard error" in why


@pytest.mark.parametrize(
    ("changes", "kept"),
    [({}, 7), ({"family": "dcnv2"}, 0), ({"linear_start": "zero"}, 0), ({"positives": 190}, 0)],
)
def test_where_a_mean_is_served_trees_may_add_less_than_the_standard_error(
    data, grows, changes, kept
):
    """A mean is of `deepfm`, `fm` and `wide_deep`, with 200 rows of the rarer class to judge by."""
    labels = data.splits["valid"].labels
    labels[np.flatnonzero(labels)[changes.pop("positives", 400) :]] = 0
    # They know one positive better than the baseline does, and another one less.
    before = np.full(ROWS, np.log(labels.mean() / (1 - labels.mean())))
    trees = before.copy()
    trees[np.flatnonzero(labels)[:2]] += [1.0, -0.5]
    grows(trees)
    linear = types.SimpleNamespace(logits=lambda tensors: before)
    _, count, why = planting.plant(data, None, resolved(**changes), linear, None)
    assert count == kept
    assert ("no more than its standard error" in why) == (not kept)


def test_what_the_baseline_says_already_is_no_reason_for_trees(data, grows):
    told = np.where(data.labels == 1, 2.0, -4.0)
    grows(told)
    linear = types.SimpleNamespace(logits=lambda tensors: told)
    assert planting.plant(data, None, resolved(), linear, None)[:2] == (None, 0)


def test_a_number_of_trees_that_is_given_is_not_judged(data, grows):
    grow = grows(np.zeros(ROWS))
    _, count, why = planting.plant(data, None, resolved(trees=12), None, None, exactly=True)
    assert (count, why) == (7, "")
    assert (grow.most, grow.exactly) == (12, True)
    assert planting.plant(data, None, resolved(trees=0), None, None) == (None, 0, "")


def test_too_little_to_grow_of_is_said(data, grows):
    grows(None)
    assert planting.plant(data, None, resolved(), None, None) == (
        None,
        0,
        "there is too little to grow trees of",
    )


def test_data_in_blocks_gets_none_and_a_number_beside_it_is_refused(data):
    grown, count, why = planting.plant(data, None, resolved(block_rows=1000), None, None)
    assert (grown, count) == (None, 0)
    assert "read in blocks" in why
    with pytest.raises(
        ConfigurationError, match="trees is 5 and block_rows 1000.*set one of the two"
    ):
        planting.plant(data, None, resolved(trees=5, block_rows=1000), None, None)


def test_a_warm_start_without_trees_gets_none_and_one_with_them_is_not_judged(
    data, grows, monkeypatch, tmp_path
):
    earlier = types.SimpleNamespace(inputs=types.SimpleNamespace(trees=None))
    monkeypatch.setattr(planting.SavedModel, "load", lambda folder: earlier)
    _, count, why = planting.plant(data, None, resolved(), None, tmp_path)
    assert (count, why) == (0, "the model that training begins from has none")
    earlier.inputs.trees = object()
    grows(np.zeros(ROWS))
    _, count, why = planting.plant(data, None, resolved(), None, tmp_path)
    assert (count, why) == (7, "the model that training begins from has trees")

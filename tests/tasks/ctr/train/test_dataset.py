"""Batches: each row once an epoch, the same numbers whenever an epoch is taken up again."""

import numpy as np
import pytest

from nightshift.features.specification import FeatureSpec
from tasks.ctr.train.dataset import MOST_UNKNOWN, Batches, Dataset, Split, random_bytes
from tasks.ctr.train.inputs import Inputs, Tensors
from tasks.ctr.train.vocabulary import Vocabulary

N = 107


@pytest.fixture
def vocabulary():
    return Vocabulary.learn([np.arange(N), np.arange(5)])


def batches(vocabulary, **changes):
    rows = np.stack([1 + np.arange(N), N + 2 + np.arange(N) % 5], axis=1).astype(np.int32)
    values = {"batch_size": 20, "seed": 3, "oov_rate": 0.0, "dropped": 0, "widths": (8, 4)}
    labels = (np.arange(N) % 3 == 0).astype(np.int8)
    return Batches(
        split=Split(Tensors(rows, changes.pop("weights", None), None), labels),
        offsets=vocabulary.offsets,
        **{"may_be_unknown": np.array([True, True]), **values, **changes},
    )


def same(one, two):
    arrays = (batch.arrays() for batch in (one, two))
    return all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))


def test_an_epoch_takes_each_row_once_with_its_label(vocabulary):
    given = batches(vocabulary)
    taken = list(given.epoch(0))
    assert len(taken) == given.steps == 6
    assert {batch.tensors.rows.shape for batch in taken} == {(20, 2)}
    real = [
        (r, y)
        for b in taken
        for r, y, w in zip(b.tensors.rows, b.labels, b.weights, strict=True)
        if w
    ]
    assert sorted(int(r[0]) for r, _ in real) == list(range(1, N + 1))
    assert all(y == ((r[0] - 1) % 3 == 0) for r, y in real)
    assert taken[-1].weights.tolist() == [1.0] * 7 + [0.0] * 13


def test_epochs_differ_in_order_and_seeds_in_everything(vocabulary):
    first = next(batches(vocabulary).epoch(0))
    assert not same(first, next(batches(vocabulary).epoch(1)))
    assert not same(first, next(batches(vocabulary, seed=4).epoch(0)))


def test_an_epoch_taken_up_again_goes_on_with_the_same_numbers(vocabulary):
    given = batches(vocabulary, oov_rate=0.2, dropped=51)
    whole = list(given.epoch(2))
    rest = list(given.epoch(2, first_step=4))
    assert len(rest) == 2
    assert all(same(a, b) for a, b in zip(whole[4:], rest, strict=True))


def test_a_share_of_ids_becomes_unknown_each_in_its_own_field(vocabulary):
    given = batches(vocabulary, oov_rate=0.3)
    rows = np.concatenate(
        [b.tensors.rows[b.weights == 1] for e in range(20) for b in given.epoch(e)]
    )
    unknown = rows == vocabulary.offsets
    assert unknown.mean() == pytest.approx(0.3, abs=0.03)
    assert rows[:, 0].max() <= N
    assert rows[:, 1].min() == vocabulary.offsets[1]


def test_each_column_may_have_a_share_of_its_own(vocabulary):
    given = batches(vocabulary, oov_rate=np.array([0.9, 0.0], np.float32))
    rows = np.concatenate(
        [b.tensors.rows[b.weights == 1] for e in range(20) for b in given.epoch(e)]
    )
    unknown = (rows == vocabulary.offsets).mean(axis=0)
    assert unknown[0] == pytest.approx(0.9, abs=0.03)
    assert unknown[1] == 0


SEEN = {"type": "string", "split": ",", "most": 2}


@pytest.fixture
def later():
    """Of 100 rows a fifth of the users are rare; of 100 later ones 60 % are unknown, and all tags."""
    content = {
        "version": 1,
        "label": "y",
        "time": "at",
        "test_days": 1,
        "valid_days": 1,
        "keys": ["at"],
        "categorical": {"user": "string", "item": "string", "tags": SEEN},
    }
    inputs = Inputs(FeatureSpec.parse(content, source="spec.yaml").fields, {})
    known = Vocabulary([np.arange(10), np.arange(5), np.arange(3)])
    user, item, tag = known.offsets.tolist()

    def split(users, tags):
        rows = np.full((100, 4), [0, item + 1, 0, tag], np.int32)
        rows[:, 0], rows[:, 2] = users, tags
        # The second place of the tags is empty.
        weights = np.tile(np.array([1, 1, 1, 0], np.float32), (100, 1))
        return Split(Tensors(rows, weights, None), np.zeros(100, np.int8))

    splits = {
        "train": split([user] * 20 + [user + 1] * 80, [tag + 1] * 100),
        "valid": split([user] * 60 + [user + 2] * 40, [tag] * 100),
    }
    return Dataset(None, {}, inputs, known, splits, "")


def test_ids_become_as_often_unknown_as_in_the_later_rows(later):
    rates = later.unknown_rates()
    # 0.2 are rare; half of the other 0.8 make it 0.6. Empty places of tags count nothing.
    assert rates.tolist() == pytest.approx([0.5, 0.0, MOST_UNKNOWN, MOST_UNKNOWN])


def test_a_row_is_penalized_once_in_an_epoch_however_often_it_is_replaced(later):
    user, item, _ = later.offsets[:3]
    rates = np.array([0.5, 0, 0, 0], np.float32)
    shares = later.penalty_of_row(rates)
    assert shares[user] == pytest.approx(1 / (20 + 0.5 * 80))
    assert shares[user + 1] == pytest.approx(1 / (0.5 * 80))
    assert shares[item + 1] == pytest.approx(1 / 100)
    assert later.penalty_of_row()[user + 1] == pytest.approx(1 / 80)


@pytest.mark.parametrize("drawn", [2, 3], ids=["a whole number is next", "half a number is left"])
@pytest.mark.parametrize("count", [64, 1001])
def test_random_bytes_are_those_of_numpy(drawn, count):
    ours, theirs = (np.random.Generator(np.random.PCG64([7, 1])) for _ in range(2))
    for generator in (ours, theirs):
        generator.random(drawn, dtype=np.float32)
    for _ in range(2):
        assert random_bytes(ours, count).tobytes() == theirs.bytes(count)
    assert ours.random() == theirs.random()


def test_masks_drop_their_share(vocabulary):
    masks = next(batches(vocabulary, dropped=64, widths=(4000, 10)).epoch(0)).masks
    assert [mask.shape for mask in masks] == [(20, 4000), (20, 10)]
    assert set(np.unique(masks[0])) == {0, 1}
    assert masks[0].mean() == pytest.approx(0.75, abs=0.01)


def test_only_ids_become_unknown(vocabulary):
    given = batches(vocabulary, oov_rate=0.5, may_be_unknown=np.array([True, False]))
    rows = np.concatenate([b.tensors.rows[b.weights == 1] for b in given.epoch(0)])
    assert (rows[:, 0] == 0).any()
    assert not (rows[:, 1] == vocabulary.offsets[1]).any()


def test_weights_of_columns_go_with_their_rows(vocabulary):
    weights = np.stack([np.arange(N), np.ones(N)], axis=1).astype(np.float32)
    for batch in batches(vocabulary, weights=weights).epoch(0):
        real = batch.tensors.rows[: batch.count, 0]
        assert batch.tensors.weights[: batch.count, 0].tolist() == (real - 1).tolist()


def test_negatives_are_drawn_anew_each_epoch_and_positives_are_all_there(vocabulary):
    given = batches(vocabulary, kept_negatives=0.25)
    positives, negatives = 36, 71
    assert given.rows == positives + round(0.25 * negatives) == 54
    drawn = []
    for epoch in (0, 1, 0):
        labels = np.concatenate([b.labels[: b.count] for b in given.epoch(epoch)])
        rows = np.concatenate([b.tensors.rows[: b.count, 0] for b in given.epoch(epoch)])
        assert len(set(rows.tolist())) == 54
        assert labels.sum() == positives
        drawn.append(rows.tolist())
    assert drawn[0] == drawn[2]
    assert sorted(drawn[0]) != sorted(drawn[1])


def test_positive_rows_weigh_what_is_asked(vocabulary):
    for batch in batches(vocabulary, positive_weight=5.0).epoch(0):
        real = slice(0, batch.count)
        assert (batch.weights[real] == np.where(batch.labels[real] == 1, 5.0, 1.0)).all()
        assert not batch.weights[batch.count :].any()

"""Batches: each row once an epoch, the same numbers whenever an epoch is taken up again."""

import numpy as np
import pytest

from tasks.ctr.train.dataset import Batches, Split
from tasks.ctr.train.inputs import Tensors
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

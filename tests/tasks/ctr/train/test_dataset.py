"""Batches: each row once an epoch, the same numbers whenever an epoch is taken up again."""

import numpy as np
import pytest

from tasks.ctr.train.dataset import Batches, Split
from tasks.ctr.train.vocabulary import Vocabulary

N = 107


@pytest.fixture
def vocabulary():
    return Vocabulary.learn([np.arange(N), np.arange(5)])


def batches(vocabulary, **changes):
    rows = np.stack([1 + np.arange(N), N + 2 + np.arange(N) % 5], axis=1).astype(np.int32)
    values = {"batch_size": 20, "seed": 3, "oov_rate": 0.0, "dropped": 0, "hidden": (8, 4)}
    labels = (np.arange(N) % 3 == 0).astype(np.int8)
    return Batches(split=Split(rows, labels), vocabulary=vocabulary, **{**values, **changes})


def same(one, two):
    arrays = ((a.rows, a.labels, a.weights, *a.masks) for a in (one, two))
    return all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))


def test_an_epoch_takes_each_row_once_with_its_label(vocabulary):
    given = batches(vocabulary)
    taken = list(given.epoch(0))
    assert len(taken) == given.steps == 6
    assert {batch.rows.shape for batch in taken} == {(20, 2)}
    real = [(r, y) for b in taken for r, y, w in zip(b.rows, b.labels, b.weights, strict=True) if w]
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
    rows = np.concatenate([b.rows[b.weights == 1] for e in range(20) for b in given.epoch(e)])
    unknown = rows == vocabulary.offsets
    assert unknown.mean() == pytest.approx(0.3, abs=0.03)
    assert rows[:, 0].max() <= N
    assert rows[:, 1].min() == vocabulary.offsets[1]


def test_masks_drop_their_share(vocabulary):
    masks = next(batches(vocabulary, dropped=64, hidden=(4000, 10)).epoch(0)).masks
    assert [mask.shape for mask in masks] == [(20, 4000), (20, 10)]
    assert set(np.unique(masks[0])) == {0, 1}
    assert masks[0].mean() == pytest.approx(0.75, abs=0.01)

"""Lists of different lengths."""

import numpy as np

from nightshift.recommend.ragged import Ragged, best, summed


def test_rows_keep_the_order_of_their_entries(tmp_path):
    made = Ragged.of(np.array([2, 0, 2, 2]), np.array([5, 1, 3, 4]), 4)
    assert [made.row(n).tolist() for n in range(4)] == [[1], [], [5, 3, 4], []]
    values, lengths = made.many(np.array([2, 1, 0]))
    assert (values.tolist(), lengths.tolist()) == ([5, 3, 4, 1], [3, 0, 1])
    assert made.transposed(6).row(3).tolist() == [2]
    made.save(tmp_path, "x")
    assert Ragged.load(tmp_path, "x").row(2).tolist() == [5, 3, 4]


def test_best_breaks_ties_by_order():
    scores = np.array([1, 3, 3, 0, 3], np.float32)
    assert best(scores, 2).tolist() == [1, 2]
    assert best(scores, 9).tolist() == [1, 2, 4, 0, 3]
    assert best(scores[:0], 2).tolist() == []


def test_sums_by_item():
    items, weights = summed(np.array([7, 2, 7]), np.array([1.0, 2.0, 0.5]))
    assert (items.tolist(), weights.tolist()) == ([2, 7], [2.0, 1.5])

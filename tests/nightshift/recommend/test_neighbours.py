"""Neighbours are those of the whole matrix, which is never made."""

import numpy as np
import pytest

from nightshift.recommend import neighbours
from nightshift.recommend.neighbours import Neighbours
from nightshift.recommend.ragged import Ragged


@pytest.mark.parametrize("pairs", [50, 10_000_000], ids=["small blocks", "one block"])
def test_the_k_most_similar_rows_of_the_dense_matrix(monkeypatch, pairs):
    monkeypatch.setattr(neighbours, "PAIRS", pairs)
    random = np.random.default_rng(3)
    dense = random.random((30, 20)) < 0.25
    dense[7] = False
    rows, columns = np.nonzero(dense)
    made = Neighbours.fit(Ragged.of(rows, columns, 30), 20, 5, shrinkage=2.0, most=1000)
    common = dense.astype(float) @ dense.T
    counts = dense.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = common / np.sqrt(np.outer(counts, counts)) * common / (common + 2.0)
    np.fill_diagonal(wanted, 0)
    wanted = np.nan_to_num(wanted)
    for row in range(30):
        best = np.argsort(-wanted[row], kind="stable")[:5]
        best = best[wanted[row][best] > 0]
        there = made.index[row] >= 0
        assert made.index[row][there].tolist() == best.tolist()
        assert made.similarity[row][there] == pytest.approx(wanted[row][best], rel=1e-6)
    assert (made.index[7] == -1).all()


def test_columns_of_too_many_rows_are_thinned_evenly():
    rows = np.arange(1000)
    lists = neighbours._thinned(Ragged.of(np.zeros(1000, int), rows, 2), 10)
    assert len(lists.row(0)) == 10
    assert np.ptp(np.diff(lists.row(0))) <= 1
    assert len(lists.row(1)) == 0

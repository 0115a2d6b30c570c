"""The factorisation solves its normal equations."""

import numpy as np

from nightshift.config.recommend import Factors
from nightshift.recommend import factorise
from nightshift.recommend.ragged import Ragged


def test_a_user_is_the_least_squares_solution_of_its_items(monkeypatch):
    monkeypatch.setattr(factorise, "STEPS", 30)
    monkeypatch.setattr(factorise, "CHUNK", 40)
    random = np.random.default_rng(5)
    dense = random.random((25, 15)) < 0.3
    dense[4] = False
    lists = Ragged.of(*np.nonzero(dense), 25)
    chosen = Factors(dimensions=4, iterations=1, confidence=3.0, regularisation=0.1)
    users = random.normal(size=(25, 4)).astype(np.float32)
    users[4] = 0
    items = random.normal(size=(15, 4)).astype(np.float32)
    factorise._solve(lists, users, items, chosen)
    for user in range(25):
        weight = np.diag(1 + 3.0 * dense[user])
        left = items.T @ weight @ items + 0.1 * np.eye(4)
        wanted = np.linalg.solve(left, items.T @ weight @ dense[user])
        assert np.allclose(users[user], wanted, atol=1e-3)
        if dense[user].any():
            folded = factorise.fold_in(items[dense[user]], items.T @ items, chosen)
            assert np.allclose(folded, wanted, atol=1e-4)


def test_what_nobody_touched_has_no_vector():
    users, items = factorise.fit(Ragged.of(np.array([0, 1]), np.array([0, 1]), 3), 4, Factors())
    assert not users[2].any()
    assert not items[2:].any()
    assert users[:2].any()

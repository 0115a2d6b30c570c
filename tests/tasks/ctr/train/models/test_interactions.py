"""Interactions of embeddings, held to their sums over pairs."""

import itertools

import numpy as np
import pytest

from testing.workshop import TASKS_PYTHON, evaluate


def test_a_factorised_sum_is_the_sum_over_all_pairs():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    fields, k = 5, 3
    vectors = np.random.default_rng(2).normal(size=(7, fields, k)).astype(np.float32)
    found = evaluate(
        """
import numpy as np, oneflow as flow
from tasks.ctr.train.models.base import Looked
from tasks.ctr.train.models.interactions import factorised, field_sum, pairs
adds = field_sum(fields, k)
flat = flow.from_numpy(np.array(vectors, np.float32).reshape(-1, fields * k))
looked = Looked(None, None, None, flat.reshape(-1, fields, k), flat, None)
answer = {
    "sums": factorised(looked, adds).numpy().tolist(),
    "added": flow.matmul(flat, adds).numpy().tolist(),
    "pairs": [side.tolist() for side in pairs(fields)],
}
""",
        fields=fields,
        k=k,
        vectors=vectors.tolist(),
    )
    every = list(itertools.combinations(range(fields), 2))
    expected = [sum(row[i] @ row[j] for i, j in every) for row in vectors.astype(np.float64)]
    np.testing.assert_allclose(found["sums"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["added"], vectors.sum(axis=1), rtol=1e-5, atol=1e-6)
    assert list(zip(*found["pairs"], strict=True)) == every

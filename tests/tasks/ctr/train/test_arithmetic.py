"""The NumPy scorer: DeepFM's formula, and a row's bits that no batch changes."""

import numpy as np
import pytest

from tasks.ctr.train import arithmetic
from tasks.ctr.train.inputs import Tensors

ROWS, FIELDS, K = 300, 7, 4


@pytest.fixture(scope="module")
def parameters():
    rng = np.random.default_rng(3)
    shapes = {
        "embedding.weight": (ROWS, K),
        "linear.weight": (ROWS, 1),
        "dnn.0.weight": (33, FIELDS * K),
        "dnn.0.bias": (33,),
        "dnn.1.weight": (17, 33),
        "dnn.1.bias": (17,),
        "out.weight": (1, 17),
        "out.bias": (1,),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def scorer(parameters, family="deepfm"):
    found = arithmetic.of({"architecture": {"family": family}}, parameters, (1,) * FIELDS)
    return found and Rows(found)


class Rows:
    """A scorer of table rows alone."""

    def __init__(self, found):
        self.found = found

    def score(self, rows):
        return self.found.score(Tensors(rows, None, None))


def by_formula(parameters, row):
    p = {name: value.astype(np.float64) for name, value in parameters.items()}
    vectors = p["embedding.weight"][row]
    pairs = sum(vectors[i] @ vectors[j] for i in range(FIELDS) for j in range(i + 1, FIELDS))
    x = vectors.ravel()
    for layer in (0, 1):
        x = np.maximum(p[f"dnn.{layer}.weight"] @ x + p[f"dnn.{layer}.bias"], 0)
    logit = p["linear.weight"][row].sum() + pairs + p["out.weight"][0] @ x + p["out.bias"][0]
    return 1 / (1 + np.exp(-logit))


def test_scores_are_those_of_the_paper(parameters):
    rows = np.random.default_rng(4).integers(0, ROWS, (50, FIELDS)).astype(np.int32)
    found = scorer(parameters).score(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [by_formula(parameters, row) for row in rows], atol=2e-6)


def test_a_row_has_the_same_bits_alone_and_in_every_batch(parameters):
    rows = np.random.default_rng(5).integers(0, ROWS, (200, FIELDS)).astype(np.int32)
    score = scorer(parameters).score
    whole = score(rows)
    for start, stop in [(0, 1), (3, 4), (0, 15), (0, 16), (1, 18), (40, 140), (199, 200)]:
        assert score(rows[start:stop]).tobytes() == whole[start:stop].tobytes()


@pytest.mark.parametrize("widths", [(16, 16), (33, 17), (400, 400)], ids=str)
def test_a_block_is_steady_on_this_processor(widths):
    rng = np.random.default_rng(8)
    made = {
        "embedding.weight": rng.normal(size=(ROWS, K)).astype(np.float32),
        "linear.weight": rng.normal(size=(ROWS, 1)).astype(np.float32),
        "dnn.0.weight": rng.normal(size=(widths[0], FIELDS * K)).astype(np.float32),
        "dnn.0.bias": np.zeros(widths[0], np.float32),
        "dnn.1.weight": rng.normal(size=(widths[1], widths[0])).astype(np.float32),
        "dnn.1.bias": np.zeros(widths[1], np.float32),
        "out.weight": 0.01 * rng.normal(size=(1, widths[1])).astype(np.float32),
        "out.bias": np.zeros(1, np.float32),
    }
    rows = rng.integers(0, ROWS, (48, FIELDS)).astype(np.int32)
    score = scorer(made).score
    whole = score(rows)
    for start in range(1, 20):
        assert score(rows[start : start + 17]).tobytes() == whole[start : start + 17].tobytes()


def test_scores_stay_probabilities_where_an_exponential_would_overflow(parameters):
    large = {**parameters, "out.bias": np.array([3e38], np.float32)}
    small = {**parameters, "out.bias": np.array([-3e38], np.float32)}
    rows = np.zeros((1, FIELDS), np.int32)
    assert scorer(large).score(rows).tolist() == [1.0]
    assert scorer(small).score(rows).tolist() == [0.0]


def test_a_family_that_is_not_plain_arithmetic_is_left_to_oneflow(parameters):
    assert scorer(parameters, "another") is None


def test_weights_groups_and_dense_numbers_enter_as_the_formula_says(parameters):
    """Fields of 1, 3 and 2 columns, a dense number, and weights: the wide part and a DNN."""
    rng = np.random.default_rng(6)
    widths, first = (1, 3, 2), [0, 1, 4]
    made = {
        **parameters,
        "dnn.0.weight": rng.normal(size=(33, 3 * K + 1)).astype(np.float32),
    }
    rows = rng.integers(0, ROWS, (20, 6)).astype(np.int32)
    weights = rng.random((20, 6), dtype=np.float32)
    dense = rng.normal(size=(20, 1)).astype(np.float32)
    network = {"architecture": {"family": "wide_deep"}}
    found = arithmetic.of(network, made, widths).score(Tensors(rows, weights, dense))
    p = {name: value.astype(np.float64) for name, value in made.items()}
    for row, weight, number, score in zip(rows, weights, dense, found, strict=True):
        vectors = p["embedding.weight"][row] * weight[:, None]
        fields = [vectors[a : a + w].sum(axis=0) for a, w in zip(first, widths, strict=True)]
        x = np.concatenate([*fields, number])
        for layer in (0, 1):
            x = np.maximum(p[f"dnn.{layer}.weight"] @ x + p[f"dnn.{layer}.bias"], 0)
        wide = (p["linear.weight"][row, 0] * weight).sum()
        logit = wide + p["out.weight"][0] @ x + p["out.bias"][0]
        assert abs(score - 1 / (1 + np.exp(-logit))) < 2e-6

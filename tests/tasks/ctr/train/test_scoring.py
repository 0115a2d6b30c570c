"""Probabilities of a network: the same in parts and at once."""

import numpy as np
import pytest

from testing.workshop import TASKS_PYTHON, evaluate

SCORE = """
import numpy as np, oneflow as flow
from tasks.ctr.train import models, scoring
from tasks.ctr.train.inputs import Tensors

shape = models.Architecture(50, 3, 4, (8,), "deepfm", (1, 1, 2), 2, True)
plan = models.plan(shape)
rng = np.random.default_rng(1)
values = {name: rng.normal(0, 0.5, w.shape).astype(np.float32) for name, w in plan.items()}
network = models.build(shape, values, "cpu", dropout=0.5)
network.train()
x = Tensors(
    rng.integers(0, 50, (103, 4)).astype(np.int32),
    rng.random((103, 4)).astype(np.float32),
    rng.normal(size=(103, 2)).astype(np.float32),
)
whole = scoring.score(network, x, "cpu")
scoring.SCORING_ROWS = 10
calls = []
parts = scoring.score(network, x, "cpu", lambda: calls.append(1))

def stop():
    raise InterruptedError
try:
    scoring.score(network, x, "cpu", stop)
    stopped = False
except InterruptedError:
    stopped = True
with flow.no_grad():
    logits = network(*(flow.from_numpy(a) for a in (x.rows, x.weights, x.dense))).numpy()
empty = scoring.score(network, x.take(slice(0, 0)), "cpu")
answer = {
    "whole": whole.tolist(), "parts": parts.tolist(), "calls": len(calls), "stopped": stopped,
    "logits": logits.tolist(), "empty": [list(empty.shape), str(empty.dtype)],
    "dtype": str(whole.dtype), "training": network.training,
}
"""


def test_parts_score_as_the_whole_and_may_be_stopped_between():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    found = evaluate(SCORE)
    assert found["dtype"] == "float32"
    assert len(found["whole"]) == 103
    np.testing.assert_allclose(found["parts"], found["whole"], atol=1e-6)
    expected = 1 / (1 + np.exp(-np.array(found["logits"])))
    np.testing.assert_allclose(found["whole"], expected, atol=1e-6)
    assert not found["training"]
    assert found["calls"] == 11
    assert found["stopped"]
    assert found["empty"] == [[0], "float32"]

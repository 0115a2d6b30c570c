"""A graph's state as one dictionary of arrays, the sum of an epoch's losses, steps in parts."""

import pytest

from tests.tasks.conftest import TASKS_PYTHON, Workshop

CODE = """
import oneflow as flow
from tasks.ctr.train.engine import LossSum, flatten, unflatten
state = {"network": {"a.weight": 1, "b": {"c": 2}}, "network.a.weight-m": 3}
flat = flatten(state)
losses = LossSum(2.5, "cpu")
for count in (3, 4):
    losses.add(flow.tensor(0.5), count)
answer = [flat, unflatten({k: v for k, v in flat.items() if "b" not in k}), losses.value()]
"""

PARTS = """
import numpy as np
from tasks.ctr.train import models
from tasks.ctr.train.dataset import Batch
from tasks.ctr.train.engine import Here, streams_of
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.inputs import Tensors

def batch(step, rows=1001):
    rng = np.random.default_rng(step)
    picks = rng.integers(0, 50, (rows, 3)).astype(np.int32)
    labels, ones = (rng.random(rows) < 0.3).astype(np.float32), np.ones(rows, np.float32)
    return Batch(Tensors(picks, None, None), labels, ones, rows, None, ())

def engine(threads):
    chosen = Hyperparameters(
        embedding_dim=4, hidden=(8,), dropout=0.0, batch_size=1001, learning_rate=0.05,
        l2_by="lookup", l2_embedding=0.01, l2_linear=0.0, threads=threads,
    )
    shape = models.Architecture(50, 3, 4, (8,), "deepfm")
    start = models.initial_parameters(models.plan(shape), seed=1, init_std=0.5, base_rate=0.3)
    return Here(shape, chosen, start, 4, "cpu")

def go(made, steps, so_far=0.0):
    made.begin(so_far)
    for step in steps:
        made.step(batch(step))
    return made.loss_sum(), made.state()

def differ(one, two):
    return max(float(np.abs(one[n] - two[n]).max()) for n in one)

parted, alone = engine(2), engine(1)
loss, state = go(parted, range(4))
other, whole = go(alone, range(4))
half, kept = go(engine(2), range(2))
resumed = engine(2)
resumed.load(kept)
again, last = go(resumed, range(2, 4), half)
answer = {
    "parts": [parted._graph.streams, alone._graph.streams],
    "streams": [streams_of(*each) for each in ((1, 8), (999, 8), (1000, 8), (1000, 1), (9999, 3), (9999, 64))],
    "losses": [loss, again, other],
    "resumed": all(state[n].tobytes() == last[n].tobytes() for n in state),
    "differ": differ(state, whole),
}
"""


@pytest.fixture(autouse=True)
def environment():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")


def test_a_step_in_parts_goes_on_to_the_same_bits_and_is_the_whole_one_but_for_the_order_of_sums():
    found = Workshop.evaluate(PARTS)
    assert found["parts"] == [2, 1]
    assert found["streams"] == [1, 1, 2, 1, 3, 4]
    loss, again, other = found["losses"]
    assert loss == again
    assert loss == pytest.approx(other, rel=1e-6)
    assert found["resumed"]
    assert found["differ"] < 1e-4


def test_a_state_is_flat_in_a_checkpoint_and_losses_count_by_row():
    flat, back, total = Workshop.evaluate(CODE)
    assert flat == {"network/a.weight": 1, "network/b/c": 2, "network.a.weight-m": 3}
    assert back == {"network": {"a.weight": 1}, "network.a.weight-m": 3}
    assert total == 2.5 + 0.5 * 3 + 0.5 * 4

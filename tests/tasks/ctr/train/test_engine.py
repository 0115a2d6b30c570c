"""A graph's state as one dictionary of arrays, and the sum of an epoch's losses."""

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


def test_a_state_is_flat_in_a_checkpoint_and_losses_count_by_row():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    flat, back, total = Workshop.evaluate(CODE)
    assert flat == {"network/a.weight": 1, "network/b/c": 2, "network.a.weight-m": 3}
    assert back == {"network": {"a.weight": 1}, "network.a.weight-m": 3}
    assert total == 2.5 + 0.5 * 3 + 0.5 * 4

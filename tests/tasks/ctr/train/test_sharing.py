"""Which parameter an entry of a graph's state belongs to, by OneFlow's own names."""

import pytest

from tests.tasks.conftest import TASKS_PYTHON, Workshop

CODE = """
import numpy as np, oneflow as flow
from tasks.ctr.train import models
from tasks.ctr.train.engine import Here
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.sharing import parameter_of
found = {}
for optimizer in ("adam", "sgd", "adagrad"):
    chosen = Hyperparameters(
        embedding_dim=3, hidden=(4,), dropout=0.0, batch_size=1, l2_embedding=0.0, l2_linear=0.0,
        l2_by="lookup", learning_rate=0.1, optimizer=optimizer,
    )
    shape = models.Architecture(12, 2, 3, (4,), "deepfm")
    plan = models.plan(shape)
    engine = Here(shape, chosen, models.initial_parameters(plan, seed=1, init_std=1.0, base_rate=0.5), 1, "cpu")
    given = [np.array([[1, 2]], np.int32), np.ones(1, np.float32), np.ones(1, np.float32)]
    engine._graph(*[flow.from_numpy(each) for each in given]).numpy()
    state = engine.state()
    owned = [parameter_of(name) for name in state]
    found[optimizer] = [{n: owned.count(n) for n in plan}, sorted(
        name for name, owner in zip(state, owned) if owner not in plan
    ), all(state[n].shape == plan[o].shape for n, o in zip(state, owned) if o in plan)]
answer = found
"""


def test_parameters_and_moments_are_told_from_the_rest_of_a_state():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    # Adam keeps two moments of each parameter, Adagrad one sum, plain SGD nothing.
    for optimizer, (counts, others, shapes_fit) in Workshop.evaluate(CODE).items():
        assert set(counts.values()) == {{"adam": 3, "sgd": 1, "adagrad": 2}[optimizer]}
        assert set(others) == {"network/field_sum", "System-Train-TrainStep"}
        assert shapes_fit

"""What all families share: fresh parameters, tables looked up, dropout, the shape as JSON."""

import numpy as np
import pytest

from testing.workshop import TASKS_PYTHON, evaluate

BASE = """
import numpy as np, oneflow as flow
from nightshift.errors import ContractError
from tasks.ctr.train import models
from tasks.ctr.train.models.base import Architecture, MASK_LEVELS, dropped_levels, initial_parameters

shape = Architecture(20, 4, 3, (6,), "deepfm", (1, 2, 1, 3), 2, True, {"cin_layers": (5, 4)})
plan = models.plan(shape)
fresh = {seed: initial_parameters(plan, seed=seed, init_std=0.5, base_rate=0.2) for seed in (1, 2)}
again = initial_parameters(plan, seed=1, init_std=0.5, base_rate=0.2)
rng = np.random.default_rng(0)
rows = rng.integers(0, 20, (5, 7)).astype(np.int32)
weights = rng.random((5, 7)).astype(np.float32)
network = models.build(shape, fresh[1], "cpu", dropout=0.25)
looked = network.look_up(flow.from_numpy(rows), flow.from_numpy(weights), None)
x = flow.ones(2, 4)
mask = np.array([[1, 0, 1, 1], [0, 0, 0, 1]], np.uint8)
refused = []
for value in ({**shape.to_json(), "depth": 3}, {"family": "lr"}):
    try:
        Architecture.from_json(value, "network.json")
    except ContractError as error:
        refused.append(str(error))
answer = {
    "back": Architecture.from_json(shape.to_json(), "network.json") == shape,
    "refused": refused,
    "same": all(fresh[1][name].tobytes() == again[name].tobytes() for name in plan),
    "other": fresh[1]["embedding.weight"].tobytes() != fresh[2]["embedding.weight"].tobytes(),
    "std": float(fresh[1]["embedding.weight"].std()),
    "bounds": {n: [float(np.abs(fresh[1][n]).max()), w.bound] for n, w in plan.items() if w.start == "uniform"},
    "bias": fresh[1]["out.bias"].tolist(),
    "linear": float(np.abs(fresh[1]["linear.weight"]).max()),
    "table": fresh[1]["embedding.weight"].tolist(), "rows": rows.tolist(), "weights": weights.tolist(),
    "flat": looked.flat.detach().numpy().tolist(),
    "masked": network.masked(x, flow.from_numpy(mask)).detach().numpy().tolist(),
    "levels": [MASK_LEVELS, dropped_levels(0.25), dropped_levels(0.0)],
}
copied, seen = models.parameters(network), models.views(network)
with flow.no_grad():
    network.out.bias.add_(1.0)
network.out.bias.numpy()  # waits for it
answer["after a step"] = [values["out.bias"].tolist() for values in (copied, seen)]
"""


@pytest.fixture(scope="module")
def found():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    return evaluate(BASE)


def test_a_shape_is_read_back_and_an_odd_one_refused(found):
    assert found["back"]
    assert len(found["refused"]) == 2
    assert all("network.json holds no architecture" in said for said in found["refused"])


def test_fresh_parameters_follow_from_the_seed_and_the_plan(found):
    assert found["same"]
    assert found["other"]
    assert found["std"] == pytest.approx(0.5, rel=0.3)
    assert found["linear"] == 0
    assert found["bias"] == pytest.approx([np.log(0.2 / 0.8)])
    for name, (largest, bound) in found["bounds"].items():
        assert 0.5 * bound < largest <= bound, name


def test_tokens_of_a_field_are_added_up_by_their_weights(found):
    table, rows = np.array(found["table"]), np.array(found["rows"])
    each = table[rows] * np.array(found["weights"])[:, :, None]
    fields = [each[:, [0]], each[:, 1:3], each[:, [3]], each[:, 4:7]]
    expected = np.concatenate([field.sum(axis=1) for field in fields], axis=1)
    np.testing.assert_allclose(found["flat"], expected, rtol=1e-5, atol=1e-6)


def test_dropout_scales_the_units_that_stay(found):
    assert found["levels"] == [256, 64, 0]
    kept = 1 / 0.75
    np.testing.assert_allclose(found["masked"], [[kept, 0, kept, kept], [0, 0, 0, kept]], rtol=1e-6)


def test_copies_of_parameters_stay_as_they_were_and_views_follow_the_network(found):
    before, now = found["after a step"]
    assert before == found["bias"]
    assert now == pytest.approx([before[0] + 1.0])

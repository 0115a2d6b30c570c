"""The compiled step: whose rows it moves, and by how much."""

import numpy as np
import pytest

from tests.tasks.conftest import TASKS_PYTHON, Workshop

STEPS = """
import numpy as np, oneflow as flow
from tasks.ctr.train import models
from tasks.ctr.train.graph import TrainGraph
from tasks.ctr.train.hyperparameters import Hyperparameters
chosen = Hyperparameters(
    **{"family": family, "embedding_dim": 3, "hidden": (4,), "dropout": 0.0, "batch_size": len(labels), **chosen}
)
shape = models.Architecture(12, len(rows[0][0]), 3, (4,), family)
plan = models.plan(shape)
rng = np.random.default_rng(7)
start = {n: rng.normal(0, 0.4, w.shape).astype(np.float32) for n, w in plan.items()}
network = models.build(shape, start, "cpu", 0.0)
graph = TrainGraph(network, chosen, 10)
seen = [start]
for step in rows:
    given = [np.array(step, np.int32), np.array(labels, np.float32), np.array(weights, np.float32)]
    if shares:
        given.append(np.array(shares, np.float32))
    graph(*[flow.from_numpy(each) for each in given]).numpy()
    seen.append({n: p.numpy().copy() for n, p in network.named_parameters()})
answer = [{n: v.tolist() for n, v in values.items()} for values in seen]
"""

LABELS, WEIGHTS = [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]
FIRST, SECOND = [[1, 2], [3, 4], [1, 5]], [[6, 7], [3, 7], [6, 4]]


@pytest.fixture(autouse=True)
def environment():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")


def stepped(family, rows, *, shares=None, weights=WEIGHTS, **chosen):
    found = Workshop.evaluate(
        STEPS,
        family=family,
        rows=rows,
        labels=LABELS,
        weights=weights,
        shares=shares,
        chosen=chosen,
    )
    return [{n: np.array(v) for n, v in values.items()} for values in found]


PENALTIES = [
    {"l2_by": "id", "l2_embedding": 10.0, "l2_linear": 3.0},
    {"l2_by": "lookup", "l2_embedding": 0.02, "l2_linear": 0.01},
    {"l2_by": "id", "l2_embedding": 0.0, "l2_linear": 0.0},
]


@pytest.mark.parametrize("penalties", PENALTIES)
def test_a_lazy_step_moves_the_rows_that_it_looked_up_and_a_dense_one_those_of_before(penalties):
    shares = np.full((3, 2), 0.05).tolist() if penalties["l2_by"] == "id" else None
    for step, moves in (("lazy", {3, 4, 6, 7}), ("dense", {1, 2, 3, 4, 5, 6, 7})):
        _, before, after = stepped(
            *("deepfm", [FIRST, SECOND]),
            shares=shares,
            table_step=step,
            learning_rate=0.1,
            **penalties,
        )
        for table in ("embedding.weight", "linear.weight"):
            moved = np.flatnonzero((before[table] != after[table]).any(axis=1))
            assert set(moved.tolist()) == moves, (step, table)


def test_a_step_of_sgd_is_the_gradient_of_loss_and_penalty():
    shares, weights, rate = [[0.5, 0.1], [0.2, 0.3], [0.5, 0.4]], [1.0, 2.0, 0.0], 0.1
    chosen = {"optimizer": "sgd", "learning_rate": rate, "weight_decay": 0.0}
    start, after = stepped(
        "lr", [FIRST], shares=shares, weights=weights, l2_by="id", l2_linear=2.0, l2_embedding=0.0,
        **chosen,
    )  # fmt: skip
    own, bias = start["linear.weight"][:, 0], start["out.bias"][0]
    gradient, constant = np.zeros_like(own), 0.0
    for at, (ids, label) in enumerate(zip(FIRST, LABELS, strict=True)):
        weight = weights[at] / sum(weights)
        missed = 1 / (1 + np.exp(-own[ids].sum() - bias)) - label
        constant += weight * missed
        for row, share in zip(ids, shares[at], strict=True):
            gradient[row] += weight * (missed + 2.0 * share * own[row])
    np.testing.assert_allclose(after["linear.weight"][:, 0], own - rate * gradient, atol=1e-6)
    np.testing.assert_allclose(after["out.bias"][0], bias - rate * constant, atol=1e-6)


@pytest.mark.parametrize("by", ["id", "lookup"])
def test_embeddings_are_penalized_by_their_squares(by):
    shares = [[0.5, 0.1], [0.2, 0.3], [0.5, 0.4]]
    chosen = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0, "l2_linear": 0.0}
    given = {**chosen, "l2_by": by, "shares": shares if by == "id" else None}
    start, plain = stepped("deepfm", [FIRST], l2_embedding=0.0, **given)
    _, penalized = stepped("deepfm", [FIRST], l2_embedding=2.0, **given)
    pull = np.zeros_like(start["embedding.weight"])
    for at, ids in enumerate(FIRST):
        for row, share in zip(ids, shares[at], strict=True):
            pull[row] += 2.0 * (share if by == "id" else 1.0) * start["embedding.weight"][row] / 3
    found = plain["embedding.weight"] - penalized["embedding.weight"]
    np.testing.assert_allclose(found, 0.1 * pull, atol=1e-6)

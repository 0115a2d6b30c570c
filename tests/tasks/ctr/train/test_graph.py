"""The compiled step: whose rows it moves, by how much, and the loss and rate that it tells."""

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


def test_a_lazy_first_step_is_not_corrected_for_its_moments_that_begin_at_zero():
    # Adam's first step is the rate itself: m = 0.1 g and v = 0.001 g^2 are corrected to g and g^2.
    # OneFlow's lazy one takes m / sqrt(v) as they are.
    for step, factor in (("lazy", 0.1 / np.sqrt(0.001)), ("dense", 1.0)):
        before, after = stepped(
            *("deepfm", [FIRST]),
            table_step=step,
            learning_rate=0.01,
            l2_by="lookup",
            l2_embedding=0.0,
            l2_linear=0.0,
        )
        moved = np.abs(after["linear.weight"] - before["linear.weight"])[1:6]
        np.testing.assert_allclose(moved, 0.01 * factor, rtol=1e-3)


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


GIVEN = [[0, 4], [1, 5], [1, 4], [2, 5]]
TRUTH = [1.0, 0.0, 1.0, 0.0]
WEIGH = [1.0, 1.0, 3.0, 0.0]  # a positive that weighs, and padding
PARTS = [[1.0, 0.5], [0.5, 1.0], [0.5, 0.5], [1.0, 1.0]]
TABLE = [0.5, -1.0, 2.0, 0.0, 0.25, -0.5]
BIAS = -0.3

RUNS = """
import numpy as np, oneflow as flow
from tasks.ctr.train import models
from tasks.ctr.train.graph import TrainGraph, learning_rate
from tasks.ctr.train.hyperparameters import Hyperparameters

def run(case):
    # OneFlow 0.9's SGD of a graph keeps no state, so a step's change is rate times gradient.
    common = dict(family="lr", optimizer="sgd", lr_decay=1.0, l2_embedding=0, l2_linear=0, weight_decay=0)
    chosen = Hyperparameters(**{**common, "learning_rate": 0.1, **case["chosen"]})
    shape = models.Architecture(6, 2, 2, (4,), "lr")
    values = {"linear.weight": np.array(table, np.float32)[:, None], "out.bias": np.array([bias], np.float32)}
    network = models.build(shape, values, "cpu")
    network.train()
    graph = TrainGraph(network, chosen, case["steps"])
    given = [np.array(rows, np.int32), np.array(labels, np.float32), np.array(weights, np.float32)]
    if chosen.l2_by == "id":
        given.append(np.array(shares, np.float32))
    losses, seen = [], []
    for _ in range(case["count"]):
        losses.append(float(graph(*(flow.from_numpy(array) for array in given)).numpy()))
        now = models.parameters(network)
        seen.append({name: value.ravel().tolist() for name, value in now.items()})
    rates = [learning_rate(chosen, at, case["steps"]) for at in range(case["count"])]
    return {"losses": losses, "parameters": seen, "rates": rates}

answer = [run(case) for case in cases]
"""


def evaluated(*cases):
    given = {"rows": GIVEN, "labels": TRUTH, "weights": WEIGH, "shares": PARTS}
    whole = [{"steps": 1, "count": 1, **case} for case in cases]
    return Workshop.evaluate(RUNS, **given, table=TABLE, bias=BIAS, cases=whole)


def losses_of(theta, smoothing=0.0, gamma=0.0, l2=0.0, by_id=False):
    """(what is shown, what is minimised), in float64."""
    rows, weights, y = np.array(GIVEN), np.array(WEIGH), np.array(TRUTH)
    own = theta[:-1][rows]
    p = 1 / (1 + np.exp(-(own.sum(axis=1) + theta[-1])))
    if smoothing:
        y = y * (1 - smoothing) + smoothing / 2
    losses = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    if gamma:
        losses = losses * (y * (1 - p) + (1 - y) * p) ** gamma
    squares = (own**2 * (PARTS if by_id else 1.0)).sum(axis=1)
    count = weights.sum()
    shown = (losses * weights).sum() / count
    return shown, shown + 0.5 * l2 * (squares * weights).sum() / count


def gradient(theta, **formula):
    found = np.empty_like(theta)
    for at in range(len(theta)):
        step = np.zeros_like(theta)
        step[at] = 1e-6
        found[at] = (
            losses_of(theta + step, **formula)[1] - losses_of(theta - step, **formula)[1]
        ) / 2e-6
    return found


CASES = [
    ({}, {}),
    ({"label_smoothing": 0.2}, {"smoothing": 0.2}),
    ({"focal_gamma": 2.0}, {"gamma": 2.0}),
    ({"l2_linear": 0.5, "l2_by": "lookup"}, {"l2": 0.5}),
    ({"l2_linear": 0.5, "l2_by": "id"}, {"l2": 0.5, "by_id": True}),
]


def test_a_step_goes_down_the_gradient_of_the_loss_that_is_told():
    before = np.array([*TABLE, BIAS])
    for (chosen, formula), found in zip(
        CASES, evaluated(*({"chosen": c} for c, _ in CASES)), strict=True
    ):
        assert found["losses"] == pytest.approx([losses_of(before, **formula)[0]], rel=1e-5), chosen
        after = np.array(
            [*found["parameters"][0]["linear.weight"], *found["parameters"][0]["out.bias"]]
        )
        expected = before - 0.1 * gradient(before, **formula)
        np.testing.assert_allclose(after, expected, atol=1e-6, err_msg=str(chosen))
        # Padding and ids that nobody looked up.
        np.testing.assert_array_equal(after[[2, 3]], before[[2, 3]])


def test_each_step_has_the_learning_rate_that_metrics_show():
    schedules = [
        {"lr_decay": 0.5},
        {"schedule": "cosine", "epochs": 3},
        {"lr_decay": 0.5, "warmup_steps": 2},
        {"schedule": "cosine", "epochs": 3, "warmup_steps": 4},
        {"lr_decay": 0.5, "warmup_steps": 4},
        {"lr_decay": 1.0, "warmup_steps": 4},
    ]
    found = evaluated(*({"chosen": chosen, "steps": 3, "count": 8} for chosen in schedules))
    for chosen, case in zip(schedules, found, strict=True):
        theta, rates = np.array([*TABLE, BIAS]), []
        for now in case["parameters"]:
            after = np.array([*now["linear.weight"], *now["out.bias"]])
            slope = gradient(theta)
            rates.append(-(after - theta) @ slope / (slope @ slope))
            theta = after
        assert rates == pytest.approx(case["rates"], rel=2e-3, abs=2e-5), chosen
    halved, _, warm, *_ = (case["rates"] for case in found)
    assert halved == pytest.approx([0.1] * 3 + [0.05] * 3 + [0.025] * 2)
    assert warm[:3] == pytest.approx([0.1 / 3, 0.2 / 3, 0.1])


MIXED = """
import numpy as np, oneflow as flow
from tasks.ctr.train import models
from tasks.ctr.train.graph import TrainGraph
from tasks.ctr.train.hyperparameters import Hyperparameters
shape = models.Architecture(12, 2, 3, (4,), "deepfm")
plan = models.plan(shape)
answer = []
for precision in ("float32", "mixed"):
    chosen = Hyperparameters(
        embedding_dim=3, hidden=(4,), dropout=0.0, learning_rate=0.1, l2_by="lookup",
        l2_embedding=0.0, l2_linear=0.0, precision=precision,
    )
    start = models.initial_parameters(plan, seed=1, init_std=1.0, base_rate=0.5)
    graph = TrainGraph(models.build(shape, start, "cpu"), chosen, 10)
    given = [np.array([[1, 2], [3, 4]], np.int32), np.array([1, 0], np.float32), np.ones(2, np.float32)]
    losses = [float(graph(*map(flow.from_numpy, given)).numpy()) for _ in range(3)]
    conf = graph._compiled_job_proto.job_conf
    answer.append([conf.enable_auto_mixed_precision, conf.train_conf.loss_scale_factor, losses])
"""


def test_mixed_precision_reaches_the_compiled_graph():
    (amp, _, losses), (amp_too, scale, mixed) = Workshop.evaluate(MIXED)
    assert (amp, amp_too, scale) == (False, True, 1024.0)
    # On a CPU OneFlow computes in float32 all the same, and 1024 is a power of two.
    assert mixed == losses

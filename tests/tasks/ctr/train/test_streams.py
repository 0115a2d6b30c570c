"""A step's operators over threads: each once, after what it needs, and with the same results."""

import pytest

from testing.workshop import TASKS_PYTHON, evaluate

SCHEDULE = """
from tasks.ctr.train.streams import Operator, schedule
answer = [schedule([Operator(n, t, tuple(needs)) for n, t, needs in each], 2) for each in graphs]
"""

STEPS = """
import numpy as np, oneflow as flow
from tasks.ctr.train import models
from tasks.ctr.train.graph import TrainGraph
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.streams import operators

ROWS, FIELDS = 37, 6

def trained(family, streams, keep):
    shape = models.Architecture(200, FIELDS, 4, (16, 8), family)
    chosen = Hyperparameters(
        family=family, embedding_dim=4, hidden=(16, 8), dropout=0.25, batch_size=ROWS,
        l2_by="lookup", l2_embedding=0.01, l2_linear=0.01, learning_rate=0.01,
    )
    rng = np.random.default_rng(5)
    start = {n: rng.normal(0, 0.4, w.shape).astype("f4") for n, w in models.plan(shape).items()}
    network = models.build(shape, start, "cpu", 0.25)
    network.train()
    graph = TrainGraph(network, chosen, 10, streams)
    losses = []
    for _ in range(3):
        given = [rng.integers(0, 200, (ROWS, FIELDS)).astype("i4")]
        given += [(rng.random(ROWS) < 0.4).astype("f4"), np.ones(ROWS, "f4")]
        given += [(rng.random((ROWS, width)) < 0.75).astype("u1") for width in shape.hidden]
        losses.append(float(graph(*[flow.from_numpy(each) for each in given]).numpy()))
    if keep is not None:
        job = graph._compiled_graph_proto
        needs = {each.name: each.needs for each in operators(graph._full_job_proto)}
        keep.update(
            threads={each.name: each.stream_name_hint for each in job.net.op},
            kinds={each.name: each.user_conf.op_type_name for each in job.net.op},
            needs=needs,
        )
    return losses, models.parameters(network), network

answer = []
for family in families:
    alone, found = trained(family, 1, None), {}
    parted = [trained(family, streams, found if streams == 2 else None) for streams in (2, 3, 3)]
    found["differences"] = [
        max(float(np.abs(each[1][n] - alone[1][n]).max()) for n in alone[1]) for each in parted
    ]
    found["losses"] = [alone[0], *(each[0] for each in parted)]
    found["again"] = all(parted[1][1][n].tobytes() == parted[2][1][n].tobytes() for n in alone[1])
    network = parted[0][2].eval()
    rows = flow.from_numpy(np.zeros((5, FIELDS), np.int32))
    found["scored"] = list(network(rows).shape)
    answer.append(found)
"""


@pytest.fixture(autouse=True)
def environment():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")


def test_what_takes_longest_to_the_end_comes_first_and_chains_stay_in_a_thread():
    chains = [["a1", 5, []], ["a2", 5, ["a1"]], ["b1", 4, []], ["b2", 5, ["b1"]]]
    joined = [*chains, ["end", 1, ["a2", "b2"]]]
    turned = list(reversed(joined))
    first, second, third = evaluate(SCHEDULE, graphs=[chains, joined, turned])
    assert first == [["a1", "a2"], ["b1", "b2"]]
    # The end can begin when both chains are done, in either thread; the longer one is in the first.
    assert second == [["a1", "a2", "end"], ["b1", "b2"]]
    assert third == second


@pytest.fixture(scope="module")
def parted():
    return evaluate(STEPS, families=["deepfm", "wide_deep", "lr"])


def test_a_step_in_parts_is_the_whole_step_but_for_the_order_of_sums(parted):
    for found in parted:
        alone, *others = found["losses"]
        for losses in others:
            assert losses == pytest.approx(alone, rel=1e-5)
        assert max(found["differences"]) < 1e-5
        assert found["again"]
        # Scores are not made in parts.
        assert found["scored"] == [5]


def test_the_parts_run_in_several_threads_and_a_parameter_changes_after_all_have_read_it(parted):
    deepfm = parted[0]
    computing = {name: kind for name, kind in deepfm["kinds"].items() if name in deepfm["needs"]}
    assert {deepfm["threads"][name] for name in computing} == {"step-0", "step-1"}
    # Two parts, each with its products forward and both of its gradients', by layer.
    products = [name for name in computing if name.startswith("network.dnn.0-matmul")]
    assert len(products) == 6
    updates = [name for name, kind in computing.items() if kind == "adam_update"]
    assert len(updates) == 6
    # The rows of a table are looked up once, or its step would be dense.
    kinds = list(computing.values())
    assert kinds.count("gather") == kinds.count("indexed_slices_adam_update") == 2
    # Of the six the two that make the layer's gradient read its input and the gradient behind it.
    needs = {name: {deepfm["kinds"][other] for other in deepfm["needs"][name]} for name in products}
    readers = {name for name in products if needs[name] != {"relu_grad", "reshape"}}
    assert len(readers) == 4
    update = next(name for name in updates if name.startswith("network.dnn.0.weight"))
    assert readers <= set(deepfm["needs"][update])

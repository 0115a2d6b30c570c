"""Tables in a store, up to the store itself, which needs a GPU.

Snapshots are written and read by OneFlow's own persistent table. Where a whole training is held
against one without a store, a module on the CPU stands in for the store: it looks rows up in what a
snapshot holds, and writes snapshots.
"""

import numpy as np
import pytest

from tests.tasks.conftest import TASKS_PYTHON, Workshop

LINES = """
import numpy as np
from pathlib import Path
from tasks.ctr.train.stored import Lines
rng = np.random.default_rng(1)
widths = {"embedding.weight": 4, "linear.weight": 1}
values = {n: rng.normal(size=(rows, w)).astype(np.float32) for n, w in widths.items()}
moments = {f"{n}-{m}": rng.normal(size=(rows, w)).astype(np.float32) for m in "mv" for n, w in widths.items()}
lines = Lines(Path(folder), widths, ("m", "v"))
lines.write("start", values)
lines.write("later", {**values, **moments})
start, later = lines.read("start", rows), lines.read("later", rows)
from oneflow import one_embedding, int32, float as float32
lines.write("again", {**values, **moments})
with one_embedding.make_persistent_table_reader([f"{folder}/0-1"], "again", int32, float32, 15) as reader:
    at_7 = next(line[list(keys).index(7)] for keys, line in reader if 7 in keys)
answer = [
    all((start[n] == values[n]).all() for n in values), all((start[n] == 0).all() for n in moments),
    all((later[n] == a).all() for n, a in {**values, **moments}.items()),
    [p.name for p in (Path(folder) / "0-1" / "snapshots").iterdir()],
    np.allclose(at_7, np.concatenate([a[7] for a in (*values.values(), *moments.values())])),
]
"""

OPTIONS = """
from pathlib import Path
from tasks.ctr.train.stored import open_store, store_options
from tasks.ctr.train.hyperparameters import Hyperparameters
answer = []
for given in kinds:
    answer.append(store_options(Hyperparameters(**given), Path("/fast"), 500))
try:
    open_store([4, 1], answer[0])
except Exception as error:
    answer.append([type(error).__name__, str(error)])
"""

TRAINED = """
import numpy as np, oneflow as flow
from oneflow import nn
from pathlib import Path
from tasks.ctr.train import models, stored
from tasks.ctr.train.dataset import Batch
from tasks.ctr.train.engine import Here
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.inputs import Tensors

ROWS = 12
class StandIn(nn.Module):
    def __init__(self, widths, options):
        super().__init__()
        self.table = nn.Embedding(ROWS, sum(widths))
        path = Path(options["kv_store"]["persistent_table"]["path"])
        self.lines = stored.Lines(path, {"line": sum(widths)}, ("m", "v"))
    def load_snapshot(self, name):
        self.table.weight.copy_(flow.from_numpy(self.lines.read(name, ROWS)["line"]))
    def save_snapshot(self, name):
        self.lines.write(name, {"line": self.table.weight.numpy()})
    def _save_to_state_dict(self, destination, prefix, keep_vars):
        self.save_snapshot("own")
        destination[prefix + "OneEmbeddingSnapshot"] = "own"
    def _load_from_state_dict(self, state, prefix, *rest):
        self.load_snapshot(state[prefix + "OneEmbeddingSnapshot"])
    def forward(self, rows):
        return self.table(rows)
stored.open_store = StandIn

def batch(seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, ROWS, (6, 2)).astype(np.int32)
    return Batch(Tensors(rows, None, None), (rng.random(6) < 0.5).astype(np.float32), np.ones(6, np.float32), 6, None, ())

def difference(one, two):
    return {n: float(np.abs(one[n] - two[n]).max()) for n in one}

answer = []
for family in families:
    shape = models.Architecture(ROWS, 2, 4, (4,), family)
    plan = models.plan(shape)
    start = models.initial_parameters(plan, seed=1, init_std=0.5, base_rate=0.5)
    # The stand-in's table has an ordinary optimizer, whose step is dense.
    chosen = Hyperparameters(
        family=family, embedding_dim=4, hidden=(4,), dropout=0.0, batch_size=6,
        learning_rate=0.05, l2_by="lookup",
        l2_embedding=0.1, l2_linear=0.1, table_step="dense",
    )
    here = Here(shape, chosen, start, 4, "cpu")
    engine = stored.Stored(shape, chosen, start, 4, "cpu", Path(folder) / family)
    before = difference(models.parameters(engine.network), start)
    for each in (here, engine):
        each.begin(0.0)
        for seed in range(4):
            each.step(batch(seed))
    losses = [here.loss_sum(), engine.loss_sum()]
    after = difference(models.parameters(engine.network), models.parameters(here.network))
    state = engine.state()
    trained = models.parameters(engine.network)
    engine.close()
    gone = not (Path(folder) / family).exists()
    again = stored.Stored(shape, chosen, start, 4, "cpu", Path(folder) / family)
    again.load(state)
    resumed = difference(models.parameters(again.network), trained)
    again.close()
    answer.append([before, losses, after, gone, sorted(n for n in state if n.startswith("lines/")), resumed])
"""


@pytest.fixture(autouse=True)
def environment():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")


def test_a_snapshot_holds_a_line_a_row_values_then_moments(tmp_path):
    start, zeros, later, left, layout = Workshop.evaluate(LINES, folder=str(tmp_path), rows=70_000)
    assert start
    assert zeros
    assert later
    assert left == ["again"]
    # OneFlow's optimizers find a line's values first, then each moment of all of them.
    assert layout


def test_options_say_how_long_a_line_is_and_where_it_lies():
    kinds = [
        {"store_kind": "cached_host_mem", "store_cache_mb": 64},
        {"store_kind": "cached_ssd", "optimizer": "adagrad"},
        {"store_kind": "device_mem", "optimizer": "sgd"},
    ]
    host, ssd, device, refused = Workshop.evaluate(OPTIONS, kinds=kinds)
    assert [each["size_factor"] for each in (host, ssd, device)] == [3, 2, 1]
    for each in (host, ssd, device):
        table = each["kv_store"]["persistent_table"]
        assert (table["path"], table["capacity_hint"]) == ("/fast", 500)
    caches = [each["kv_store"]["caches"] for each in (host, ssd, device)]
    assert [[c["value_memory_kind"] for c in cache] for cache in caches] == [
        ["device", "host"],
        ["device"],
        ["device"],
    ]
    assert caches[0][0]["cache_memory_budget_mb"] == 64
    assert caches[1][0]["cache_memory_budget_mb"] == 1024
    assert refused[0] == "ConfigurationError"
    assert "embedding_store: memory" in refused[1]


def test_what_a_store_trains_comes_back_as_a_network_and_from_a_checkpoint(tmp_path):
    families = ["deepfm", "dnn", "lr"]
    found = Workshop.evaluate(TRAINED, folder=str(tmp_path), families=families)
    for before, (here, stored), after, gone, lines, resumed in found:
        assert set(before.values()) == set(resumed.values()) == {0.0}
        assert stored == pytest.approx(here, rel=1e-6)
        assert max(after.values()) < 1e-6, after
        assert gone
        assert lines
    names = [np.unique([line.partition("-")[0] for line in each[4]]).tolist() for each in found]
    embedding, weight = "lines/embedding.weight", "lines/linear.weight"
    assert names == [[embedding, weight], [embedding], [weight]]

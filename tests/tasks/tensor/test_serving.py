"""A saved module: it is what it was, and what does not fit is named."""

import pytest

from testing.workshop import TASKS_PYTHON, evaluate

MODULE = """
import numpy as np
INPUTS = [{"name": "A", "dtype": "FP32", "dims": [3]}, {"name": "B", "dtype": "FP32", "dims": [3]}]
OUTPUTS = [{"name": "SUM", "dtype": "FP32", "dims": [2]}, {"name": "LESS", "dtype": "FP32", "dims": [3]}]
MAX_BATCH_SIZE = 4

def build(options):
    from oneflow import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(3, 2)
            self.norm = nn.BatchNorm1d(3)

        def forward(self, a, b):
            return self.dense(self.norm(a + b)) * options["gain"], a - b

    return Net()

def examples(seed):
    return {"A": np.ones((2, 3), "f4"), "B": np.zeros((2, 3), "f4")}
"""

SERVE = """
import shutil
from pathlib import Path
import numpy as np, oneflow as flow
from nightshift.errors import ContractError
from tasks.tensor import module as modules
from tasks.tensor import serving

root = Path(root)
source = root / "model.py"
made = modules.load(source)
network = made.build({"gain": 2.0})
network.train()
rng = np.random.default_rng(1)
for _ in range(3):  # so that its running means differ from fresh ones
    network(*(flow.from_numpy(rng.normal(3, 2, (8, 3)).astype("f4")) for _ in range(2)))
network.eval()
given = {name: rng.normal(size=(4, 3)).astype("f4") for name in ("A", "B")}
with flow.no_grad():
    expected = [t.numpy() for t in network(*(flow.from_numpy(given[n]) for n in ("A", "B")))]
folder = Path(folder)
serving.save(folder, source, {"gain": 2.0}, network)
run = serving.load(folder, "cpu", 1)
found = run(given)
strided = run({name: np.asfortranarray(array) for name, array in given.items()})

def told(change):
    broken = root / f"broken-{len(list(root.iterdir()))}"
    shutil.copytree(folder, broken)
    try:
        change(broken / "model")
        serving.load(broken, "cpu", 1)(given)
    except ContractError as error:
        return str(error)

def fewer(model):
    with np.load(model / "parameters.npz") as held:
        rest = {n: held[n] for n in held.files if n != "dense.bias"}
    np.savez(model / "parameters.npz", **rest)

def another(model):
    text = (model / "module.py").read_text().replace(", a - b", "")
    (model / "module.py").write_text(text)

answer = {
    "names": list(found),
    "same": [found[n].tobytes() == e.tobytes() for n, e in zip(found, expected)],
    "strided": [np.array_equal(strided[n], found[n]) for n in found],
    "files": sorted(p.name for p in (folder / "model").iterdir()),
    "told": [
        told(lambda m: (m / "parameters.npz").write_bytes(b"PK")),
        told(lambda m: (m / "parameters.npz").unlink()),
        told(lambda m: (m / "options.json").unlink()),
        told(fewer), told(another),
    ],
}
"""


def test_a_module_is_served_bit_by_bit_as_it_was_saved(tmp_path):
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    (tmp_path / "model.py").write_text(MODULE)
    folder = tmp_path / "saved"
    found = evaluate(SERVE, root=str(tmp_path), folder=str(folder))
    assert found["names"] == ["SUM", "LESS"]
    assert found["same"] == [True, True]
    assert found["strided"] == [True, True]
    assert found["files"] == ["module.py", "options.json", "parameters.npz"]
    damaged, gone, options, fewer, another = found["told"]
    assert "parameters.npz cannot be read" in damaged
    assert "parameters.npz cannot be read" in gone
    assert "options.json" in options
    assert "does not hold the module's parameters: dense.bias" in fewer
    assert "gives 1 tensors and OUTPUTS names 2" in another

"""Whether numbers keep ranks and bins or become straight lines: what decides."""

import pytest

from testing.workshop import TASKS_PYTHON, evaluate

SCRIPT = """
import types
from dataclasses import replace
from pathlib import Path
import numpy as np
from nightshift.features.numbers import learn
from nightshift.features.specification import Field, Number
from tasks.ctr.train import baseline, binning
from tasks.ctr.train.dataset import Dataset, Split
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.inputs import Inputs
from tasks.ctr.train.vocabulary import Vocabulary

ROWS, NUMBERS = {"train": 1200, "valid": 6000}, 12
rng = np.random.default_rng(4)
fields = (
    Field("site", "string", "categorical"),
    *(Field(f"n{at}", "double", "numeric", number=Number()) for at in range(NUMBERS)),
    Field("own", "double", "numeric", number=Number(bins=4)),
    Field("place", "string", "categorical"),
)
drawn = {}
for split, n in ROWS.items():
    x = rng.normal(size=(n, NUMBERS + 1)).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = np.nan
    ids = rng.integers(1, 9, (2, n))
    drawn[split] = {0: ids[0], NUMBERS + 2: ids[1]}
    drawn[split] |= {1 + at: x[:, at].view(np.uint32).astype(np.int64) for at in range(NUMBERS + 1)}
    drawn[split]["x"] = np.nan_to_num(x)

def made(bins, logit, own=False):
    statistics = {
        field.name: learn(drawn["train"]["x"][:, at], field, bins, own_scale=own)
        for at, field in enumerate(fields[1:-1])
    }
    inputs = Inputs(fields, statistics)
    hashes = []
    for name in inputs.part_names:
        if name.endswith("/bin"):
            count = len(statistics[name.removesuffix("/bin")].edges) + 1
        else:
            count = 1 if name in statistics else 8
        hashes.append(np.arange(1, count + 1))
    vocabulary = Vocabulary(hashes)
    splits = {}
    for name, columns in drawn.items():
        z = logit(columns["x"])
        chance = np.random.default_rng(len(name)).random(len(z))
        labels = (chance < 1 / (1 + np.exp(-z))).astype(np.int8)
        splits[name] = Split(inputs.of_columns(columns, len(z), vocabulary), labels)
    return Dataset(Path("/"), {}, inputs, vocabulary, splits, "")

slopes = np.linspace(-0.3, 0.3, NUMBERS + 1)
def straight(x): return x @ slopes - 1.0
def curved(x): return 1.5 * np.abs(x[:, 0]) - 1.5 * (np.abs(x[:, 1]) < 0.7) - 1.5
LOGITS = {"straight": straight, "curved": curved}
"""


@pytest.fixture(scope="module", autouse=True)
def _environment():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")


def test_the_validation_rows_decide_unless_bins_are_given_or_nothing_can_judge():
    found = evaluate(
        SCRIPT
        + """
answer = {}
asked = Hyperparameters(block_rows=0)
for name, logit in LOGITS.items():
    data = made(20, logit)
    linear = baseline.fit(data)
    chosen, fitted, why = binning.choose(data, asked, linear, None, lambda: made(0, logit, True))
    answer[name] = [chosen is data, len(fitted.weights) == chosen.vocabulary.num_rows, why]
data = made(20, straight)
linear = baseline.fit(data)
plain = made(0, straight, True)
earlier = types.SimpleNamespace()
binning.SavedModel = types.SimpleNamespace(load=lambda folder: earlier)
one = Split(data.splits["valid"].tensors, np.zeros(ROWS["valid"], np.int8))
kept = {
    "given": (data, asked.replaced({"bins": 20}), linear, None),
    "no baseline": (data, asked, None, None),
    "in blocks": (data, asked.replaced({"block_rows": 1000}), linear, None),
    "no bins": (plain, asked, linear, None),
    "one class": (replace(data, splits={**data.splits, "valid": one}), asked, linear, None),
}
answer["kept"] = {name: binning.choose(*given, lambda: plain)[0] is given[0] for name, given in kept.items()}
answer["warm"] = []
for model in (data, plain, made(0, straight)):
    earlier.inputs = model.inputs
    chosen, fitted, why = binning.choose(data, asked, linear, Path("earlier"), lambda: plain)
    fits = len(fitted.weights) == chosen.vocabulary.num_rows
    answer["warm"].append([chosen is data, chosen is plain, fits, why])
"""
    )
    kept, fits, why = found["straight"]
    assert (kept, fits) == (False, True)
    assert "lower with numbers as straight lines, standard error" in why
    assert found["curved"] == [True, True, ""]
    assert found["kept"] == dict.fromkeys(found["kept"], True)
    assert found["warm"] == [
        [True, False, True, ""],
        [
            *(False, True, True),
            "the model that training begins from has numbers as straight lines",
        ],
        [True, False, True, ""],
    ]

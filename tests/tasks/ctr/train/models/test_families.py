"""Every family: its formula, its gradients, and what a model goes through in its life."""

import importlib.util
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import yaml

from nightshift.triton import publish
from tasks.ctr.train.hyperparameters import Family
from tests.tasks.conftest import (
    SPEC,
    TASKS_PYTHON,
    Workshop,
    feature_table,
    golden_of,
    write_features,
)

FAMILIES = sorted(get_args(Family))
WITHOUT_NUMBERS = [name for name in FAMILIES if name != "din"]

_file = importlib.util.spec_from_file_location("formulas", Path(__file__).with_name("formulas.py"))
formulas = importlib.util.module_from_spec(_file)
_file.loader.exec_module(formulas)

OPTIONS = {
    "cross_layers": 2,
    "cross_rank": 0,
    "cin_layers": [5, 4],
    "bottom": [6],
    "attention_layers": 2,
    "attention_heads": 2,
    "attention_dim": 3,
    "attention_hidden": [7],
    "user_field": 0,
    "item_field": 1,
    "history_field": 2,
    "target_field": 1,
}

EVALUATE = """
import numpy as np, oneflow as flow
from tasks.ctr.train import models
from tasks.ctr.train.models import FAMILIES, Architecture
options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
options = {k: options[k] for k in FAMILIES[name].takes if k in options}
shape = Architecture(20, len(widths), 3, (6, 5), name, tuple(widths), m, bool(weights), options)
plan = models.plan(shape)
rng = np.random.default_rng(7)
values = {n: rng.normal(0, 0.4, w.shape).astype(np.float32) for n, w in plan.items()}
network = models.build(shape, values, "cpu")
inputs = [np.array(rows, np.int32), np.array(weights or 0, np.float32), np.array(dense or 0, np.float32)]
given = [flow.from_numpy(inputs[0]), flow.from_numpy(inputs[1]) if weights else None,
         flow.from_numpy(inputs[2]) if m else None]
logits = network(*given)
logits.sum().backward()
named = dict(network.named_parameters())
answer = {
    "logits": logits.detach().numpy().tolist(),
    "values": {n: v.tolist() for n, v in values.items()},
    "gradients": {n: None if named[n].grad is None else named[n].grad.numpy().tolist() for n in named},
    "options": options, "order": list(plan), "named": {n: list(p.shape) for n, p in named.items()},
    "plan": {n: list(w.shape) for n, w in plan.items()},
}
"""


def evaluated(name, weighted, **options):
    rng = np.random.default_rng(3)
    widths = [1, 1, 3, 1] if weighted else [1, 1, 1, 1]
    rows = rng.integers(0, 20, (5, sum(widths)))
    weights = rng.random(rows.shape).round(3)
    weights[0, 3] = 0.0  # padding
    dense = rng.normal(size=(5, 2)).round(3)
    found = Workshop.evaluate(
        EVALUATE,
        name=name,
        widths=widths,
        rows=rows.tolist(),
        m=2 if weighted else 0,
        weights=weights.tolist() if weighted else None,
        dense=dense.tolist() if weighted else None,
        options={**OPTIONS, **options},
    )
    values = {n: np.array(v, np.float64) for n, v in found["values"].items()}

    def by_formula(values):
        return formulas.logits(
            name,
            rows,
            weights.astype(np.float32).astype(np.float64) if weighted else None,
            dense.astype(np.float32).astype(np.float64) if weighted else None,
            *(widths, values, found["options"]),
        )

    return found, values, by_formula


@pytest.fixture(autouse=True)
def environment():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")


CASES = [
    *((name, True, {}) for name in FAMILIES),
    *((name, False, {}) for name in WITHOUT_NUMBERS),
    ("dcnv2", True, {"cross_rank": 2}),
]


@pytest.mark.parametrize(("name", "weighted", "options"), CASES)
def test_logits_and_gradients_are_those_of_the_formula(name, weighted, options):
    found, values, by_formula = evaluated(name, weighted, **options)
    assert found["named"] == found["plan"]
    np.testing.assert_allclose(found["logits"], by_formula(values), rtol=1e-4, atol=1e-5)
    rng = np.random.default_rng(0)
    step = 1e-5
    for parameter, value in values.items():
        gradient = found["gradients"][parameter]
        gradient = np.zeros(value.shape) if gradient is None else np.array(gradient)
        for at in rng.choice(value.size, min(4, value.size), replace=False):
            where = np.unravel_index(at, value.shape)
            sides = []
            for sign in (1, -1):
                moved = {**values, parameter: value.copy()}
                moved[parameter][where] += sign * step
                sides.append(by_formula(moved).sum())
            slope = (sides[0] - sides[1]) / (2 * step)
            assert gradient[where] == pytest.approx(slope, rel=2e-3, abs=2e-4), parameter


RICH = {
    **SPEC,
    "ignored": {**SPEC["ignored"], "weekday": "left out", "rate": "left out"},
    "categorical": {
        "user": "string",
        "product": "string",
        "basket": {
            "type": "string",
            "split": ",",
            "most": 3,
            "sequence": True,
            "shares": "product",
        },
    },
    "numeric": {"ratio": "double", "count": {"type": "int64", "bins": 4}},
}


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """A dataset with numbers, bins, and a history that shares the products' embeddings."""
    made = Workshop(tmp_path_factory.mktemp("rich"))
    made.spec.write_text(yaml.safe_dump(RICH, sort_keys=False))
    table = feature_table("2024-03-01", 14, 40)
    rng = np.random.default_rng(9)
    baskets = [
        None if size == 0 else ", ".join(f"p{i}" for i in rng.integers(0, 25, size))
        for size in rng.integers(0, 5, table.num_rows)
    ]
    table = table.append_column("basket", pa.array(baskets, pa.string()))
    write_features(made.root / "features", table)
    made.preprocess(made.root / "features")
    return made


FAST = [
    *("--set", "epochs=2", "--set", "hidden=[8, 6]", "--set", "embedding_dim=4"),
    *("--set", "batch_size=64", "--set", "min_count=1", "--set", "threads=1"),
]

LIFE = """
import tempfile
from pathlib import Path
import numpy as np
from nightshift.features.specification import FeatureSpec
from tasks import runtime
runtime.prepare(1)
from tasks.ctr.train import dataset, defaults, fit, hyperparameters, models, warm_start
from tasks.ctr.train.checkpoint import CheckpointStore
from tasks.ctr.train.serving import SavedModel
from tasks.entry import Stopped
spec = FeatureSpec.load(Path(root) / "spec.yaml")
chosen = hyperparameters.load(Path(root) / "empty.yaml", sets)
data = dataset.load(Path(root) / "dataset", spec, 1, None)
chosen, _ = defaults.choose(chosen, defaults.facts_of(data), data.inputs)
saved = SavedModel.load(Path(model))
kept_in = tempfile.mkdtemp(dir=out)
shape = models.Architecture.from_json(saved.network["architecture"], "model")
plan = models.plan(shape)
start = models.initial_parameters(plan, seed=1, init_std=0.01, base_rate=0.1)

class StopAt:
    def __init__(self, steps): self.left = steps
    @property
    def arrived(self):
        self.left -= 1
        return self.left < 0

def train(folder, stop):
    store = CheckpointStore(Path(kept_in) / folder, "same")
    trainer = fit.Trainer(data, shape, chosen, start, store, stop, "cpu")
    return trainer.fit().progress, store, trainer.batches.steps

whole, kept, steps = train("whole", StopAt(10**9))
straight = kept.load().best

def stops(at):
    try:
        train("stopped", StopAt(at))
    except Stopped:
        held = CheckpointStore(Path(kept_in) / "stopped", "same").load().progress
        return [held.step, len(held.history)]

half = steps // 2
stopped = stops(half)
# The epoch's steps are done, and its rows are being scored.
validating = stops(steps - half) if chosen.family == "deepfm" else [steps, 0]
_, kept, _ = train("stopped", StopAt(10**9))
resumed = kept.load().best
carried = warm_start.carry_over(Path(model), start, plan, data.inputs, data.vocabulary, spec)
answer = {
    "stopped": stopped == [half, 0] and validating == [steps, 0],
    "same": all(straight[n].tobytes() == resumed[n].tobytes() for n in plan),
    "moved": [n for n in plan if not np.array_equal(straight[n], start[n])],
    "carried": all(carried[n].tobytes() == saved.parameters[n].tobytes() for n in plan),
    "parameters": {n: list(w.shape) for n, w in plan.items()},
}
"""


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_trained_served_resumed_and_begun_from(rich, triton, tmp_path, name):
    sets = [*FAST, "--set", f"family={name}"]
    rich.train("dataset", *sets, out=name)
    card = json.loads((rich.root / name / "model_card.json").read_text())
    assert card["family"] == name
    assert card["valid"]["logloss"] < 2 * card["valid"]["base_logloss"]
    ids, _ = golden_of(rich.root / name)
    assert ids.shape == (18, 7)
    (rich.root / "empty.yaml").write_text("{}\n")
    life = rich.evaluate(
        LIFE,
        root=str(rich.root),
        model=str(rich.root / name),
        out=str(tmp_path),
        sets=[item for item in sets if item != "--set"],
    )
    assert life["stopped"]
    assert life["same"], "a stop changed the model"
    assert life["moved"] == list(life["parameters"]), "a parameter is never trained"
    assert life["carried"]
    shapes = life["parameters"].values()
    assert card["parameters"] == sum(int(np.prod(shape)) for shape in shapes)
    # Publishing compares Triton's answers to the golden rows with training's.
    model = triton.new_model()
    try:
        done = publish(triton.control, triton.repo, model, 1, rich.root / name)
        assert done.golden_rows == 18
        assert done.largest_difference <= 1e-6
    finally:
        triton.control.unload(model)

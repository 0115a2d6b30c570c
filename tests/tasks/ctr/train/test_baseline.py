"""The logistic regression beside each model, and importance: what a training says of itself."""

import json

import numpy as np
import pytest
import yaml

from tests.tasks.conftest import SPEC

NUMBERS = {
    **SPEC,
    "numeric": {
        "ratio": {"type": "double", "bins": 0},
        "rate": "float",
        "count": {"type": "int64", "bins": 3},
    },
}


@pytest.fixture(scope="module")
def trained(workshops):
    """A model by the defaults, of numbers as numbers."""
    made = workshops("numbers")
    made.spec.write_text(yaml.safe_dump(NUMBERS, sort_keys=False))
    made.preprocess(made.features(rows_a_day=250))
    empty = made.root / "empty.yaml"
    empty.write_text("{}\n")
    made.train("dataset", "--hyperparameters", empty, "--set", "threads=1")
    return made, json.loads((made.root / "model" / "model_card.json").read_text())


def test_the_card_compares_with_the_regression_on_the_test_rows(trained):
    _, card = trained
    compared = card["baseline"]
    gap = compared["auc_difference"]
    assert gap["difference"] == pytest.approx(card["test"]["auc"] - compared["test"]["auc"])
    assert gap["low"] < gap["difference"] < gap["high"]
    assert compared["test"]["rows"] == card["test"]["rows"]
    # The truth of the data is a logistic regression of user, product and ratio.
    assert compared["test"]["auc"] > 0.68
    assert 0.7 < compared["test"]["calibration"] < 1.4


def test_the_regression_is_scikit_learns_on_the_same_matrix(trained):
    workshop, card = trained
    answer = workshop.evaluate(
        """
from pathlib import Path
import numpy as np
from sklearn.linear_model import LogisticRegression
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train import baseline, dataset
root = Path(root)
data = dataset.load(root / "dataset", FeatureSpec.load(root / "spec.yaml"), None, None)
found = baseline.fit(data)
x = {}
for name, split in data.splits.items():
    x[name] = np.zeros((len(split), data.vocabulary.num_rows))
    for at, (rows, weights) in enumerate(zip(split.tensors.rows, split.tensors.weights)):
        np.add.at(x[name][at], rows, weights)
model = LogisticRegression(C=found.strength, tol=1e-8, max_iter=2000)
model.fit(x["train"], data.splits["train"].labels)
expected = model.predict_proba(x["test"])[:, 1]
gap = np.abs(found.score(data.splits["test"].tensors) - expected).max()
answer = {"gap": float(gap), "C": found.strength}
""",
        root=str(workshop.root),
    )
    assert answer["gap"] < 2e-3
    assert answer["C"] == card["baseline"]["C"]


def test_what_the_label_depends_on_is_important_and_noise_is_not(trained):
    _, card = trained
    worth = {item["feature"]: item["auc_loss"] for item in card["importance"]}
    assert set(worth) == {"user", "product", "weekday", "ratio", "rate", "count"}
    assert set(sorted(worth, key=worth.get)[-3:]) == {"user", "product", "ratio"}
    assert abs(worth["rate"]) < 0.03
    listed = [item["auc_loss"] for item in card["importance"]]
    assert listed == sorted(listed, reverse=True)


def test_the_card_says_what_was_chosen_and_why(trained):
    _, card = trained
    assert "auto" not in json.dumps(
        {key: value for key, value in card["hyperparameters"].items() if key in card["chosen"]}
    )
    assert "rows" in card["chosen"]["batch_size"]
    assert set(card["chosen"]) >= {"learning_rate", "hidden", "embedding_dim", "l2_embedding"}


def test_numbers_are_kept_with_the_model(trained):
    workshop, _ = trained
    network = json.loads((workshop.root / "model" / "model" / "network.json").read_text())
    statistics = network["inputs"]["numbers"]
    assert set(statistics) == {"ratio", "rate", "count"}
    assert statistics["ratio"]["transform"] == "quantile"
    assert statistics["ratio"]["edges"] == []
    assert np.isfinite(statistics["ratio"]["knots"]).all()


def test_a_share_of_negatives_and_heavy_positives_leave_scores_true(trained):
    workshop, _ = trained
    for changes in ("negative_rate=0.3", "positive_weight=4"):
        _, result = workshop.train(
            *("dataset", "--set", changes, "--set", "threads=1", "--set", "batch_size=100"),
            *("--set", "baseline=false", "--set", "epochs=6"),
            out="changed",
        )
        # Uncorrected, the mean score would be about twice the share of positives.
        assert 0.75 < result["test"]["calibration"] < 1.3, changes
        assert result["baseline"] is None
        assert result["test"]["auc"] > 0.62


@pytest.mark.parametrize(
    "changes",
    [
        ["optimizer=sgd", "learning_rate=0.2"],
        ["optimizer=adagrad", "learning_rate=0.05"],
        ["schedule=cosine", "warmup_steps=20"],
        ["label_smoothing=0.1", "monitor=auc"],
        ["focal_gamma=2", "monitor=auc"],
        ["l2_linear=0.01", "monitor=logloss", "linear_start=zero"],
    ],
)
def test_every_optimizer_schedule_and_loss_learns(trained, changes):
    workshop, _ = trained
    sets = [part for change in changes for part in ("--set", change)]
    _, result = workshop.train(
        *("dataset", *sets, "--set", "threads=1", "--set", "batch_size=100"),
        *("--set", "epochs=5", "--set", "hidden=[16]"),
        out="changed",
    )
    assert result["test"]["auc"] > 0.62


def test_the_networks_input_stays_as_it_is_and_unknown_ids_weigh_nothing(workshop):
    """Tokens come in any order and more than once, which a sparse matrix does not keep."""
    found = workshop.evaluate(
        """
import numpy as np
from types import SimpleNamespace
from tasks.ctr.train import baseline
from tasks.ctr.train.dataset import Split
from tasks.ctr.train.inputs import Tensors
rng = np.random.default_rng(3)
rows = rng.integers(0, 6, (200, 4)).astype(np.int32)
weights = rng.random((200, 4)).astype(np.float32)
labels = rng.integers(0, 2, 200).astype(np.int8)
answer = {}
for name, given in (("weighted", weights), ("plain", None)):
    split = Split(Tensors(rows.copy(), None if given is None else given.copy(), None), labels)
    # Three columns of ids, whose unknown ones are row 0, and one of a number, whose row is 5.
    data = SimpleNamespace(
        splits={"train": split, "valid": split}, vocabulary=SimpleNamespace(num_rows=6),
        offsets=np.array([0, 0, 0, 5]),
        inputs=SimpleNamespace(may_be_unknown=lambda: np.array([True, True, True, False])),
    )
    fitted = baseline.fit(data)
    logits = fitted.logits(split.tensors)
    own = fitted.weights[rows] * (1 if given is None else weights)
    answer[name] = {
        "kept": bool((split.tensors.rows == rows).all()),
        "weights_kept": given is None or bool((split.tensors.weights == weights).all()),
        "gap": float(np.abs(logits - own.sum(axis=1) - fitted.bias).max()),
        "weights": fitted.weights.tolist(),
    }
"""
    )
    for answer in found.values():
        assert answer["kept"] and answer["weights_kept"]
        assert answer["gap"] < 1e-9
        assert [weight == 0 for weight in answer["weights"]] == [True] + [False] * 5

"""Trees: what they learn, that they go where scikit-learn's go, and that no row is told its label."""

import json

import numpy as np
import pytest

from nightshift.errors import ContractError
from nightshift.features.encoding import MISSING_BITS, number_bits
from tasks.ctr.train import metrics, trees
from tasks.ctr.train.serving import Scorer
from tasks.ctr.train.trees import Trees
from testing.tree_rows import SHOP, SPEC, VISIT, X, Z, rows
from testing.workshop import TASKS_PYTHON, evaluate

GROW = """
import os
from pathlib import Path
os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np
from tasks.ctr.train import tree_inputs, trees
from testing.tree_rows import SPEC, rows
folder = Path(folder)

def grown(signal, most):
    train, labels = rows(6000, 1, signal)
    valid, valid_labels = rows(2000, 2, signal)
    return trees.grow(SPEC.fields, train, labels, (valid, valid_labels), most=most, seed=1)

found, again, noise = grown(True, 40), grown(True, 40), grown(False, 60)
found.trees.save(folder / "trees.npz")
np.savez(folder / "train.npz", found=found.train, again=again.train, noise=noise.train)
# What scikit-learn itself says of odd rows.
train, labels = rows(6000, 1)
seen = tree_inputs.Rates.of(SPEC.fields, train, labels).seen()
x = tree_inputs.matrix(train, 6000, seen)
forests = [trees._fitted(x, labels, 3000, 20, None, each) for each in (0, 1)]
trees._arrays(forests, seen).save(folder / "odd.npz")
odd = np.load(folder / "rows.npz")
x = tree_inputs.matrix({int(name): odd[name] for name in odd.files}, 500, seen)
np.save(folder / "expected.npy", (forests[0].decision_function(x) + forests[1].decision_function(x)) / 2)
few = labels.copy()
few[:] = 0
few[:150] = 1
answer = trees.grow(SPEC.fields, train, few, (train, few), most=10, seed=1) is None
"""


def odd_rows():
    odd, _ = rows(500, 4)
    odd[SHOP][:100] = np.arange(100)  # unseen ids
    odd[X][50:150] = MISSING_BITS
    odd[Z][120:200] = number_bits(np.array([1e30]), SPEC.fields[-1])[0]
    return odd


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    made = tmp_path_factory.mktemp("trees")
    np.savez(made / "rows.npz", **{str(at): column for at, column in odd_rows().items()})
    assert evaluate(GROW, folder=str(made)), "too few positives grow none"
    return made


@pytest.fixture(scope="module")
def found(folder):
    return Trees.load(folder / "trees.npz")


def test_they_find_what_no_sum_of_effects_says(found):
    test, labels = rows(4000, 3)
    rate = 1 / (1 + np.exp(-found.score(test, 4000)))
    # Each of x and z alone says nothing; the shops alone give 0.6.
    assert metrics.auc(labels, rate.astype(np.float32)) > 0.72
    assert 0.9 < rate.mean() / labels.mean() < 1.1


def test_an_id_that_never_repeats_and_tokens_are_not_looked_at(found):
    assert set(found.columns) == {SHOP, X, Z} and VISIT not in found.columns


def test_they_go_where_scikit_learns_go_whatever_the_row(folder):
    ours = Trees.load(folder / "odd.npz")
    assert len(ours) == 40
    expected = np.load(folder / "expected.npy")
    assert ours.score(odd_rows(), 500) == pytest.approx(expected, abs=1e-6)


def test_a_row_has_the_same_bits_alone_and_in_any_batch(found):
    columns, _ = rows(trees._CHUNK + 50, 5)
    whole = found.score(columns, trees._CHUNK + 50)
    for at in (0, 7, trees._CHUNK - 1, trees._CHUNK + 49):
        one = {name: column[at : at + 1] for name, column in columns.items()}
        assert found.score(one, 1)[0].tobytes() == whole[at].tobytes()


def test_the_same_rows_grow_the_same_trees(folder):
    kept = np.load(folder / "train.npz")
    assert kept["found"].tobytes() == kept["again"].tobytes()


def test_no_training_row_is_told_its_own_label(folder):
    _, labels = rows(6000, 1, signal=False)
    rates = 1 / (1 + np.exp(-np.load(folder / "train.npz")["noise"]))
    # Trees that saw the rows would say more than 0.6 of them; three standard errors are 0.023.
    assert abs(metrics.auc(labels, rates) - 0.5) < 0.025


def test_what_they_add_is_measured_beside_its_error():
    rng = np.random.default_rng(6)
    truth = rng.normal(size=5000)
    labels = (rng.random(5000) < 1 / (1 + np.exp(-truth))).astype(np.int8)
    better, error = trees.gain(np.zeros(5000), truth.astype(np.float32), labels)
    assert better > 5 * error > 0
    assert trees.gain(truth, rng.normal(size=5000).astype(np.float32) * 3, labels) == (0.0, 0.0)


def test_what_holds_no_trees_is_named(tmp_path):
    (tmp_path / "trees.npz").write_bytes(b"PK")
    with pytest.raises(ContractError, match="holds no trees"):
        Trees.load(tmp_path / "trees.npz")


@pytest.fixture(scope="module")
def planted(workshops):
    """A model with trees, and one that begins where it ended."""
    made = workshops("planted")
    made.preprocess(made.features(rows_a_day=200))
    few = ("--set", "epochs=2", "--set", "threads=1", "--set", "batch_size=200")
    made.train("dataset", *few, "--set", "trees=15", "--set", "linear_start=baseline", out="first")
    made.train(
        *("dataset", *few, "--set", "trees=auto", "--warm-start", made.root / "first"), out="second"
    )
    return made


def test_a_model_with_trees_is_served_as_it_was_trained(planted):
    """The golden scores are the trained network's; here they are scored from encoded rows."""
    folder = planted.root / "first"
    network = json.loads((folder / "model" / "network.json").read_text())
    assert network["version"] == 3 and (folder / "model" / "trees.npz").is_file()
    with np.load(folder / "golden.npz") as golden:
        ids, expected = (golden[name] for name in sorted(golden.files))
    assert ids.dtype == np.int64
    scorer = Scorer.load(folder)
    assert scorer.score(ids).reshape(-1, 1) == pytest.approx(expected, abs=1e-6)
    alone = [scorer.score(ids[at : at + 1])[0].tobytes() for at in range(len(ids))]
    assert alone == [score.tobytes() for score in scorer.score(ids)]
    card = json.loads((folder / "model_card.json").read_text())
    assert 1 <= card["hyperparameters"]["trees"] <= 15
    assert {item["feature"] for item in card["importance"]} == set(network["fields"])


def test_a_warm_start_has_trees_where_the_earlier_model_has(planted):
    card = json.loads((planted.root / "second" / "model_card.json").read_text())
    assert "has trees" in card["chosen"]["trees"] and card["hyperparameters"]["trees"] > 0
    assert (planted.root / "second" / "model" / "trees.npz").is_file()

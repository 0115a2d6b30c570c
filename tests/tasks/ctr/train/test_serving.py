"""Scores of a saved model, held to the formula of DeepFM and to what training said."""

import json
import shutil

import numpy as np
import pytest

from nightshift.errors import ContractError
from tasks.ctr.train.serving import SavedModel
from tests.tasks.conftest import golden_of


def score(workshop, model, ids):
    return np.array(
        workshop.evaluate(
            "import numpy as np\n"
            "from pathlib import Path\n"
            "from tasks.ctr.train.serving import Scorer\n"
            "scorer = Scorer.load(Path(model))\n"
            "answer = [scorer.score(np.array(i, np.int64)).tolist() for i in batches]",
            model=str(model),
            batches=ids,
        )
    )


def by_formula(model, ids):
    """DeepFM as the paper writes it, in float64: y1 + sum of pairwise products + DNN."""
    saved = SavedModel.load(model)
    weights = {name: value.astype(np.float64) for name, value in saved.parameters.items()}
    rows = saved.vocabulary.rows(np.array(ids, np.int64))
    scores = []
    for row in rows:
        vectors = weights["embedding.weight"][row]
        first = weights["linear.weight"][row].sum()
        pairs = vectors @ vectors.T
        second = np.triu(pairs, k=1).sum()
        x = vectors.ravel()
        layer = 0
        while f"dnn.{layer}.weight" in weights:
            x = np.maximum(weights[f"dnn.{layer}.weight"] @ x + weights[f"dnn.{layer}.bias"], 0)
            layer += 1
        deep = (weights["out.weight"] @ x + weights["out.bias"]).item()
        scores.append(1 / (1 + np.exp(-(first + second + deep))))
    return np.array(scores)


def test_golden_rows_score_as_training_said_and_as_the_formula_says(workshop, model):
    ids, scores = golden_of(model)
    signature = json.loads((model / "signature.json").read_text())
    assert signature["outputs"][0]["tolerance"] == 1e-5
    (found,) = score(workshop, model, [ids.tolist()])
    np.testing.assert_allclose(found, scores, atol=1e-6)
    np.testing.assert_allclose(found, by_formula(model, ids), atol=1e-6)
    assert np.ptp(found) > 0.05, "the rows do not all score the same"


def test_a_score_does_not_depend_on_its_batch(workshop, model):
    ids = golden_of(model)[0].tolist()
    whole, *single = score(workshop, model, [ids, *([row] * len(ids) for row in ids)])
    for at, scores in enumerate(single):
        np.testing.assert_allclose(scores, whole[at], atol=1e-6)


def test_an_empty_batch_has_no_scores(workshop, model):
    answer = workshop.evaluate(
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from tasks.ctr.train.serving import Scorer\n"
        "found = Scorer.load(Path(model)).score(np.empty((0, 6), np.int64))\n"
        "answer = [list(found.shape), str(found.dtype)]",
        model=str(model / "model"),
    )
    assert answer == [[0], "float32"]


def copy(model, tmp_path):
    shutil.copytree(model / "model", tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: (m / "network.json").unlink(), "network.json is not there"),
        (lambda m: (m / "network.json").write_text("{"), "network.json is not JSON"),
        (lambda m: (m / "vocabulary.npz").unlink(), "vocabulary.npz"),
        (lambda m: (m / "module.out.bias" / "out").unlink(), "module.out.bias/out cannot be read"),
        (
            lambda m: (m / "module.dnn.0.weight" / "out").write_bytes(b"\0" * 40),
            "module.dnn.0.weight/out holds 10 numbers",
        ),
        (
            lambda m: (m / "network.json").write_text(
                (m / "network.json").read_text().replace('"version": 2', '"version": 9')
            ),
            "version 9",
        ),
    ],
)
def test_a_broken_model_is_named(model, tmp_path, change, words):
    broken = copy(model, tmp_path)
    change(broken)
    with pytest.raises(ContractError) as caught:
        SavedModel.load(broken)
    assert words in str(caught.value)

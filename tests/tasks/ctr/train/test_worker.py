"""tasks.ctr.train as a process: it learns, repeats itself, stops, goes on, and says what is wrong."""

import json
import re
import shutil

import numpy as np
import pytest

from nightshift.errors import EXIT_TERMINAL
from nightshift.features.specification import FeatureSpec
from tests.tasks.ctr.conftest import FAST, parameters, same_bits


def golden_of(workshop):
    return (workshop.root / "model" / "golden.npz").read_bytes()


@pytest.fixture(scope="module")
def trained(dataset):
    """A model with the default hyper-parameters but small batches, from nothing."""
    sets = ("--set", "batch_size=100", "--set", "linear_start=zero")
    _, result = dataset.train("dataset", *sets, out="trained")
    return dataset, result


def test_it_learns_the_signal(trained):
    _, result = trained
    # The generator's users, products and ratio decide on the label; chance is 0.5.
    assert result["test"]["auc"] > 0.65
    assert result["test"]["logloss"] < result["test"]["base_logloss"]
    assert 0.7 < result["test"]["calibration"] < 1.4


def test_it_writes_model_card_metrics_and_golden_rows(trained):
    workshop, result = trained
    out = workshop.root / "trained"
    card = json.loads((out / "model_card.json").read_text())
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, card["epochs"] + 1))
    assert set(lines[0]) == {
        "epoch",
        "train_loss",
        "train_auc",
        "valid_auc",
        "valid_logloss",
        "valid_score",
        "learning_rate",
        "seconds",
    }
    scores = [line["valid_auc"] - line["valid_logloss"] for line in lines]
    assert card["best_epoch"] == 1 + int(np.argmax(scores))
    assert lines[card["best_epoch"] - 1]["valid_auc"] == pytest.approx(card["valid"]["auc"])
    assert lines[1]["learning_rate"] == pytest.approx(0.9 * lines[0]["learning_rate"])
    assert card["hyperparameters"]["batch_size"] == 100
    assert card["overrides"] == ["batch_size=100", "linear_start=zero"]
    assert card["schema_hash"] == FeatureSpec.load(workshop.spec).schema_hash
    assert card["dataset"]["sha256"] == result["dataset_sha256"]
    assert card["versions"]["oneflow"] == "0.9.0"
    assert {path.name for path in out.iterdir()} >= {
        "model",
        "golden.npz",
        "signature.json",
        "training.html",
    }
    with np.load(out / "golden.npz") as golden:
        assert {name: golden[name].shape for name in golden.files} == {
            "input/INPUT_0": (18, 6),
            "output/OUTPUT_0": (18, 1),
        }
    assert not list(workshop.root.glob("trained-checkpoint"))


def test_a_rerun_gives_the_same_bits_and_replaces_the_model_and_a_failure_does_not(from_dataset):
    from_dataset.train("dataset", *FAST)
    first, golden = parameters(from_dataset), golden_of(from_dataset)
    (from_dataset.root / "model" / "left-over").touch()
    done, result = from_dataset.train("dataset", "--set", "learning_rat=1", check=False)
    assert done.returncode == EXIT_TERMINAL
    assert "did you mean 'learning_rate'" in result["error"]
    assert (from_dataset.root / "model" / "left-over").exists()
    from_dataset.train("dataset", *FAST)
    assert same_bits(parameters(from_dataset), first)
    assert golden_of(from_dataset) == golden
    assert not (from_dataset.root / "model" / "left-over").exists()
    assert {path.name for path in from_dataset.root.iterdir()} == {
        "dataset",
        "model",
        "spec.yaml",
        "train.json",
    }


def test_cuda_without_a_gpu_is_an_error_and_no_crash(from_dataset):
    done, result = from_dataset.train(
        "dataset", "--device", "cuda", check=False, CUDA_VISIBLE_DEVICES=""
    )
    assert done.returncode == EXIT_TERMINAL
    assert "no GPU" in result["error"]


def test_a_dataset_of_another_specification_is_refused(from_dataset):
    text = from_dataset.spec.read_text()
    from_dataset.spec.write_text(text.replace("decimals: 2", "decimals: 3"))
    done, result = from_dataset.train("dataset", *FAST, check=False)
    assert done.returncode == EXIT_TERMINAL
    assert "run tasks.ctr.preprocess again" in result["error"]


def test_a_dataset_changed_after_it_was_made_is_refused(from_dataset, dataset):
    target = from_dataset.root / "dataset"
    target.unlink()
    shutil.copytree(dataset.root / "dataset", target)
    shutil.copy(target / "valid" / "part-0.parquet", target / "test" / "part-0.parquet")
    done, result = from_dataset.train("dataset", *FAST, check=False)
    assert done.returncode == EXIT_TERMINAL
    assert "not the file that its data card describes" in result["error"]


def test_of_two_starts_the_validation_rows_choose_one(from_dataset):
    few = (*FAST, "--set", "trees=0", "--set", "importance_rows=0")
    rated = {}
    for start in ("baseline", "zero", "validation"):
        from_dataset.train("dataset", *few, "--set", f"linear_start={start}", out=start)
        card = json.loads((from_dataset.root / start / "model_card.json").read_text())
        rated[start] = card["valid"]["auc"] - card["valid"]["logloss"]
    better = max(("baseline", "zero"), key=rated.__getitem__)
    assert rated["baseline"] != rated["zero"] and rated["validation"] == rated[better]
    assert same_bits(parameters(from_dataset, "validation"), parameters(from_dataset, better))
    assert card["hyperparameters"]["linear_start"] == better
    said = re.findall(r"(baseline|zero) (-?\d+\.\d{4})", card["chosen"]["linear_start"])
    assert {name: float(score) for name, score in said} == {
        name: pytest.approx(rated[name], abs=1e-3) for name in ("baseline", "zero")
    }
    assert not (from_dataset.root / "validation-checkpoint").exists()

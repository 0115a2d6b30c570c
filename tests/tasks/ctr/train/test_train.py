"""tasks.ctr.train as a process: it learns, repeats itself, stops, goes on, and says what is wrong."""

import json
import re
import shutil
import signal
import time

import numpy as np
import pytest

from nightshift.errors import EXIT_TERMINAL
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train.serving import SavedModel

FAST = ("--set", "epochs=3", "--set", "hidden=[16, 8]", "--set", "batch_size=64")


def parameters(workshop, out="model"):
    return SavedModel.load(workshop.root / out).parameters


def golden_of(workshop):
    return (workshop.root / "model" / "golden.npz").read_bytes()


def losses_of(workshop, out="model"):
    lines = (workshop.root / out / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["train_loss"] for line in lines]


def same_bits(one, two):
    return one.keys() == two.keys() and all(one[k].tobytes() == two[k].tobytes() for k in one)


@pytest.fixture(scope="module")
def trained(dataset):
    """A model with the default hyper-parameters but small batches."""
    _, result = dataset.train("dataset", "--set", "batch_size=100", out="trained")
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
    assert card["overrides"] == ["batch_size=100"]
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


LONG = (
    *("--set", "epochs=6", "--set", "patience=6", "--set", "hidden=[16, 8]"),
    *("--set", "batch_size=8", "--set", "checkpoint_steps=10"),
)


def wait_for_line(process, pattern):
    for line in process.stdout:
        if re.search(pattern, line):
            return
    pytest.fail(f"{pattern} was not said")


@pytest.fixture(scope="module")
def uninterrupted(dataset):
    dataset.train("dataset", *LONG, out="uninterrupted")
    return parameters(dataset, "uninterrupted"), losses_of(dataset, "uninterrupted")


def test_sigterm_keeps_a_checkpoint_that_leads_to_the_same_model(from_dataset, uninterrupted):
    process = from_dataset.start_training("dataset", *LONG)
    wait_for_line(process, "epoch 2:")
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 143, said
    result = json.loads((from_dataset.root / "train.json").read_text())
    assert result["status"] == "stopped"
    assert "checkpoint is kept" in result["error"]
    assert not (from_dataset.root / "model").exists()
    assert len(list((from_dataset.root / "model-checkpoint").iterdir())) == 1
    done, _ = from_dataset.train("dataset", *LONG)
    assert "goes on from a checkpoint: epoch 3" in done.stdout
    assert same_bits(parameters(from_dataset), uninterrupted[0])
    assert losses_of(from_dataset) == uninterrupted[1]
    assert not (from_dataset.root / "model-checkpoint").exists()


def checkpoints(workshop):
    folder = workshop.root / "model-checkpoint"
    return {path.name for path in folder.glob("epoch-*")} if folder.is_dir() else set()


def test_sigkill_loses_only_the_steps_since_the_last_checkpoint(from_dataset, uninterrupted):
    for _ in range(2):
        before = checkpoints(from_dataset)
        process = from_dataset.start_training("dataset", *LONG)
        deadline = time.monotonic() + 120
        while checkpoints(from_dataset) <= before and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.communicate(timeout=180)
        assert checkpoints(from_dataset)
        assert not (from_dataset.root / "train.json").exists()
    done, _ = from_dataset.train("dataset", *LONG)
    assert "goes on from a checkpoint" in done.stdout
    assert same_bits(parameters(from_dataset), uninterrupted[0])
    assert losses_of(from_dataset) == uninterrupted[1]
    assert not list(from_dataset.root.glob(".tmp-*"))


def test_a_checkpoint_of_other_hyperparameters_is_not_used(from_dataset):
    process = from_dataset.start_training("dataset", *LONG)
    wait_for_line(process, "epoch 1:")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=180) == 143
    process.stdout.close()
    done, _ = from_dataset.train("dataset", *FAST)
    assert "other data or hyper-parameters" in done.stdout
    assert "goes on" not in done.stdout
    assert not (from_dataset.root / "model-checkpoint").exists()


def test_a_diverging_training_says_so(from_dataset):
    more = ("--set", "learning_rate=1", "--set", "init_std=1", "--set", "l2_embedding=1")
    done, result = from_dataset.train("dataset", *FAST, *more, check=False)
    if done.returncode:
        assert done.returncode == EXIT_TERMINAL
        assert "lower learning_rate" in result["error"]
    else:
        assert np.isfinite(result["test"]["logloss"])


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


def test_validation_of_one_class_stops_by_logloss_with_a_warning(from_dataset, dataset):
    target = from_dataset.root / "dataset"
    target.unlink()
    shutil.copytree(dataset.root / "dataset", target)
    relabel(target, "valid")
    relabel(target, "test")
    _, result = from_dataset.train("dataset", *FAST)
    assert result["valid"]["auc"] is None
    assert result["test"]["auc"] is None
    assert any("AUC is undefined" in warning for warning in result["warnings"])


def relabel(dataset, split):
    """Make a split's labels all 0, as a day without an order has them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from nightshift import files

    path = dataset / split / "part-0.parquet"
    table = pq.read_table(path)
    zeros = pa.array(np.zeros(table.num_rows, np.int8))
    pq.write_table(table.set_column(2, "label", zeros), path)
    card = files.read_json(dataset / "data_card.json")
    card["splits"][split].update(positives=0, sha256=files.sha256_file(path))
    files.write_json(dataset / "data_card.json", card)


def test_the_last_batch_weighs_by_its_rows(from_dataset):
    # With a learning rate of nearly nothing, an epoch's training loss is the logloss of the
    # fresh model on all rows, whatever the batches; 750 rows in batches of 64 leave 46.
    more = (
        *("--set", "learning_rate=1e-12", "--set", "epochs=1", "--set", "dropout=0"),
        *("--set", "oov_rate=0", "--set", "weight_decay=0", "--set", "hidden=[16, 8]"),
        *("--set", "linear_start=zero", "--set", "trees=0"),
    )
    losses = []
    for size in (64, 750):
        from_dataset.train("dataset", *more, "--set", f"batch_size={size}")
        line = (from_dataset.root / "model" / "metrics.jsonl").read_text()
        losses.append(json.loads(line)["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    # A fresh model answers about the share of positives.
    assert losses[0] == pytest.approx(0.6340, abs=0.002)


def test_a_warm_start_begins_where_the_earlier_model_was(from_dataset):
    earlier = from_dataset.root / "earlier"
    from_dataset.train("dataset", *FAST, "--set", "min_count=5", out="earlier")
    still = (
        *FAST,
        *("--set", "learning_rate=1e-12", "--set", "epochs=1", "--set", "weight_decay=0"),
        *("--set", "min_count=4"),
    )
    done, result = from_dataset.train("dataset", *still, "--warm-start", earlier)
    assert re.search(r"begins from .*: \d+ of \d+ ids known", done.stdout)
    old = SavedModel.load(earlier)
    new = SavedModel.load(from_dataset.root / "model")
    fresh = 0
    for field, hashes in enumerate(new.vocabulary.hashes):
        was = old.vocabulary.rows_of_field(field, hashes)
        now = new.vocabulary.rows_of_field(field, hashes)
        fresh += int((was == old.vocabulary.offsets[field]).sum())
        # Known ids keep their embedding, new ones begin as the unknown id's.
        for name in ("embedding.weight", "linear.weight"):
            np.testing.assert_allclose(
                new.parameters[name][now], old.parameters[name][was], atol=1e-9
            )
    assert fresh, "min_count 4 knows ids that 5 does not"
    np.testing.assert_allclose(
        new.parameters["dnn.0.weight"], old.parameters["dnn.0.weight"], atol=1e-9
    )
    card = json.loads((from_dataset.root / "model" / "model_card.json").read_text())
    assert card["warm_start"] == str(earlier)
    assert result["test"]["auc"] > 0.65


def test_a_warm_start_from_another_architecture_is_refused(trained, from_dataset):
    workshop, _ = trained
    done, result = from_dataset.train(
        "dataset", *FAST, "--warm-start", workshop.root / "trained", check=False
    )
    assert done.returncode == EXIT_TERMINAL
    assert "dnn.0" in result["error"]
    assert "without a warm start" in result["error"]

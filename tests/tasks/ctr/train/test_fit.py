"""The training loop as a process: it stops, goes on to the same bits, and says what is wrong."""

import json
import re
import shutil
import signal
import time

import numpy as np
import pytest

from nightshift.errors import EXIT_TERMINAL
from tests.tasks.ctr.conftest import FAST, losses_of, parameters, same_bits

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
    assert re.search("goes on from a checkpoint: epoch [3-6]", done.stdout)
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


def test_scores_speak_of_the_true_rates_after_training_on_other_odds(workshop):
    """King and Zeng: of a share r of the negatives and positives that weigh w, log(r / w)."""
    shifts = workshop.evaluate(
        """
from tasks.ctr.train.fit import logit_shift
from tasks.ctr.train.hyperparameters import Hyperparameters
answer = [
    float(logit_shift(Hyperparameters(negative_rate=rate, positive_weight=weight)))
    for rate, weight in pairs
]
""",
        pairs=[[1.0, 1.0], [0.1, 1.0], [1.0, 4.0], [0.5, 2.0]],
    )
    # True odds 1 : 99 are 10 : 99 on a tenth of the negatives.
    assert shifts == pytest.approx([0.0, np.log(0.1), -np.log(4), np.log(0.25)], rel=1e-6)


def test_a_start_that_answers_as_the_regression_has_silent_layers(workshop):
    found = workshop.evaluate(
        """
import numpy as np
from tasks.ctr.train.fit import begin_with
deep = {"linear.weight": np.zeros((3, 1), np.float32), "out.weight": np.ones((1, 4), np.float32),
        "out.bias": np.zeros(1, np.float32), "dnn.0.weight": np.ones((4, 2), np.float32)}
begun = begin_with(deep, np.array([1.0, -2.0, 0.5]), -3.0)
without = {"embedding.weight": np.ones((3, 2), np.float32), "out.bias": np.zeros(1, np.float32)}
answer = {
    "begun": {name: value.tolist() for name, value in begun.items()},
    "kept": begin_with(without, np.ones(3), -3.0) is without,
    "untouched": deep["linear.weight"].any().item(),
}
"""
    )
    assert found["begun"]["linear.weight"] == [[1.0], [-2.0], [0.5]]
    assert found["begun"]["out.bias"] == [-3.0]
    assert found["begun"]["out.weight"] == [[0.0] * 4]
    assert found["begun"]["dnn.0.weight"] == [[1.0, 1.0]] * 4
    assert found["kept"]
    assert not found["untouched"]

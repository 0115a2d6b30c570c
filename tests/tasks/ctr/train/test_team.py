"""Steps shared by two processes: the model of one process, and an end that is everyone's."""

import json
import signal
import time

import numpy as np
import psutil
import pytest

from nightshift.errors import EXIT_RETRYABLE
from tests.tasks.conftest import TASKS_PYTHON, Workshop
from tests.tasks.ctr.conftest import losses_of, parameters, same_bits
from tests.tasks.ctr.train.test_fit import wait_for_line

VALUES = (
    *("epochs=12", "patience=12", "hidden=[16, 8]", "batch_size=17", "checkpoint_steps=25"),
    *("processes=2", "dropout=0", "baseline=false", "importance_rows=0", "trees=0"),
)
TWO = tuple(f"--set={value}" for value in VALUES)

SHARES = """
import numpy as np
from tasks.ctr.train.dataset import Batch
from tasks.ctr.train.inputs import Tensors
from tasks.ctr.train.team import shares_of
rows = np.arange(10, dtype=np.int32).reshape(5, 2)
ones = np.ones(5, np.float32)
batch = Batch(Tensors(rows, None, None), ones * 3, ones, 5, None, (rows.astype(np.uint8),))
answer = [[[part.tolist() for part in share] for share in shares_of(batch, n)] for n in (2, 5)]
"""

DEVICES = """
from tasks.ctr.train import models, team
from tasks.ctr.train.hyperparameters import Hyperparameters
shape = models.Architecture(12, 2, 3, (4,), "deepfm")
try:
    team.Team(shape, Hyperparameters(processes=2), {}, 1, "cuda")
except Exception as error:
    answer = [type(error).__name__, str(error)]
"""


@pytest.fixture(autouse=True)
def environment():
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")


def test_shares_are_equal_and_what_fills_them_up_weighs_nothing():
    two, five = Workshop.evaluate(SHARES)
    (rows, labels, weights, masks), (more, labels_too, last, _) = two
    assert rows == masks == [[0, 1], [2, 3], [4, 5]]
    assert labels == labels_too == [3, 3, 3]
    assert weights == [1, 1, 1]
    # An id of the batch, so that no row of a table is moved that the batch does not look up.
    assert more == [[6, 7], [8, 9], [0, 1]]
    assert last == [1, 1, 0]
    assert [share[0] for share in five] == [[[0, 1]], [[2, 3]], [[4, 5]], [[6, 7]], [[8, 9]]]


def test_each_process_needs_a_gpu_of_its_own():
    kind, message = Workshop.evaluate(DEVICES)
    assert kind == "ConfigurationError"
    assert "processes is 2" in message


@pytest.fixture(scope="module")
def uninterrupted(dataset):
    dataset.train("dataset", *TWO, out="two")
    return dataset


def test_the_model_is_that_of_one_process(uninterrupted):
    uninterrupted.train("dataset", *TWO, "--set=processes=1", out="one")
    one, two = (parameters(uninterrupted, out) for out in ("one", "two"))
    assert one.keys() == two.keys()
    for name in one:
        # Sums in another order; Adam divides by a small number where a gradient is near none.
        assert np.abs(one[name] - two[name]).max() < 1e-4, name
    assert losses_of(uninterrupted, "two") == pytest.approx(
        losses_of(uninterrupted, "one"), rel=1e-5
    )
    card = json.loads((uninterrupted.root / "two" / "model_card.json").read_text())
    assert card["hyperparameters"]["processes"] == 2


def family_of(process):
    return psutil.Process(process.pid).children(recursive=True)


def ranks_of(process):
    return [each for each in family_of(process) if "tasks.ctr.train.rank" in each.cmdline()]


def gone(processes):
    deadline = time.monotonic() + 30
    while any(each.is_running() for each in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(each.is_running() for each in processes)


def test_killed_and_stopped_it_goes_on_to_the_same_bits(from_dataset, uninterrupted):
    process = from_dataset.start_training("dataset", *TWO)
    wait_for_line(process, "epoch 2:")  # the checkpoint of the first one is kept
    everyone = family_of(process)
    ranks_of(process)[1].kill()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == EXIT_RETRYABLE, said
    result = json.loads((from_dataset.root / "train.json").read_text())
    assert "training process 2 of 2 was killed" in result["error"]
    assert result["retryable"]
    assert gone(everyone)

    process = from_dataset.start_training("dataset", *TWO)
    wait_for_line(process, "goes on from a checkpoint")
    wait_for_line(process, r"epoch \d:")
    everyone = family_of(process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert gone(everyone)

    process = from_dataset.start_training("dataset", *TWO)
    wait_for_line(process, "goes on from a checkpoint")
    everyone = family_of(process)
    # The worker dies with the guard, and the ranks with the worker.
    process.kill()
    process.communicate(timeout=60)
    assert gone(everyone)

    done, _ = from_dataset.train("dataset", *TWO)
    assert "goes on from a checkpoint" in done.stdout
    assert same_bits(parameters(from_dataset), parameters(uninterrupted, "two"))
    assert losses_of(from_dataset) == losses_of(uninterrupted, "two")

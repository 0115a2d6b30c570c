"""What the tests of training share."""

import json

import pytest

from tasks.ctr.train.serving import SavedModel

FAST = ("--set", "epochs=3", "--set", "hidden=[16, 8]", "--set", "batch_size=64")


@pytest.fixture(scope="session")
def model(dataset):
    """A folder with a small trained DeepFM."""
    values = ("batch_size=100", "epochs=4", "oov_rate=0.05", "linear_start=zero")
    dataset.train("dataset", *(f"--set={value}" for value in values), out="served")
    return dataset.root / "served"


def parameters(workshop, out="model"):
    return SavedModel.load(workshop.root / out).parameters


def losses_of(workshop, out="model"):
    lines = (workshop.root / out / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["train_loss"] for line in lines]


def same_bits(one, two):
    return one.keys() == two.keys() and all(one[k].tobytes() == two[k].tobytes() for k in one)

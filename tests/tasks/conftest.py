"""Workshops for the tests of the tasks."""

import pytest

from testing.workshop import (
    PROJECT,
    SPEC,
    TASKS_PYTHON,
    Workshop,
    evaluate,
    feature_table,
    golden_of,
    run,
    start,
    write_features,
)

__all__ = [
    "PROJECT",
    "SPEC",
    "TASKS_PYTHON",
    "Workshop",
    "evaluate",
    "feature_table",
    "golden_of",
    "run",
    "start",
    "write_features",
]


@pytest.fixture
def workshop(tmp_path):
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    return Workshop(tmp_path)


@pytest.fixture(scope="session")
def workshops(tmp_path_factory):
    """Makes workshops that live as long as the session."""
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    return lambda name: Workshop(tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A workshop whose dataset is made: 8 judged days of 150 rows to train on."""
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    made = Workshop(tmp_path_factory.mktemp("dataset"))
    made.preprocess(made.features())
    return made


@pytest.fixture
def from_dataset(dataset, tmp_path):
    """A fresh workshop beside the shared dataset."""
    fresh = Workshop(tmp_path)
    (tmp_path / "dataset").symlink_to(dataset.root / "dataset")
    return fresh

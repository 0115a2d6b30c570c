"""Made files of Criteo's shape: the reader takes them, and the truth beside them is one."""

import json

import numpy as np
import pytest

from laptop.data import criteo, criteo_made
from laptop.data.criteo_made import World
from nightshift.errors import ConfigurationError
from nightshift.gates import measures

ROWS = 20_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "ads"
    criteo_made.make(folder, World(7, 0.04), ROWS)
    return folder


def test_the_file_has_criteos_format(made):
    assert criteo.format_of(made / "train.txt") == "criteo"
    assert json.loads((made / "world.json").read_text())["rows"] == ROWS


def test_labels_are_drawn_from_the_truth(made):
    truth = np.loadtxt(made / "truth.txt")
    labels = np.array([line[0] == "1" for line in (made / "train.txt").open()])
    assert len(truth) == len(labels) == ROWS
    # The standard deviation of the share is 0.0014.
    assert abs(labels.mean() - 0.04) < 0.007
    assert abs(labels.mean() - truth.mean()) < 4 * np.sqrt((truth * (1 - truth)).mean() / ROWS)
    assert measures.auc(labels, truth) > 0.7


@pytest.mark.slow
def test_a_seed_gives_the_same_rows_however_many(made, tmp_path):
    criteo_made.make(tmp_path / "few", World(7, 0.04), 100)
    first = (made / "train.txt").read_text().splitlines()[:100]
    assert (tmp_path / "few" / "train.txt").read_text().splitlines() == first
    criteo_made.make(tmp_path / "other", World(8, 0.04), 100)
    assert (tmp_path / "other" / "train.txt").read_text().splitlines() != first


@pytest.mark.parametrize("values", [{"seed": -1}, {"positive_rate": 0.0}, {"positive_rate": 1.0}])
def test_a_world_that_cannot_be_is_refused(values):
    with pytest.raises(ConfigurationError):
        World(**values)


def test_no_row_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="rows is 0"):
        criteo_made.make(tmp_path / "none", World(), 0)

"""Beginning from an earlier model."""

import json
import re
import shutil

import numpy as np
import pytest

from nightshift.errors import EXIT_TERMINAL
from tasks.ctr.train.serving import SavedModel
from tests.tasks.ctr.conftest import FAST


@pytest.fixture(scope="module")
def earlier(dataset):
    """The folder of the model that training begins from."""
    dataset.train("dataset", *FAST, "--set", "min_count=5", out="earlier")
    return dataset.root / "earlier"


def test_a_warm_start_begins_where_the_earlier_model_was(from_dataset, earlier):
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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("hidden=[16, 7]",), "dnn.1.weight of shape"),
        (("embedding_dim=3",), "embedding.weight of shape"),
        (("family=dcnv2",), "is a deepfm with"),
    ],
)
def test_a_warm_start_from_another_architecture_is_refused(from_dataset, earlier, changes, words):
    sets = [f"--set={change}" for change in changes]
    done, result = from_dataset.train("dataset", *FAST, *sets, "--warm-start", earlier, check=False)
    assert done.returncode == EXIT_TERMINAL
    assert words in result["error"]
    assert "without a warm start" in result["error"]


def test_a_warm_start_from_other_features_is_refused(from_dataset, earlier, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(earlier, other)
    network = json.loads((other / "model" / "network.json").read_text())
    network["schema_hash"] = "0" * 64
    (other / "model" / "network.json").write_text(json.dumps(network))
    done, result = from_dataset.train("dataset", *FAST, "--warm-start", other, check=False)
    assert done.returncode == EXIT_TERMINAL
    assert "trained on other features (schema 000000000000" in result["error"]

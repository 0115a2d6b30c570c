"""The trained model on disk."""

import numpy as np

from nightshift.features.specification import FeatureSpec
from tasks.ctr.train.dataset import first_ids, load
from tasks.ctr.train.serving import SavedModel
from tests.tasks.conftest import golden_of


def test_golden_rows_hold_unseen_ids(model):
    ids, _ = golden_of(model)
    vocabulary = SavedModel.load(model).vocabulary
    unknown = vocabulary.rows(ids) == vocabulary.offsets
    assert unknown[-1].all()
    assert unknown[-2, 0]
    assert not unknown[:-2].all(axis=1).any()


def test_the_unknown_rows_were_trained(model):
    saved = SavedModel.load(model)
    assert (saved.parameters["linear.weight"][saved.vocabulary.offsets] != 0).all()


def test_golden_rows_are_positives_as_far_as_half_of_them(model, dataset):
    """Their labels are found again by their ids among the test rows."""
    ids, _ = golden_of(model)
    spec = FeatureSpec.load(dataset.spec)
    read = load(dataset.root / "dataset", spec, 2)
    test = read.splits["test"]
    every = first_ids(
        read.folder / read.card["splits"]["test"]["file"], spec, np.arange(len(test.labels))
    )
    labels = {row.tobytes(): label for row, label in zip(every, test.labels, strict=True)}
    assert sum(int(labels[row.tobytes()]) for row in ids[:-2]) == 8


EXPORT = """
import shutil
from pathlib import Path
import numpy as np
from nightshift.errors import ContractError
from tasks.ctr.train import export
folder, target = Path(folder), Path(target)
with np.load(folder / "golden.npz") as held:
    ids, scores = held["input/INPUT_0"], held["output/OUTPUT_0"][:, 0]
export.write_golden(folder / "model", target, ids, scores + np.float32(5e-6))
export.write_scores(target / "test.npz", np.array([1, 0], np.int64), np.array([0.5, 0.25]))
export.write_metrics(target / "metrics.jsonl", [{"b": 1, "a": None}, {"a": 0.5}])
told = []
for wrong in (scores + np.float32(1e-3), np.full_like(scores, np.nan)):
    try:
        export.write_golden(folder / "model", target / "never", ids, wrong)
    except ContractError as error:
        told.append(str(error))
answer = told
"""


def test_a_saved_model_that_scores_otherwise_than_the_trained_one_is_refused(
    workshop, model, tmp_path
):
    told = workshop.evaluate(EXPORT, folder=str(model), target=str(tmp_path))
    assert len(told) == 2
    assert all("scores the golden rows differently" in said for said in told)
    assert "lower learning_rate" in told[0]
    assert not (tmp_path / "never").exists()
    # The saved model's own scores are kept, and so are the same ids.
    ids, scores = golden_of(tmp_path)
    np.testing.assert_array_equal(ids, golden_of(model)[0])
    np.testing.assert_allclose(scores, golden_of(model)[1], atol=1e-7)
    with np.load(tmp_path / "test.npz") as held:
        assert (held["label"].dtype, held["score"].dtype) == (np.int8, np.float32)
        assert held["score"].tolist() == [0.5, 0.25]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert lines == ['{"a": null, "b": 1}', '{"a": 0.5}']

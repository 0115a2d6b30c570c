"""`tasks.ctr.score`: both models on the same held-out rows, through the code that serves."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from nightshift import files
from nightshift.errors import EXIT_TERMINAL
from nightshift.gates.measures import auc
from tests.tasks.conftest import run


@pytest.fixture
def score(trained, tmp_path):
    """Score the shared dataset's test split; returns (result, table, exit code)."""

    def call(*more, spec=trained.spec_path, model=trained.models[0]):
        out, result = tmp_path / "scores.parquet", tmp_path / "score.json"
        done = run(
            "score",
            *("--dataset", trained.workshop.root / "dataset", "--spec", spec, "--model", model),
            *("--out", out, "--result", result, *more),
            check=False,
        )
        table = pq.read_table(out) if out.exists() else None
        return json.loads(result.read_text()), table, done.returncode

    return call


def test_scores_are_those_that_the_model_cards_measured(trained, score):
    result, table, code = score("--champion-model", trained.models[1])
    assert code == 0
    assert result["champion_scored"] is True
    labels = table["label"].to_numpy().astype(bool)
    for column, model in zip(("challenger", "champion"), trained.models, strict=True):
        card = files.read_json(model / "model_card.json")["test"]
        assert len(labels) == card["rows"]
        assert auc(labels, table[column].to_numpy().astype(float)) == pytest.approx(card["auc"])


def test_without_a_champion_one_column(score):
    result, table, _ = score()
    assert table.column_names == ["request_id", "request_time", "label", "challenger"]
    assert (result["champion_scored"], result["incomparable"]) == (False, None)


def narrow_spec(trained) -> Path:
    return trained.narrow.parent / "spec.yaml"


def test_champion_of_another_specification_scores_by_its_own_ids(trained, score):
    own = trained.narrow.parent
    result, table, _ = score(
        *("--champion-model", trained.narrow, "--champion-spec", narrow_spec(trained)),
        *("--features", trained.workshop.root / "features"),
    )
    assert result["champion_scored"] is True
    card = files.read_json(trained.narrow / "model_card.json")["test"]
    own_test = pq.read_table(own / "dataset" / "test")
    assert table["request_id"].to_pylist() == own_test["request_id"].to_pylist()
    labels = table["label"].to_numpy().astype(bool)
    assert auc(labels, table["champion"].to_numpy().astype(float)) == pytest.approx(card["auc"])


def test_champion_whose_feature_is_gone_is_incomparable(trained, score, tmp_path):
    features = Path(shutil.copytree(trained.workshop.root / "features", tmp_path / "features"))
    for path in features.glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["product"]), path)
    result, table, _ = score(
        *("--champion-model", trained.narrow, "--champion-spec", narrow_spec(trained)),
        *("--features", features),
    )
    assert result["champion_scored"] is False
    assert "product" in result["incomparable"]
    assert "champion" not in table.column_names
    assert np.isfinite(table["challenger"].to_numpy()).all()


def test_dataset_of_another_specification_is_refused(trained, score, tmp_path):
    spec = yaml.safe_load(trained.spec_path.read_text())
    spec["numeric"]["ratio"]["decimals"] = 1
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(spec, sort_keys=False))
    result, table, code = score(spec=other)
    assert code == EXIT_TERMINAL
    assert "run tasks.ctr.preprocess again" in result["error"]
    assert table is None

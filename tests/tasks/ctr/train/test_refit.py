"""A refit: the judged recipe on all judged days, nothing decided anew, and what it refuses."""

import json
import shutil
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from nightshift.contract import recipe
from nightshift.errors import EXIT_TERMINAL
from nightshift.features.encoding import hash_text
from tasks.ctr.train.serving import SavedModel
from testing.workshop import golden_of
from tests.tasks.conftest import SPEC, start

SQL = "0" * 64
SETTINGS = (
    *("--set", "batch_size=64", "--set", "hidden=[16, 8]", "--set", "epochs=3"),
    *("--set", "trees=20", "--set", "oov_rate=validation", "--set", "threads=1"),
)


def with_newcomer(folder):
    """Give the last judged day, 2024-03-11, a user whom no other day has."""
    for path in sorted(folder.glob("*.parquet")):
        table = pq.read_table(path)
        days = table["request_time"].cast("date32").to_pylist()
        users = table["user"].to_pylist()
        late = [str(day) == "2024-03-11" for day in days]
        users = ["newcomer" if new else user for user, new in zip(users, late, strict=True)]
        at = table.column_names.index("user")
        pq.write_table(table.set_column(at, "user", [users]), path)
    return folder


@pytest.fixture(scope="module")
def made(workshops):
    """A judged model and its refit."""
    shop = workshops("refit")
    features = with_newcomer(shop.features())
    shop.preprocess(features)
    shop.run("preprocess", *shop.preprocess_arguments(features, "--refit", out="all"))
    shop.train("dataset", *SETTINGS)
    shop.result = refit(shop)
    return shop


def arguments(shop, *more, out="refit", dataset="all", of="model"):
    return (
        *("--dataset", shop.root / dataset, "--spec", shop.spec, "--refit-of", shop.root / of),
        *("--out", shop.root / out, "--checkpoint", shop.root / f"{out}-checkpoint"),
        *("--result", shop.root / "refit.json", *more),
    )


def refit(shop, *more, check=True, **given):
    shop.run("train", *arguments(shop, *more, **given), check=check)
    return json.loads((shop.root / "refit.json").read_text())


def card(shop, out):
    return json.loads((shop.root / out / "model_card.json").read_text())


def data_card(shop, name):
    return json.loads((shop.root / name / "data_card.json").read_text())


def test_it_learns_from_every_judged_row_and_says_so(made):
    judged, all_days = data_card(made, "dataset"), data_card(made, "all")
    splits = judged["splits"]
    train = all_days["splits"]["train"]
    assert train["rows"] == sum(split["rows"] for split in splits.values())
    days = [day for name in ("train", "valid", "test") for day in splits[name]["days"]]
    assert train["days"] == days
    assert [all_days["splits"][name]["rows"] for name in ("valid", "test")] == [0, 0]
    said = card(made, "refit")["refit"]
    assert said["learned"]["first_day"] == splits["train"]["days"][0]["day"]
    assert said["learned"]["last_day"] == splits["test"]["days"][-1]["day"] == "2024-03-11"
    assert said["judged"]["model_sha256"] == card(made, "model")["model_sha256"]


def test_it_decides_nothing_and_keeps_the_figures_of_the_judged_model(made):
    judged, new = card(made, "model"), card(made, "refit")
    assert new["hyperparameters"] == judged["hyperparameters"]
    assert "auto" not in map(str, new["hyperparameters"].values())
    assert new["epochs"] == judged["best_epoch"]
    for name in ("valid", "test", "baseline", "importance", "chosen"):
        assert new[name] == judged[name]
    assert "had not seen its held-out days" in new["refit"]["note"]
    parts = [
        recipe.recipe_of(card(made, model), data_card(made, data), SQL)
        for model, data in (("model", "dataset"), ("refit", "all"))
    ]
    assert recipe.differences(*parts) == []
    assert recipe.digest_of(parts[0]) == recipe.digest_of(parts[1])
    recipe.check_rows(data_card(made, "dataset"), data_card(made, "all"))


def test_it_knows_who_came_in_the_held_out_days(made):
    known = [
        np.isin(hash_text(b"newcomer"), SavedModel.load(made.root / out).vocabulary.hashes[0])
        for out in ("model", "refit")
    ]
    assert known == [False, True]
    assert len(SavedModel.load(made.root / "refit").inputs.trees) == 20


def test_its_golden_rows_are_its_own(made):
    ids, scores = golden_of(made.root / "refit")
    old_ids, old = golden_of(made.root / "model")
    assert len(ids) == 18
    answer = made.evaluate(
        """
from pathlib import Path
import numpy as np
from tasks.ctr.train.serving import Scorer
answer = Scorer.load(Path(model)).score(np.array(ids, dtype=np.int64)).tolist()
""",
        model=str(made.root / "refit"),
        ids=ids.tolist(),
    )
    np.testing.assert_allclose(scores, answer, atol=1e-6)
    assert not np.array_equal(ids, old_ids) or not np.array_equal(scores, old)


def test_the_same_rows_give_the_same_bits(made):
    refit(made, out="again")
    one, two = (SavedModel.load(made.root / out).parameters for out in ("refit", "again"))
    assert {k: v.tobytes() for k, v in one.items()} == {k: v.tobytes() for k, v in two.items()}


def test_a_refit_that_was_stopped_goes_on_to_the_same_bits(made):
    process = start("train", *arguments(made, out="stopped"))
    for line in process.stdout:
        if "epoch 1 of" in line:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=180)
    # It may have ended before the signal came.
    assert process.returncode in (0, 143)
    refit(made, out="stopped")
    one, two = (SavedModel.load(made.root / out).parameters for out in ("refit", "stopped"))
    assert {k: v.tobytes() for k, v in one.items()} == {k: v.tobytes() for k, v in two.items()}
    assert not (made.root / "stopped-checkpoint").exists()


def test_one_epoch_is_the_epoch_of_a_plain_training_on_all_days(made):
    plain = (
        *("--set", "batch_size=64", "--set", "hidden=[16, 8]", "--set", "epochs=1"),
        *("--set", "trees=0", "--set", "linear_start=zero", "--set", "threads=1"),
        *("--set", "bins=0", "--set", "baseline=false", "--set", "l2_linear=1.0"),
    )
    made.train("dataset", *plain, out="one")
    refit(made, of="one", out="one-refit")
    # The same rows to train on as a dataset that holds days out again.
    mixed = made.root / "mixed"
    shutil.copytree(made.root / "dataset", mixed)
    shutil.copytree(made.root / "all" / "train", mixed / "train", dirs_exist_ok=True)
    held = data_card(made, "dataset")
    held["splits"]["train"] = data_card(made, "all")["splits"]["train"]
    (mixed / "data_card.json").write_text(json.dumps(held))
    made.train("mixed", *plain, out="plain")
    one, two = (SavedModel.load(made.root / out).parameters for out in ("one-refit", "plain"))
    assert {k: v.tobytes() for k, v in one.items()} == {k: v.tobytes() for k, v in two.items()}


@pytest.mark.parametrize(
    ("change", "more", "words"),
    [
        ({"dataset": "dataset"}, (), "--refit"),
        ({}, ("--set", "epochs=2"), "repeats a training"),
        ({"of": "dataset"}, (), "model_card.json"),
    ],
)
def test_what_is_no_refit_ends_the_task_for_good(made, change, more, words):
    result = refit(made, *more, **change, out="wrong", check=False)
    assert result["status"] == "error" and not result["retryable"]
    assert words in result["error"]
    assert not (made.root / "wrong").exists()


def test_another_specification_is_another_recipe(made, tmp_path):
    changed = {**SPEC, "numeric": {**SPEC["numeric"], "rate": "float"}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    result = refit(made, "--spec", tmp_path / "spec.yaml", out="wrong", check=False)
    assert not result["retryable"] and "another recipe" in result["error"]


def test_a_plain_training_takes_no_dataset_without_held_out_days(made):
    done, result = made.train("all", *SETTINGS, out="wrong", check=False)
    assert done.returncode == EXIT_TERMINAL and "holds no days out" in result["error"]

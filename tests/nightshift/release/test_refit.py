"""A night that refits: the gates judge one model, and the same recipe on all days is released."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from nightshift import files
from nightshift.errors import ContractError, ReleaseRejected
from nightshift.gates import quality
from nightshift.layout import RunFolder
from nightshift.night import Night
from nightshift.plan import Plan
from nightshift.registry import manifest as manifests
from nightshift.registry import pointer
from nightshift.release import steps
from testing.house import House

from .conftest import SECOND, Nights

SCORED = ("quality", "recommend")


@dataclass
class Refit:
    """A house whose pipeline refits, and a night of it that was judged and refit."""

    nights: Nights
    house: House
    plan: Plan

    @property
    def night(self) -> Night:
        return self.house.of(self.plan)

    @property
    def run(self) -> RunFolder:
        return self.night.run


@pytest.fixture(scope="module")
def made(nights):
    house = replace(nights.house, pipeline=nights.pipeline.with_config(refit=True))
    house.pipeline.gates["recommend"]["level"] = "warn"
    plan = house.plan(SECOND, "refit")
    for part in ("features", "dataset", "model", "results", "recommend"):
        shutil.copytree(Path(nights.second["run_dir"]) / part, Path(plan["run_dir"]) / part)
    night = house.of(plan)
    steps.begin(night)
    house.task(plan, "score", steps.pin_champion(night)["score_arguments"])
    steps.gate(night, "data")
    for name in SCORED:
        steps.gate(night, name)
    house.refit(plan)
    yield Refit(nights, house, plan)
    house.end(plan, None)


def test_another_recipe_is_refused_and_what_differs_is_named(made):
    card = made.run.refit_model / "model_card.json"
    original = card.read_bytes()
    value = json.loads(original)
    was = value["hyperparameters"]["learning_rate"]
    value["hyperparameters"]["learning_rate"] = 0.5
    value["recipe"]["epochs"] += 1
    files.write_json(card, value)
    try:
        with pytest.raises(ContractError) as caught:
            steps.make_candidate(made.night)
    finally:
        card.write_bytes(original)
    assert f"hyperparameters/learning_rate was {was} and is 0.5" in str(caught.value)
    assert "training/epochs was" in str(caught.value)
    assert "hyperparameters/seed" not in str(caught.value)


def test_other_rows_than_the_judged_ones_are_refused(made):
    path = made.run.refit_dataset / "data_card.json"
    original = path.read_bytes()
    value = json.loads(original)
    last = value["splits"]["train"]["days"][-1]
    last["rows"] += 1
    files.write_json(path, value)
    try:
        with pytest.raises(ContractError, match=f"of {last['day']} .* were judged, and it has"):
            steps.make_candidate(made.night)
    finally:
        path.write_bytes(original)


def test_a_run_without_its_refit_gives_no_candidate(made):
    hidden = made.run.refit_model.with_name("elsewhere")
    made.run.refit_model.rename(hidden)
    try:
        with pytest.raises(ContractError, match="task `plan`"):
            steps.make_candidate(made.night)
    finally:
        hidden.rename(made.run.refit_model)


def test_what_is_published_is_the_refit_rehearsed_and_replayed_itself(made, monkeypatch):
    store, night = made.nights.pipeline.store, made.night
    before = {folder.id for folder in store.releases()}
    with monkeypatch.context() as patch:
        patch.setattr(manifests, "write_once", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            steps.make_candidate(night)
    assert {folder.id for folder in store.releases()} == before
    value = steps.make_candidate(night)
    assert steps.make_candidate(night) == value  # a retry finds its own
    folder = store.folder(value["release_id"])
    manifest = folder.manifest()
    judged, refit = made.run.model, made.run.refit_model
    assert manifest.model.sha256 == files.sha256_tree(folder.model) == files.sha256_tree(refit)
    assert manifest.refit.judged_sha256 == files.sha256_tree(folder.judged)
    assert files.sha256_tree(folder.judged) == files.sha256_tree(judged) != manifest.model.sha256
    # The figures are the judged model's, of days that it had not seen.
    assert manifest.metrics["auc"] == files.read_json(judged / "model_card.json")["test"]["auc"]
    card = files.read_json(made.run.dataset / "data_card.json")
    held_out = [day["day"] for day in card["splits"]["test"]["days"]]
    assert list(manifest.window.test_days) == held_out
    assert manifest.refit.last_day == held_out[-1]
    assert files.read_json(folder.data_card)["refit"] is True
    assert manifest.champion.release_id == pointer.read_live(store.root).release_id

    release = value["release_id"]
    report = steps.gate(night, "rehearsal", release)
    assert report["golden_rows"] == 18
    report = steps.gate(night, "consistency", release)
    assert report["mismatch_count"] == 0 and report["compared"] > 0
    ours, theirs = (
        pq.read_table(path)["challenger"].to_numpy()
        for path in (night.published_scores, night.scores)
    )
    assert not np.array_equal(ours, theirs)
    assert steps.accept(night, release)["checks"].keys() >= {*SCORED, "rehearsal", "consistency"}
    assert store.folder(release).accepted


def test_the_next_night_is_compared_with_the_model_that_was_judged(made):
    night = made.night
    (folder,) = (f for f in night.store.releases() if f.manifest().refit is not None)
    release = folder.id
    arguments = steps.score_arguments(night, release)
    assert arguments[arguments.index("--champion-model") + 1] == str(folder.judged)
    # Its first held-out day counts as unseen by the champion, although the refit has seen it.
    assert quality._incomparable(folder, folder.manifest().window.test_days) is None


def test_a_model_that_the_gates_refuse_is_not_refit_and_is_kept_for_the_record(made):
    strict = made.house.pipeline.with_config()
    strict.gates["quality"]["min_auc"] = {"value": 0.999, "level": "fail"}
    night = Night(strict, made.plan)
    before = {folder.id for folder in night.store.releases()}
    with pytest.raises(ReleaseRejected, match="below the floor"):
        steps.gate(night, "quality", triggered_by="ann")
    (new,) = {folder.id for folder in night.store.releases()} - before
    folder = night.folder(new)
    assert folder.verdict()["accepted"] is False
    manifest = folder.manifest()
    assert manifest.refit is None and manifest.triggered_by == "ann"
    assert manifest.model.sha256 == files.sha256_tree(made.run.model)

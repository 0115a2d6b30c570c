"""The tasks of a click-through-rate pipeline up to its candidate."""

import dataclasses
import itertools

import pytest
from nightshift_provider.dags import ctr

from nightshift.commands import Overrides
from nightshift.night import Night
from nightshift.registry import pointer
from nightshift.registry.manifest import RefitStamp
from nightshift.settings import Settings
from testing.releases import HASH, put_release


def test_features_come_before_rows_and_rows_before_their_checks_and_training(parsed):
    upstream = {name: set(task["upstream"]) for name, task in parsed["retrain_jd"]["tasks"].items()}
    order = (
        "load_offline",
        "extract_features",
        "preprocess",
        "data",
        "train",
        "candidate",
        "score",
    )
    for before, after in itertools.pairwise(order):
        assert before in upstream[after], after
    # What serving needs is loaded beside training, once the data was found good.
    assert "data" in upstream["load_online"]
    assert "train" not in upstream["load_online"]
    assert {"load_online", "candidate"} <= upstream["deploy_features"]
    assert {"load_online", "deploy_features"} <= upstream["rehearsal"]


def test_a_refit_comes_after_the_gates_that_judge_and_before_those_that_rehearse(parsed):
    tasks = {name: set(task["upstream"]) for name, task in parsed["refitting"]["tasks"].items()}
    judged = {"data", "quality", "baseline", "recommend"}
    refit = {"refit_preprocess", "refit_train", "candidate"}
    assert judged <= tasks["refit_preprocess"]
    assert not refit & set.union(*(tasks[name] for name in judged))
    # What is rehearsed and replayed is what was refit, and nothing else is switched.
    for name in ("rehearsal", "consistency", "switch"):
        assert {*judged, *refit, "refit_score", "deploy_features"} - {name} <= tasks[name]
    assert tasks["finish"] == set(tasks) - {"finish"}
    assert "champion" in tasks["score"] and "candidate" not in tasks["score"]
    new = ("champion", "refit_preprocess", "refit_train", "refit_score")
    assert all(parsed["refitting"]["tasks"][name]["doc"] for name in new)
    assert "champion" not in parsed["retrain_jd"]["tasks"]


def test_a_pipeline_that_recommends_fits_retrieval_before_its_candidate(parsed):
    assert "recommend_fit" not in parsed["retrain_jd"]["tasks"]
    upstream, listing = (
        {name: task["upstream"] for name, task in parsed[dag]["tasks"].items()}
        for dag in ("retrain_movielens", "listing")
    )
    assert "recommend_fit" in upstream["candidate"]
    assert "data" in upstream["recommend_fit"]
    assert "recommend" in upstream["accept"]
    # A list by SQL is exported of the run's own tables, before retrieval is fitted.
    assert "extract_list" not in upstream
    assert "load_offline" in listing["extract_list"]
    assert "extract_list" in listing["recommend_fit"]


@pytest.fixture
def night(tmp_path):
    settings = Settings(home=tmp_path, installation="test00")
    plan = {"pipeline": "jd", "ds": "2026-11-10", "run_id": "x", "run_dir": str(tmp_path / "run")}
    return Night.of({**plan, "first_day": "2026-10-12", "train_days": 30}, settings)


def test_a_warm_start_begins_from_the_model_that_was_judged(night):
    own = Overrides()
    cold = ctr.command_lines(night, own, {"warm_start": True})
    assert set(cold) == {"preprocess_arguments", "train_arguments"}
    assert "--warm-start" not in cold["train_arguments"]  # nothing is live yet
    folder = put_release(night.store.root, "2026-11-09")
    pointer.switch_live(night.store.root, folder.id, probe=lambda *_: [])
    warm = ctr.command_lines(night, own, {"warm_start": True})["train_arguments"]
    assert warm[warm.index("--warm-start") + 1] == str(folder.model)
    refit = RefitStamp(
        first_day="2026-10-11",
        last_day="2026-11-10",
        rows=100,
        recipe=HASH,
        judged_sha256=HASH,
    )
    folder = put_release(night.store.root, "2026-11-10", refit=refit, champion=None)
    pointer.switch_live(night.store.root, folder.id, probe=lambda *_: [], promote="force")
    warm = ctr.command_lines(night, own, {"warm_start": True})["train_arguments"]
    assert warm[warm.index("--warm-start") + 1] == str(folder.judged)
    assert (
        "--warm-start"
        not in ctr.command_lines(night, own, {"warm_start": False})["train_arguments"]
    )


def test_a_refit_and_retrieval_have_command_lines_of_their_own(night):
    refits = dataclasses.replace(night, plan={**night.plan, "refit": True})
    found = ctr.command_lines(refits, Overrides(), {"warm_start": False})
    assert {f"refit_{name}_arguments" for name in ("preprocess", "train", "score")} < set(found)
    assert str(refits.run.refit_model) in found["refit_train_arguments"]

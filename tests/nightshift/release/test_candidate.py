"""A candidate's verdict, its notes, and what is written of a night without one."""

from __future__ import annotations

import dataclasses
import re

import pytest

import nightshift
from nightshift import files
from nightshift.errors import ContractError
from nightshift.night import Night
from nightshift.registry import pointer
from nightshift.release import candidate
from nightshift.settings import PROJECT, Settings
from testing.releases import put_release

RELEASE = "2026-11-10.001"


@pytest.fixture
def night(tmp_path):
    settings = Settings(project=PROJECT, home=tmp_path / "home", installation="test00")
    plan = {
        "pipeline": "jd",
        "ds": "2026-11-10",
        "run_id": "manual__1",
        "run_dir": str(tmp_path / "run"),
    }
    return Night.of(plan, settings)


def report(night, check, *failures, warnings=()):
    status = "fail" if failures else "warn" if warnings else "pass"
    night.write(
        {"check": check, "status": status, "failures": list(failures), "warnings": list(warnings)}
    )


def events(night, kind):
    return [event for event in night.store.events() if event["event"] == kind]


def test_a_candidate_is_accepted_if_no_report_says_fail(night):
    folder = put_release(night.store.root, night.ds, accepted=None)
    report(night, "data", warnings=["age drifts"])
    report(night, "quality")
    report(night, "begin")
    verdict = candidate.judge(night, folder.id, ["data", "quality"])
    assert verdict["accepted"]
    assert verdict["warnings"] == ["data: age drifts"]
    assert verdict["checks"] == {"data": "warn", "quality": "pass"}
    assert folder.verdict() == verdict
    # All reports of the run are kept with the release.
    assert {path.stem for path in folder.reports.iterdir()} == {"data", "quality", "begin"}
    (event,) = events(night, "accepted")
    assert event["release_id"] == RELEASE


def test_one_report_that_says_fail_rejects_with_its_reasons(night):
    folder = put_release(night.store.root, night.ds, accepted=None)
    report(night, "data")
    report(night, "quality", "AUC 0.5 is below 0.6", "calibration is 9")
    verdict = candidate.judge(night, folder.id, ["data", "quality"])
    assert not verdict["accepted"]
    assert verdict["reasons"] == ["quality: AUC 0.5 is below 0.6", "quality: calibration is 9"]
    assert events(night, "rejected")[0]["reasons"] == verdict["reasons"]


def test_a_check_that_was_left_out_is_no_acceptance(night):
    folder = put_release(night.store.root, night.ds, accepted=None)
    report(night, "data")
    with pytest.raises(ContractError, match="quality.json"):
        candidate.judge(night, folder.id, ["data", "quality"])
    assert folder.verdict() is None


def test_a_night_without_a_candidate_is_written_down_once(night):
    for _ in range(2):  # as a retry does
        verdict = candidate.reject(night, None, ["data: no rows"])
    assert verdict == {"accepted": False, "reasons": ["data: no rows"]}
    (event,) = events(night, "rejected")
    assert (event["release_id"], event["ds"], event["run_id"]) == (None, night.ds, "manual__1")
    candidate.reject(night, None, ["task train: killed"])
    assert len(events(night, "rejected")) == 2


def test_a_candidate_that_nobody_judged_is_rejected_and_a_judged_one_keeps_its_verdict(night):
    fresh = put_release(night.store.root, night.ds, 1, accepted=None)
    assert not candidate.reject(night, fresh.id, ["task score: killed"])["accepted"]
    assert fresh.verdict()["reasons"] == ["task score: killed"]
    judged = put_release(night.store.root, night.ds, 2, accepted=True)
    assert candidate.reject(night, judged.id, ["task switch: killed"])["accepted"]
    assert judged.verdict() == {"accepted": True, "reasons": [], "note": "task switch: killed"}


def test_the_first_note_stays_and_a_rejected_release_needs_none(night):
    accepted = put_release(night.store.root, night.ds, 1)
    candidate.note(accepted, "not approved by ann")
    candidate.note(accepted, "something later")
    assert accepted.verdict()["note"] == "not approved by ann"
    rejected = put_release(night.store.root, night.ds, 2, accepted=False)
    candidate.note(rejected, "not approved by ann")
    assert "note" not in rejected.verdict()
    candidate.note(put_release(night.store.root, night.ds, 3, accepted=None), "nobody judged it")


def test_the_champion_is_what_is_live_when_it_is_pinned(night):
    assert candidate.pin_champion(night)["champion"] is None
    folder = put_release(night.store.root, "2026-11-09")
    pointer.switch_live(night.store.root, folder.id, probe=lambda *_: [])
    assert candidate.pin_champion(night)["champion"] == folder.id


@pytest.mark.parametrize(
    ("card", "figures"),
    [
        ({}, {}),
        (
            {"test": {"auc": 0.75, "logloss": 0.1, "rows": 10, "positives": 2, "curve": [1]}},
            {"auc": 0.75, "logloss": 0.1, "rows": 10.0, "positives": 2.0},
        ),
        ({"test": {"auc": None, "logloss": 0.1}}, {"auc": None, "logloss": 0.1}),
    ],
)
def test_figures_are_those_of_the_held_out_days(card, figures):
    assert candidate.metrics_of(card) == figures


def test_figures_that_are_none_are_refused():
    with pytest.raises(ContractError, match="train again"):
        candidate.metrics_of({"test": [0.75]})


def test_the_code_is_named_by_version_and_commit(tmp_path):
    version = re.escape(nightshift.__version__)
    assert re.fullmatch(rf"{version}(\+[0-9a-f]{{12}}(-dirty)?)?", candidate.code_version(PROJECT))
    assert candidate.code_version(tmp_path) == nightshift.__version__


def test_a_model_of_another_family_is_refused(night):
    model = night.run.model
    files.write_json(
        model / "signature.json",
        {
            "version": 1,
            "family": "tensor",
            "max_batch_size": 0,
            "inputs": [{"name": "A", "dtype": "FP32", "dims": [1]}],
            "outputs": [{"name": "B", "dtype": "FP32", "dims": [1]}],
        },
    )
    with pytest.raises(
        ContractError, match="of the family tensor and pipeline jd is of the family ctr"
    ):
        candidate.create(dataclasses.replace(night))

"""The report of a night: what its files say, and nothing of files that no such night has."""

import json

import pytest

from cli.report import report
from nightshift.layout import RunFolder
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings

DS = "2026-11-19"


@pytest.fixture
def pipeline(tmp_path):
    return Pipeline.load(Settings.from_env({"NIGHTSHIFT_HOME": str(tmp_path)}), "jd")


@pytest.fixture
def folder(pipeline):
    folder = RunFolder.of(pipeline.runs, DS, "by hand")
    split = {"rows": 100, "positives": 7, "days": [{"day": "2026-11-15"}, {"day": "2026-11-16"}]}
    test = {"auc": 0.81524, "logloss": 0.13971, "base_logloss": 0.16194}
    write(folder.dataset / "data_card.json", {"splits": {"test": split}, "fields": ["a", "b"]})
    write(folder.model / "model_card.json", {"test": test})
    write(folder.reports / "candidate.json", {"release_id": f"{DS}.001", "model_version": 1})
    write(folder.reports / "switch.json", {})
    return folder


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def shown(pipeline, capsys):
    report(pipeline, DS, "by hand")
    return capsys.readouterr().out


def test_a_night_without_a_refit_names_figures_and_no_missing_file(pipeline, folder, capsys):
    text = shown(pipeline, capsys)
    assert "is not there" not in text
    assert "test 100 (7 positives)" in text
    assert "held-out days     2026-11-15, 2026-11-16" in text
    assert "AUC on them       0.8152" in text
    assert "log loss on them  0.1397 (constant prediction: 0.1619)" in text
    assert f"release made      {DS}.001 (model version 1)" in text
    assert "served now        nothing" in text
    assert "refit on" not in text


def test_many_held_out_days_are_told_by_the_first_and_the_last(pipeline, folder, capsys):
    card = json.loads((folder.dataset / "data_card.json").read_text())
    card["splits"]["test"]["days"] = [{"day": f"2026-11-{d:02d}"} for d in range(1, 15)]
    write(folder.dataset / "data_card.json", card)
    assert "held-out days     2026-11-01 to 2026-11-14, 14 days" in shown(pipeline, capsys)


def test_a_refit_names_the_days_that_its_release_learned_from(pipeline, folder, capsys):
    learned = {"first_day": "2026-10-18", "last_day": "2026-11-16", "rows": 21600}
    write(folder.refit_model / "model_card.json", {"refit": {"learned": learned}})
    text = shown(pipeline, capsys)
    assert "refit on          2026-10-18 to 2026-11-16, 21600 rows" in text


def test_what_was_not_switched_to_and_what_is_missing_is_said(pipeline, folder, capsys):
    write(folder.reports / "switch.json", {"why": "the live release is newer"})
    (folder.model / "model_card.json").unlink()
    text = shown(pipeline, capsys)
    assert "not switched to   the live release is newer" in text
    assert f"{folder.model / 'model_card.json'} is not there" in text

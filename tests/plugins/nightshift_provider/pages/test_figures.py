"""What pages draw: figures that are kept with releases, whatever became of the files."""

import json

import pytest
from nightshift_provider.pages import figures

from nightshift.registry.history import rows
from nightshift.registry.store import ReleaseStore
from testing.releases import put_release


@pytest.fixture
def folder(tmp_path):
    return put_release(tmp_path, "2016-04-10")


def report(folder, name, text):
    folder.reports.mkdir(exist_ok=True)
    (folder.reports / f"{name}.json").write_text(text)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"x"', "\x00"])
def test_a_report_that_is_broken_is_as_good_as_none(folder, text):
    assert figures.read_report(folder, "quality") == {}
    report(folder, "quality", text)
    assert figures.read_report(folder, "quality") == {}
    assert figures.of_release(folder) == []


def test_a_report_that_is_too_large_is_not_read(folder):
    report(folder, "data", json.dumps({"x": "y" * figures.REPORT_BYTES}))
    assert figures.read_report(folder, "data") == {}


@pytest.mark.parametrize(
    "curves",
    [
        {"roc": "round", "calibration": {"a": 1}, "histogram": [1]},
        {"roc": [{"x": 1}], "calibration": [None], "histogram": {"bins": "many"}},
        "none",
    ],
)
def test_odd_figures_leave_their_chart_out_and_break_no_page(folder, curves):
    report(folder, "quality", json.dumps({"curves": curves}))
    report(folder, "labels", json.dumps({"maturity": [{"day": 1}]}))
    figures.of_release(folder)


def test_label_maturity_is_drawn_from_its_points():
    found = figures.maturity([{"days": 0, "share": 0.4}, {"days": 2, "share": 1.0}])
    assert "<svg" in found
    assert "Label maturity" in found


def test_a_pipeline_is_drawn_although_a_release_lost_its_reports(folder, tmp_path):
    report(folder, "data", json.dumps({"drift": {"<b>": {"psi": 0.5}, "odd": 3, "none": {}}}))
    put_release(tmp_path, "2016-04-11")
    store = ReleaseStore(tmp_path)
    found = "".join(figures.of_pipeline(store, rows(tmp_path), "retrain_jd"))
    assert "2016-04-10" in found
    assert "2016-04-11" in found
    assert "<b>" not in found

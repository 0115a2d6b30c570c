"""The releases in Airflow's own web app: what serves, what was refused and why."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

from nightshift import files
from nightshift.gates import curves
from nightshift.registry import pointer
from nightshift.registry.store import ReleaseStore
from testing.releases import put_release

ALL = "/nightshift/releases"
BASE = f"{ALL}/jd"


@pytest.fixture
def releases(tmp_path, monkeypatch):
    """Three releases: one live, one rejected with markup in its reason, one retired."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path))
    root = tmp_path / "releases" / "jd"
    put_release(root, "2016-04-08", metrics={"auc": 0.5, "logloss": None})
    live = put_release(root, "2016-04-09")
    files.write_json(
        live.reports / "quality.json",
        {
            "status": "warn",
            "failures": [],
            "warnings": ["few <rows>"],
            "rows": 7,
            "slices": {"<b>": {"auc": 0.5}},
            "curves": curves.of(np.arange(40) % 4 == 0, np.linspace(0.01, 0.4, 40)),
        },
    )
    (live.model / "training.html").write_text("<!doctype html><p>epochs</p>")
    pointer.switch_live(root, live.id, probe=lambda folder, manifest: [])
    refused = put_release(root, "2016-04-10", accepted=False)
    files.write_json(
        refused.verdict_path, {"accepted": False, "reasons": ["data: <script>alert(1)</script>"]}
    )
    ReleaseStore(root).log(
        "rejected", release_id=None, ds="2016-04-11", run_id="r", reasons=["data: empty"]
    )
    return root


def rows_of(text: str) -> list[list[str]]:
    cells = [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", row, re.S)]
        for row in re.findall(r"<tr>.*?</tr>", text, re.S)
    ]
    return [row for row in cells if row]


def test_all_are_listed_newest_first_with_state_and_reason(releases, get):
    page = get(BASE)
    assert page.status_code == 200
    rows = rows_of(page.text)
    assert [(row[0], row[1], row[4]) for row in rows] == [
        ("none", "2016-04-11", "rejected"),
        ("2016-04-10.001", "2016-04-10", "rejected"),
        ("2016-04-09.001", "2016-04-09", "live"),
        ("2016-04-08.001", "2016-04-08", "kept"),
    ]
    assert rows[0][5] == "data: empty"
    assert rows[2][2] == "0.7500"
    assert rows[3][3] == "–"
    assert "<script>" not in page.text


def test_one_shows_its_manifest_and_reports(releases, get):
    page = get(f"{BASE}/2016-04-09.001")
    assert page.status_code == 200
    assert "jd_test00 20160409001" in page.text
    assert "few &lt;rows&gt;" in page.text
    assert f"{BASE}/2016-04-09.001/training".endswith(
        re.search(r'href="([^"]+/training)"', page.text)[1]
    )
    training = get(f"{BASE}/2016-04-09.001/training")
    assert "epochs" in training.text
    assert "default-src 'none'" in training.headers["Content-Security-Policy"]


def test_releases_and_reports_are_drawn_and_told_as_text(releases, get):
    listed = get(BASE).text
    assert "AUC on held-out days" in listed
    assert listed.count("<svg") >= 2
    one = get(f"{BASE}/2016-04-09.001").text
    for title in ("ROC curve", "Calibration", "Scores"):
        assert f"<figcaption>{title}</figcaption>" in one
    assert "&lt;b&gt;" in one
    assert '"curves"' not in one
    assert "{&#34;" not in one


def test_what_is_not_there_is_named(releases, get):
    absent = get(f"{BASE}/2016-01-01.001")
    assert absent.status_code == 404
    assert "2016-01-01.001" in absent.text
    no_training = get(f"{BASE}/2016-04-10.001/training")
    assert no_training.status_code == 404
    place = releases / "2016-04-10.001" / "model" / "training.html"
    for make in (os.mkfifo, lambda path: path.symlink_to(releases / "live.json")):
        make(place)
        assert "plain file" in (odd := get(f"{BASE}/2016-04-10.001/training").text) or "link" in odd
        place.unlink()
    assert get(f"{BASE}/..%2F..%2Fetc").status_code == 404


def test_an_empty_house_says_how_to_make_the_first(tmp_path, monkeypatch, get):
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path))
    page = get(BASE)
    assert page.status_code == 200
    assert "retrain" in page.text


def test_the_first_page_lists_the_pipelines(releases, get, web):
    page = get(ALL)
    assert page.status_code == 200
    assert 'href="releases/jd"' in page.text
    assert 'href="releases/jd/2016-04-09.001"' in page.text
    assert web.get(ALL).status_code == 401
    unknown = get(f"{ALL}/nothing")
    assert unknown.status_code == 404
    assert "there is no pipeline" in unknown.text


def test_nobody_reads_them_without_a_login(releases, web):
    for path in ("", "/2016-04-09.001", "/2016-04-09.001/training"):
        assert web.get(BASE + path).status_code == 401


@pytest.mark.parametrize(
    "content",
    ["[1]", "{", "5", '{"failures": 5, "warnings": {"a": 1}}', '{"status": ["x"]}', "[" * 100_000,
     '{"failures": [null, 5, {"a": []}]}', "9" * 5000, "", '{"a": [{"b": 1}, 2, {"c": [[[[[[1]]]]]]}]}'],
)  # fmt: skip
def test_an_odd_report_does_not_keep_the_others_from_being_shown(releases, get, content):
    reports = releases / "2016-04-09.001" / "reports"
    (reports / "odd.json").write_text(content)
    (reports / "labels.json").write_text(content)
    page = get(f"{BASE}/2016-04-09.001")
    assert page.status_code == 200
    assert "few &lt;rows&gt;" in page.text


@pytest.mark.parametrize(
    "odd", [5, {"roc": 5}, {"roc": [[1]]}, {"calibration": [{}], "histogram": {"edges": 5}}]
)
def test_odd_curves_are_left_out(releases, get, odd):
    report = releases / "2016-04-09.001" / "reports" / "quality.json"
    files.write_json(report, {"status": "pass", "curves": odd})
    assert get(f"{BASE}/2016-04-09.001").status_code == 200
    assert get(BASE).status_code == 200

"""What is served, in Airflow's own web app."""

import json

import numpy as np
import pytest

from nightshift.gates import curves
from nightshift.notify import incidents
from nightshift.notify.incidents import Incident
from nightshift.pipeline import Pipeline
from nightshift.registry.pointer import WITHDRAWAL
from nightshift.settings import Settings

ALL = "/nightshift/live"
DAY = {
    "release": "2016-04-09.001", "rows": 100, "judged": 90, "positives": 9, "auc": 0.71,
    "auc_interval": [0.6, 0.8], "expected_auc": 0.72, "logloss": 0.2,
    "logloss_interval": [0.1, 0.3], "calibration_ratio": 1.1, "mean_score": 0.1,
}  # fmt: skip


@pytest.fixture
def report(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path))
    path = tmp_path / "live" / "jd" / "served.json"
    path.parent.mkdir(parents=True)
    value = {
        "at": "2016-04-12T00:00:00Z",
        "days": [{"day": f"2016-04-{day:02d}", **DAY} for day in (10, 11)],
        "releases": [{**DAY, "held_out": 0.75}],
        "slices": [{**DAY, "slice": "<b>brand</b>", "value": "x"}],
        "drift": [{"day": "2016-04-11", "release": "r", "feature": "price", "psi": 0.4}],
        "curves": curves.of(np.arange(40) % 4 == 0, np.linspace(0.01, 0.4, 40)),
        "warnings": ["price <is> constant"],
    }
    path.write_text(json.dumps(value))
    ledger = {
        "from": "2016-04-10", "to": "2016-04-11",
        "releases": [{"release": "2016-04-09.001", "causes": [
            {"cause": "event late", "table": "bo_<action>", "values": 7, "rows": 5,
             "features": {"price": 4, "brand": 3},
             "price": {"auc": {"difference": 0.035, "low": 0.01, "high": 0.06}}},
            {"cause": "snapshot changed", "table": "bo_user", "values": 2, "rows": 2,
             "features": {"brand": 2}, "price": None}]}],
    }  # fmt: skip
    (path.parent / "skew").mkdir()
    (path.parent / "skew" / "2016-04-10_2016-04-11.json").write_text(json.dumps(ledger))
    contest = {
        "new": "2016-04-10.001", "old": "2016-04-09.001", "rows": 812, "positives": 33,
        "auc_lost": 0.0213, "evidence": 41.5, "needed": 100.0, "worse": False,
        "reasons": ["<worse>"], "faults": [], "shared": ["one value: <brand>"],
    }  # fmt: skip
    (path.parent / "contests.json").write_text(
        json.dumps({"now": [contest, {"odd": 1}], "contests": []})
    )
    Pipeline.load(Settings(home=tmp_path)).store.log(
        "switched", release_id="2016-04-08.001", previous="2016-04-09.001", sequence=3,
        reason=f"{WITHDRAWAL}features are <constant>",
    )  # fmt: skip
    incidents.report(
        Settings(home=tmp_path), Incident(key="night:jd:1", title="it <failed>", text="why")
    )
    return path


def test_what_was_served_is_drawn_and_told(report, get, web):
    page = get(f"{ALL}/jd")
    assert page.status_code == 200
    for text in ("Served AUC by day", "Drift of live features", "Calibration of the live release",
                 "0.7500", "price &lt;is&gt; constant", "it &lt;failed&gt;", "&lt;b&gt;brand",
                 "+0.0213", "41.5", "&lt;worse&gt;", "one value: &lt;brand&gt;",
                 "features are &lt;constant&gt;",
                 "event late: bo_&lt;action&gt;", "+0.0350", "Skew: price of each cause"):  # fmt: skip
        assert text in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert 'href="live/jd"' in get(ALL).text
    assert web.get(f"{ALL}/jd").status_code == 401
    assert get(f"{ALL}/nothing").status_code == 404


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"at": 5, "days": [5, {"day": "d"}], "releases": {}, "drift": [{"psi": "x"}]}',
     '{"releases": [{"causes": [{"features": {"a": "x"}, "price": 5}, 5]}]}',
     '{"at": "x", "curves": {"roc": 5}, "warnings": 5, "slices": [{"slice": 1}]}'],
)  # fmt: skip
def test_an_odd_report_is_no_error(report, get, content):
    report.write_text(content)
    (ledger,) = (report.parent / "skew").glob("*.json")
    ledger.write_text(content.replace("days", "releases"))
    assert get(f"{ALL}/jd").status_code == 200


def test_before_anything_was_measured_the_page_says_how(report, get):
    report.unlink()
    assert "monitor_jd" in get(f"{ALL}/jd").text

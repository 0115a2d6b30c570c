"""Skew is told once when it costs more than is allowed, and may come again after it was over."""

import dataclasses
import json

import pytest

from nightshift.live.folders import live_folder
from nightshift.live.skew import alert
from nightshift.notify import incidents
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings


@pytest.fixture
def pipeline(tmp_path):
    return Pipeline.load(Settings(home=tmp_path))


def report(day="2026-03-02", *, low=0.03, rows=10, status="explained", wrong=0):
    price = {"auc": {"difference": low + 0.01, "low": low, "high": low + 0.02}}
    cause = {
        "cause": "event late", "table": "bo_action", "rows": rows, "price": price,
        "late_s": {"p50": 21600.0},
    }  # fmt: skip
    return {
        "from": day, "to": day, "status": status, "compared": 100, "rows_differing": rows,
        "not_reproduced": wrong, "unexplained": 0,
        "releases": [{"release": "2026-03-01.001", "price": price, "causes": [cause]}],
    }  # fmt: skip


def told(pipeline):
    return [record.incident for record in incidents.listed(pipeline.settings)]


def test_a_price_beyond_the_bound_is_told_once_with_its_cause(pipeline):
    assert alert.tell(pipeline, report())
    assert not alert.tell(pipeline, report("2026-03-03"))
    (incident,) = told(pipeline)
    assert (incident.kind, incident.severity, incident.pipeline) == ("skew", "warning", "jd")
    assert "0.0400 AUC below" in incident.text
    assert "event late: bo_action: 10 requests, late by 6.0 hours (median)" in incident.text
    # It is over, and comes again.
    assert not alert.tell(pipeline, report("2026-03-04", low=-0.01))
    assert incidents.listed(pipeline.settings)[0].closed_at is not None
    assert alert.tell(pipeline, report("2026-03-05"))


def test_what_chance_may_explain_and_many_cheap_rows_are_not_told(pipeline):
    assert not alert.tell(pipeline, report(low=0.005, rows=90))
    assert told(pipeline) == []


def test_a_share_of_rows_may_be_bounded_and_a_bug_is_a_failure(pipeline):
    monitor = pipeline.config.monitor.model_copy(update={"max_skew_rows": 0.05})
    strict = dataclasses.replace(
        pipeline, config=pipeline.config.model_copy(update={"monitor": monitor})
    )
    assert alert.tell(strict, report(low=0.0))
    assert "10.0% of 100 requests" in told(strict)[0].text
    alert.tell(pipeline, report(low=0.0))
    assert alert.tell(pipeline, report(low=0.0, status="bug", wrong=2))
    assert {incident.severity for incident in told(pipeline)} == {"failure"}


def test_an_old_day_says_nothing_of_today(pipeline):
    kept = live_folder(pipeline.settings, "jd") / "skew"
    kept.mkdir(parents=True)
    (kept / "2026-03-05_2026-03-05.json").write_text(json.dumps({}))
    assert not alert.tell(pipeline, report("2026-03-02"))
    assert alert.tell(pipeline, report("2026-03-05"))


def test_a_pipeline_that_only_reports_tells_nobody(pipeline):
    monitor = pipeline.config.monitor.model_copy(update={"action": "report"})
    quiet = dataclasses.replace(
        pipeline, config=pipeline.config.model_copy(update={"monitor": monitor})
    )
    assert not alert.tell(quiet, report())

"""What a week's lines say of ledger, monitor and served scores."""

import datetime as dt
import types

import pytest

from laptop.week import report
from laptop.week.feed import LATE_TABLE
from nightshift import files
from nightshift.monitoring import served
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings

LAST = dt.date(2026, 3, 10)


def test_just_the_bad_release_is_to_be_withdrawn():
    why = "withdrawn 2026-03-10T00:00:00Z: its mean score is 0.47"
    assert report.wrongly_judged({f"{LAST}.001": why}, LAST) == []
    (missed,) = report.wrongly_judged({}, LAST)
    assert f"{LAST} was not withdrawn" in missed
    both = report.wrongly_judged({f"{LAST}.001": why, "2026-03-09.001": why}, LAST)
    assert both == [f"2026-03-09.001 was {why}, without a fault"]


def test_the_fault_is_named_only_by_hours_of_that_table():
    cause = {"cause": "event late", "table": LATE_TABLE, "rows": 1, "late_s": {"p50": 21_600}}
    assert report.names_the_fault({"releases": [{"causes": [cause]}]})
    for change in ({"table": "bo_comment"}, {"late_s": {"p50": 600}}, {"cause": "code"}):
        assert not report.names_the_fault({"releases": [{"causes": [{**cause, **change}]}]})


def test_a_usual_day_that_was_served_worse_is_a_failure():
    def found(low):
        auc = {"difference": low + 0.01, "low": low, "high": low + 0.02}
        return {"releases": [{"release": "r", "price": {"auc": auc}}]}

    assert report.served_differs(found(-0.01)) == ""
    assert "r was served" in report.served_differs(found(0.02))
    assert report.served_differs({"releases": [{"release": "r", "price": {"why": "gone"}}]}) == ""


def cause(rows, **changes):
    return {"cause": "event late", "table": LATE_TABLE, "rows": rows, **changes}


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (cause(7), f"event late: {LATE_TABLE}, 7 requests"),
        (cause(7, table=None, cause="code"), "code, 7 requests"),
        (cause(7, late_s={"p50": 21_600}), "late by 6.0 hours in the median"),
        (cause(7, late_s={"p50": 600}), "late by 10 minutes in the median"),
        (cause(7, late_s={"p50": 20}), "late by 20 s in the median"),
        (
            cause(7, price={"auc": {"difference": 0.03, "low": 0.01, "high": 0.05}}),
            "; costs +0.0300 AUC [+0.0100, +0.0500]",
        ),
        (
            cause(7, price={"auc": {"difference": 0.03, "low": -0.01, "high": 0.05}}),
            "; no certain price: +0.0300 AUC [-0.0100, +0.0500]",
        ),
        (cause(7, price={"why": "one class"}), "7 requests"),
    ],
)
def test_a_cause_with_its_delay_and_what_it_costs(one, text):
    (line,) = report.causes({"releases": [{"causes": [one]}]})
    assert line.endswith(text)


def test_the_largest_causes_of_all_releases_come_first():
    found = {"releases": [{"causes": [cause(1), cause(9)]}, {"causes": [cause(5), cause(2)]}]}
    assert [line.split(", ")[1] for line in report.causes(found)] == [
        "9 requests", "5 requests", "2 requests",
    ]  # fmt: skip


def test_served_beside_training_or_why_not():
    auc = {"auc": 0.7, "auc_interval": [0.6, 0.8]}
    price = {"rows": 300, "positives": 9, "served": auc, "training": {"auc": None}}
    found = {"releases": [{"release": "a", "price": {"why": "the model is gone"}},
                          {"release": "b", "price": price}]}  # fmt: skip
    first, second = report.served_against_training(found)
    assert first == "release a: no price, the model is gone"
    assert second == (
        "release b: 300 labelled requests, 9 positives: served AUC 0.7000 [0.60, 0.80], "
        "by training's features -"
    )


@pytest.fixture
def made(tmp_path):
    """A run of which one day was measured."""
    pipeline = Pipeline.load(Settings(home=tmp_path))
    day = {"day": "2026-03-09", "release": "2026-03-08.001", "rows": 500, "auc": 0.7,
           "auc_interval": [0.61, 0.79], "expected_auc": None}  # fmt: skip
    release = {"release": "2026-03-08.001", "judged": 400, "auc": 0.7, "auc_interval": None,
               "held_out": 0.75, "held_out_interval": [0.7, 0.8]}  # fmt: skip
    files.write_json(
        served.report_path(pipeline),
        {"days": [day], "releases": [release, {**release, "judged": 0}], "warnings": ["odd"]},
    )
    return types.SimpleNamespace(
        pipeline=pipeline, reports={LAST - dt.timedelta(days=1): {"rows_differing": 12}},
        withdrawn={f"{LAST}.001": f"withdrawn now: {LAST}.001: its mean is 0.47"},
        rejected=[LAST],
    )  # fmt: skip


def test_a_week_as_a_table(made):
    said = report.as_text(made)
    (row,) = [line for line in said.splitlines() if line.startswith("2026-03-09")]
    assert row.split() == ["2026-03-09", "2026-03-08.001", "500", "0.7000", "[0.61,", "0.79]",
                           "-", "12"]  # fmt: skip
    assert said.count("held-out AUC 0.7500 [0.70, 0.80], served 0.7000 (400 requests") == 1
    assert "  warning: odd" in said
    # The release's name stands once.
    assert f"  {LAST}.001 withdrawn now: its mean is 0.47" in said
    assert f"rejected by their gates: {LAST}" in said


def test_a_week_of_which_nothing_was_measured_is_a_table_without_rows(made):
    served.report_path(made.pipeline).unlink()
    assert report.as_text(made).startswith("The week\nday")

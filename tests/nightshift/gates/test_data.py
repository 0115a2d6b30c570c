import pytest

from nightshift.errors import ReleaseRejected
from nightshift.features.specification import FeatureSpec
from nightshift.gates import data as drift
from nightshift.gates.base import demand, load_gates
from nightshift.settings import PROJECT
from testing.profiles import profile

GATES = load_gates(PROJECT / "pipelines" / "jd" / "gates.yaml")["data"]
SPEC = FeatureSpec.load(PROJECT / "pipelines" / "jd" / "feature_spec.yaml")


def card(**changes):
    feature = {"kind": "categorical", **profile({"a": 700, "b": 300})}
    features = {
        f.name: {
            **feature,
            "type": f.type,
            "decimals": f.decimals,
            "recent": profile({"a": 70, "b": 30}),
        }
        for f in SPEC.fields
    }
    days = [{"day": f"2016-04-{d:02d}", "rows": 100, "positives": 2} for d in range(1, 11)]
    value = {
        "schema_hash": SPEC.schema_hash,
        "columns": {n: t or "string" for n, t in SPEC.expected_types.items()},
        "rows": {"read": 1000},
        "splits": {"train": {"rows": 1000, "positives": 20, "days": days}},
        "features": features,
    }
    return {**value, **changes}


def test_whole_and_steady_data_passes():
    report = drift.judge(card(), SPEC, GATES, champion_card=card(), champion_id="a")
    assert report["status"] == "pass"
    assert report["drift"]["user_age"]["psi"] == pytest.approx(0)


def test_drifted_feature_is_rejected_by_name():
    drifted = card()
    drifted["features"]["user_age"]["recent"] = profile({"a": 5, "c": 95})
    report = drift.judge(drifted, SPEC, GATES, champion_card=card(), champion_id="2016-04-10.001")
    with pytest.raises(ReleaseRejected, match=r"user_age has drifted.*2016-04-10\.001"):
        demand(report)


def test_what_the_days_of_training_differ_by_is_no_news():
    champion, drifted = card(), card(newer_days=4)
    drifted["features"]["user_age"]["recent"] = profile({"a": 5, "c": 95})
    first = drift.judge(drifted, SPEC, GATES, champion_card=champion, champion_id="a")
    index = first["drift"]["user_age"]["psi"]
    assert "user_age" in first["failures"][0]
    usual = [{"days": 1, "stretches": 20, "psi": 50.0}, {"days": 4, "stretches": 17, "psi": index}]
    champion["features"]["user_age"]["usual"] = usual
    report = drift.judge(drifted, SPEC, GATES, champion_card=champion, champion_id="a")
    assert (report["status"], report["failures"], report["warnings"]) == ("pass", [], [])
    # By less than the threshold above it: still news, and the message says what was allowed.
    usual[1]["psi"] = 1.0
    report = drift.judge(drifted, SPEC, GATES, champion_card=champion, champion_id="a")
    assert "user_age has drifted" in report["failures"][0]
    assert "data.drift.except" in report["failures"][0]
    assert "and 1.000 by which stretches of 4 days of that data differ" in report["failures"][0]


def test_a_champion_that_did_not_measure_its_days_is_judged_by_tonights():
    """A release of an earlier version has none in its card."""
    drifted = card(newer_days=4)
    feature = drifted["features"]["user_age"]
    feature["recent"] = profile({"a": 5, "c": 95})
    asked = {"champion_card": card(), "champion_id": "2016-04-10.001"}
    assert drift.judge(drifted, SPEC, GATES, **asked)["status"] == "fail"
    feature["usual"] = [{"days": 4, "stretches": 17, "psi": 50.0}]
    assert drift.judge(drifted, SPEC, GATES, **asked)["status"] == "pass"


def test_ids_are_measured_and_not_judged():
    drifted = card()
    drifted["features"]["user_id"]["recent"] = profile({"x": 100})
    report = drift.judge(drifted, SPEC, GATES, champion_card=card(), champion_id="a")
    assert report["status"] == "pass"
    assert report["drift"]["user_id"]["psi"] > 1


def test_a_feature_of_ever_new_values_needs_no_exception():
    champion, tonight = card(), card()
    champion["features"]["user_age"].update(profile({f"a{n}": 1 for n in range(3000)}))
    tonight["features"]["user_age"]["recent"] = profile({f"b{n}": 1 for n in range(300)})
    report = drift.judge(tonight, SPEC, GATES, champion_card=champion, champion_id="a")
    assert report["drift"]["user_age"]["judged"] is False


def weekdays(by_day):
    """A feature's training profile from counts by day of the week."""
    total = {}
    for counts in by_day:
        for value, count in counts.items():
            total[value] = total.get(value, 0) + count
    rows = [sum(counts.values()) for counts in by_day]
    empty = {"rows": 0, "distinct": 0, "null_share": 0.0, "bins": {}, "other_share": 0.0}
    parts = [profile(counts) if counts else empty for counts in by_day]
    return {**profile(total), "weekday_rows": rows, "weekdays": parts}


def drift_of(expected, recent, rows):
    champion, tonight = card(), card()
    champion["features"]["request_dayofweek"].update(expected)
    tonight["features"]["request_dayofweek"]["recent"] = {**profile(recent), "weekday_rows": rows}
    report = drift.judge(tonight, SPEC, GATES, champion_card=champion, champion_id="a")
    return report["drift"]["request_dayofweek"]["psi"], report["failures"]


def test_a_weekday_is_compared_with_the_same_weekdays():
    month = weekdays([{str(day): 100} for day in range(7)])
    psi, failures = drift_of(month, {"5": 90, "6": 110}, [0, 0, 0, 0, 0, 90, 110])
    assert psi == pytest.approx(0.0, abs=1e-9)
    assert failures == []


def test_a_weekday_column_that_changed_its_meaning_still_drifts():
    month = weekdays([{str(day): 100} for day in range(7)])
    psi, failures = drift_of(month, {"6": 100, "0": 100}, [0, 0, 0, 0, 0, 100, 100])
    assert psi > 2
    assert "request_dayofweek has drifted" in failures[0]


def test_a_day_of_the_week_that_training_lacks_is_compared_with_all():
    some = weekdays([{"a": 50, "b": 50}, *[{}] * 6])
    assert drift_of(some, {"a": 50, "b": 50}, [0, 100, 0, 0, 0, 0, 0])[0] == pytest.approx(0.0)


def day(n, **changes):
    value = {"day": f"2016-04-{n:02d}", "rows": 1000, "labelled": 1000, "positives": 20}
    return {**value, "settled": True, "nulls": {}, **changes}


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"labelled": 0, "positives": 0}, "fail", "2016-04-05: none of 1000 rows has a label"),
        ({"labelled": 400}, "warn", "2016-04-05: 600 of 1000 rows have no label"),
        ({"positives": 0}, "warn", "no positive among 1000 rows, where about"),
        ({"nulls": {"user_age": 700}}, "warn", "user_age is NULL in 70.0% of the rows"),
        ({"not_finite": {"user_age": 3}}, "warn", "3 of 1000 values of user_age are NaN"),
        ({"labelled": 0, "positives": 0, "settled": False}, "pass", ""),
    ],
)
def test_what_one_day_shows_is_told(changes, status, message):
    days = [day(n) for n in range(1, 11)]
    days[4] = day(5, **changes)
    report = drift.judge(card(days=days), SPEC, GATES)
    assert report["status"] == status
    assert message in "".join(report["failures"] + report["warnings"])
    assert report["days"] == days
    if message:
        name = {"fail": "no_labels", "warn": None}[status]
        if name:
            quiet = {**GATES, "days": {name: "off"}}
            assert drift.judge(card(days=days), SPEC, quiet)["status"] == "pass"


def test_where_a_missing_label_means_no_a_small_day_may_have_none():
    days = [day(n, rows=20, labelled=1, positives=1) for n in range(1, 11)]
    days[4] = day(5, rows=20, labelled=0, positives=0)
    assert drift.judge(card(days=days, label_absent=0), SPEC, GATES)["status"] == "pass"
    many = [day(n, rows=900, labelled=30, positives=30) for n in range(1, 11)]
    many[4] = day(5, rows=900, labelled=0, positives=0)
    report = drift.judge(card(days=many, label_absent=0), SPEC, GATES)
    assert "none of 900 rows has a label" in report["failures"][0]


def test_counts_nulls_and_labels_are_bounded():
    few = card(rows={"read": 3})
    assert "3 feature rows" in drift.judge(few, SPEC, GATES)["failures"][0]
    unlabelled = card()
    unlabelled["splits"]["train"]["positives"] = 0
    assert "0 of 1000 judged rows" in drift.judge(unlabelled, SPEC, GATES)["failures"][0]
    empty = card()
    empty["features"]["user_sex"]["recent"] = profile({"a": 10}, nulls=90)
    assert (
        "user_sex is NULL in 90.0% of the newest" in drift.judge(empty, SPEC, GATES)["warnings"][0]
    )
    short = card()
    short["splits"]["train"]["days"][3]["rows"] = 2
    assert "2016-04-04 has 2 rows" in drift.judge(short, SPEC, GATES)["warnings"][0]


def test_schema_of_another_specification():
    other = card(columns={**card()["columns"], "user_age": "int32"})
    assert "user_age" in drift.judge(other, SPEC, GATES)["failures"][0]
    report = drift.judge(card(schema_hash="0" * 64), SPEC, GATES)
    assert "another specification" in report["failures"][0]


def test_missing_partitions_are_told():
    report = drift.judge(card(), SPEC, GATES, missing={"bo_action": ["2016-04-03"]})
    assert report["warnings"] == ["partitions of bo_action are missing: 2016-04-03"]

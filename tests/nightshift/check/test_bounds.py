"""Thresholds that nothing passes are told before a night finds out."""

import datetime as dt
import json

import pyarrow as pa
import pytest

from nightshift.check import bounds, check_pipeline
from nightshift.check.doubts import requests_by_day
from nightshift.check.labels import Positives
from nightshift.config.gates import GatesConfig
from nightshift.config.reading import parse
from nightshift.pipeline import Pipeline
from tests.nightshift.check.conftest import GATES, lay, plant

RUNS = ("data", "quality", "rehearsal", "consistency", "recommend")


def gates(**parts):
    found, problems = parse(GatesConfig, parts, source="gates.yaml")
    assert problems == []
    return found


PERFECT = [
    ({"quality": {"min_auc": {"value": 1.0, "level": "fail"}}}, "quality.min_auc"),
    ({"quality": {"min_auc": {"value": 0.3, "level": "fail"}}}, "quality.min_auc"),
    ({"quality": {"max_logloss_ratio": {"value": 0.01, "level": "fail"}}},
     "quality.max_logloss_ratio"),
    ({"quality": {"max_calibration_error": {"value": 0, "level": "fail"}}},
     "quality.max_calibration_error"),
    ({"quality": {"calibration_ratio": {"min": 1.2}}}, "quality.calibration_ratio"),
    ({"quality": {"calibration_ratio": {"max": 0.9}}}, "quality.calibration_ratio"),
    ({"rehearsal": {"latency": {"max_ratio": 0.5}}}, "rehearsal.latency.max_ratio"),
    ({"recommend": {"min_recall": {"value": 1.0, "level": "fail"}}}, "recommend.min_recall"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "key"), PERFECT)
def test_what_only_a_perfect_model_passes_is_told_where_the_gate_runs(parts, key):
    (found,) = bounds.perfect(gates(**parts), RUNS)
    assert found.key == key
    assert found.why
    assert found.fix
    assert list(bounds.perfect(gates(**parts), ("data",))) == []


def test_the_defaults_ask_for_nothing_perfect():
    assert list(bounds.perfect(gates(), RUNS)) == []


@pytest.mark.parametrize(
    ("least", "most", "key"),
    [
        (0.01, 0.5, None),
        (0.105, 0.5, None),  # within what counting roughly may miss
        (0.2, 0.5, "data.positives.min_share"),
        (0.01, 0.095, None),
        (0.01, 0.05, "data.positives.max_share"),
    ],
)
def test_a_share_that_the_newest_days_are_far_from(least, most, key):
    asked = gates(data={"positives": {"min_share": least, "max_share": most, "level": "fail"}})
    found = list(bounds.share_of_positives(asked, Positives(1000, 100, 7)))
    assert [one.key for one in found] == ([key] if key else [])
    assert all("100 of 1000" in one.why and "would not pass" in one.why for one in found)
    assert list(bounds.share_of_positives(asked, Positives(0, 0, 7))) == []


@pytest.fixture
def pipeline(settings):
    """Eight days of 10 requests, but for one of 4 and one of 40; half of the users are NULL."""
    for day in range(1, 9):
        count = {3: 4, 5: 40}.get(day, 10)
        at = [dt.datetime(2026, 3, day, 4)] * count
        users = pa.array(["u", None] * (count // 2), pa.string())
        lay(settings, "flattenRequest", {"at": at, "user_id": users}, f"2026-03-{day:02}")
    return Pipeline.load(settings, "shop")


@pytest.mark.parametrize(
    ("parts", "keys"),
    [
        ({"min_share": 0.3, "max_share": 5.0, "level": "fail"}, []),
        ({"min_share": 0.5, "max_share": 5.0, "level": "fail"}, ["data.day_rows.min_share"]),
        ({"min_share": 0.3, "max_share": 3.0, "level": "fail"}, ["data.day_rows.max_share"]),
        ({"min_share": 0.5, "max_share": 3.0, "level": "warn"}, []),  # single days may be odd
    ],
)
def test_days_beyond_the_bounds_of_their_rows(pipeline, parts, keys):
    found = list(bounds.days_of_rows(gates(data={"day_rows": parts}), requests_by_day(pipeline)))
    assert [one.key for one in found] == keys
    for one in found:
        assert ("2026-03-03 with 4" in one.why) == one.key.endswith("min_share")
        assert ("2026-03-05 with 40" in one.why) == one.key.endswith("max_share")


def test_nulls_of_columns_of_requests_are_counted_from_the_footers(pipeline):
    from nightshift.features.reach import Output

    outputs = [Output("user_id", ("flattenRequest", "user_id"), frozenset({"flattenRequest"}))]
    requests = requests_by_day(pipeline)

    def found(**parts):
        return [
            (one.key, "52 of 104" in one.why)
            for one in bounds.nulls(pipeline, gates(data={"nulls": parts}), outputs, requests)
        ]

    assert found(max_share=0.5) == []
    assert found(max_share=0.4) == [("data.nulls.max_share", True)]
    assert found(max_share=0.4, **{"except": {"user_id": 0.6}}) == []
    assert found(**{"except": {"user_id": 0.1}}) == [("data.nulls.except.user_id", True)]


def test_more_requests_are_to_be_compared_than_there_are():
    def asked(value):
        return gates(consistency={"sample": 500, "min_compared": {"value": value, "level": "fail"}})

    assert list(bounds.too_few_compared(asked(104), 104)) == []
    (found,) = bounds.too_few_compared(asked(105), 104)
    assert "104 requests" in found.why


def release(pipeline, name, auc, share, accepted=True):
    """What is read of a release folder."""
    folder = pipeline.releases / name
    (folder / "reports").mkdir(parents=True)
    spec = pipeline.features.spec
    card = {
        "schema_hash": spec.schema_hash,
        "rows": {"read": 4000},
        "splits": {"train": {"rows": 1000, "positives": int(1000 * share), "days": []}},
        "features": {},
    }
    figures = {
        "auc": auc, "logloss": 0.1, "logloss_ratio": 0.8, "positives": 9, "rows": 99,
        "calibration_ratio": 1.0, "calibration_error": 0.01,
    }  # fmt: skip
    (folder / "manifest.json").write_text("{}")
    (folder / "data_card.json").write_text(json.dumps(card))
    (folder / "reports" / "quality.json").write_text(json.dumps({"challenger": figures}))
    (folder / "verdict.json").write_text(json.dumps({"accepted": accepted}))


def test_what_the_newest_accepted_release_would_not_pass(settings):
    pipeline = Pipeline.load(settings, "shop")
    release(pipeline, "2026-03-01.001", 0.81, 0.025)
    release(pipeline, "2026-03-02.001", 0.95, 0.5, accepted=False)

    def told():
        return [one for one in check_pipeline(settings, "shop") if "2026-03-01.001" in one.message]

    assert told() == []
    plant(settings, GATES, r"min_auc: .*", "min_auc: {value: 0.85, level: fail}")
    plant(settings, GATES, r"min_share: 0.0005", "min_share: 0.1")
    assert {(one.key, one.level) for one in told()} == {
        ("quality.min_auc", "warning"), ("data.positives", "warning"),
    }  # fmt: skip
    # A release whose files are damaged says nothing
    (pipeline.releases / "2026-03-01.001" / "data_card.json").write_text("[")
    assert told() == []

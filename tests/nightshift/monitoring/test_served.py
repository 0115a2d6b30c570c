"""Served quality from a request log and labels whose truth is known."""

import datetime as dt
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import files
from nightshift.features.encoding import NULL_TEXT
from nightshift.features.values import FieldValues
from nightshift.gates.measures import auc
from nightshift.live.log import FIXED, RequestLog, arrow_type
from nightshift.monitoring import act, served
from nightshift.notify import incidents
from nightshift.pipeline import Pipeline
from nightshift.registry import pointer
from nightshift.settings import Settings
from testing.releases import put_release

ROOT = Path(__file__).resolve().parents[3]
NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.timezone.utc)
DAYS = [dt.date(2026, 11, day) for day in range(11, 21)]


def logged(pipeline, release, day, rng, n=300, role="live", brand=None):
    """A day's rows with calibrated scores, and the labels that will come of them."""
    truth = 1 / (1 + np.exp(-(rng.normal(size=n) * 1.2 - 2.5)))
    labels = rng.random(n) < truth
    at = dt.datetime.combine(day, dt.time(6), tzinfo=dt.timezone.utc)
    times = [at + dt.timedelta(seconds=n) for n in range(n)]
    ids = [f"{release}-{day}-{role}-{k}" for k in range(n)]
    columns = {
        "receipt": ids, "row": [0] * n, "at": times, "began": times, "operation": ["predict"] * n,
        "role": [role] * n, "release": [release] * n, "request_id": ids, "score": truth,
    }  # fmt: skip
    table = pa.table(
        {f.name: pa.array(columns[f.name] if f.name in columns else [None] * n, f.type)
         for f in FIXED}
    )  # fmt: skip
    millis = [int(t.timestamp() * 1000) for t in times]
    table = table.append_column("request.eventTime", pa.array(millis, pa.int64()))
    for one in pipeline.features.spec.fields:
        values = rng.integers(0, 5, n).astype(str) if brand is None else np.full(n, brand)
        text = one.type == "string"
        array = pa.array(values if text else rng.integers(0, 5, n).astype(float))
        table = table.append_column(f"feature.{one.name}", array if text else array.cast(
            pa.int64() if one.type.startswith("int") else pa.float64()))  # fmt: skip
    folder = RequestLog.of(pipeline).folder / f"hour={day}T06"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"{release}-{role}.parquet")
    return ids, labels, truth


@pytest.fixture
def pipeline(tmp_path):
    shutil.copytree(ROOT / "pipelines" / "jd", tmp_path / "pipelines" / "jd")
    shutil.copytree(ROOT / "include", tmp_path / "include")
    found = Pipeline.load(
        Settings(home=tmp_path, pipelines=tmp_path / "pipelines", project=tmp_path)
    )
    live = put_release(found.releases, "2026-11-10", metrics={"auc": 0.78})
    pointer.switch_live(found.releases, live.id, probe=lambda *_: [])
    return found


def put_labels(pipeline, day, ids, labels):
    folder = pipeline.data / "action" / f"ds={day}"
    folder.mkdir(parents=True, exist_ok=True)
    at = pa.array([dt.datetime.combine(day, dt.time(7))] * len(ids), pa.timestamp("us"))
    columns = {"reqId": ids, "eventTime": at, "ingestionTime": at}
    value = pa.array(labels.astype(np.int32))
    pq.write_table(pa.table({**columns, "actionValue": value}), folder / "part.parquet")


@pytest.fixture
def week(pipeline):
    rng = np.random.default_rng(5)
    kept = []
    for day in DAYS:
        ids, labels, scores = logged(pipeline, "2026-11-10.001", day, rng)
        put_labels(pipeline, day, ids, labels)
        kept.append((day, labels, scores))
    logged(pipeline, "2026-11-09.001", DAYS[-2], rng, role="shadow")
    return kept


def test_figures_are_those_of_the_scores_that_were_served(pipeline, week):
    value = served.measure(pipeline, until=NOW)
    assert value["rows"] == 3000  # no shadow
    by_day = {one["day"]: one for one in value["days"]}
    for day, labels, scores in week:
        one = by_day[day.isoformat()]
        if day > dt.date(2026, 11, 17):  # younger than the three days that a label needs
            assert (one["judged"], one["auc"]) == (0, None)
        else:
            assert one["positives"] == labels.sum()
            assert one["auc"] == pytest.approx(auc(labels, scores), abs=1e-3)
    (whole,) = value["releases"]
    low, high = whole["auc_interval"]
    assert low <= whole["expected_auc"] <= high
    assert 0.8 <= whole["calibration_ratio"] <= 1.25
    assert value["curves"]["roc"]
    assert files.read_json(served.report_path(pipeline)) == value


def test_the_held_out_auc_has_the_interval_of_the_quality_report(pipeline, week):
    (bare,) = served.measure(pipeline, until=NOW)["releases"]
    assert (bare["held_out"], bare["held_out_interval"]) == (0.78, None)
    reports = pipeline.store.folder("2026-11-10.001").reports
    intervals = {"auc": [0.7, 0.85], "logloss": None}
    files.write_json(reports / "quality.json", {"curves": {"intervals": intervals}})
    (whole,) = served.measure(pipeline, until=NOW)["releases"]
    assert whole["held_out_interval"] == [0.7, 0.85]


def test_the_expected_auc_of_calibrated_scores_is_what_comes():
    rng = np.random.default_rng(1)
    scores = rng.beta(0.5, 8, 200_000)
    assert served.expected_auc(scores) == pytest.approx(
        auc(rng.random(len(scores)) < scores, scores), abs=0.005
    )
    assert served.expected_auc(np.full(10, 0.3)) == pytest.approx(0.5)
    assert served.expected_auc(np.empty(0)) is None


def test_the_expected_auc_by_hand():
    # Pairs (positive, negative): .8 over .2: .8*.8 = .64 right, .2*.2 = .04 wrong.
    assert served.expected_auc(np.array([0.2, 0.8])) == pytest.approx(0.64 / 0.68)


def test_a_release_that_serves_worse_than_it_was_judged_is_told_once(pipeline):
    rng = np.random.default_rng(6)
    for day in DAYS:
        ids, _, scores = logged(pipeline, "2026-11-10.001", day, rng)
        put_labels(pipeline, day, ids, rng.random(len(ids)) < scores.mean())  # by chance
    for _ in range(2):
        value = act.monitor(pipeline, run_id="r", until=NOW)
    assert "2026-11-10.001 serves with AUC 0." in value["warnings"][0]
    assert value["action"] == "told"
    (told,) = incidents.listed(pipeline.settings)
    assert (told.incident.kind, told.closed_at) == ("quality", None)
    # The next release has nothing to do with it.
    put_release(pipeline.releases, "2026-11-19", metrics={"auc": 0.78})
    pointer.switch_live(pipeline.releases, "2026-11-19.001", probe=lambda *_: [])
    assert act.monitor(pipeline, run_id="r", until=NOW)["warnings"] == []
    (told,) = incidents.listed(pipeline.settings)
    assert told.closed_at is not None


def test_constant_features_are_named_and_withdraw_the_release(pipeline, week, monkeypatch):
    rng = np.random.default_rng(7)
    card = {
        name: {"rows": 1000, "distinct": 5, "null_share": 0.0, "other_share": 0.0,
               "bins": {str(k): 0.2 for k in range(5)}}
        for name in (f.name for f in pipeline.features.spec.fields)
    }  # fmt: skip
    folder = pipeline.store.folder("2026-11-10.001")
    files.write_json(folder.data_card, {"features": card})
    assert served.measure(pipeline, until=NOW)["constant"] == []
    logged(pipeline, "2026-11-10.001", dt.date(2026, 11, 21), rng, n=600, brand="0")
    later = NOW + dt.timedelta(days=1)
    asked = []

    def back(release, of, **more):
        asked.append((release, more["reason"]))
        return {"live": "2026-11-09.001"}

    monkeypatch.setattr(act, "roll_back", back)
    monkeypatch.setattr(act, "retire_rolled_back", lambda of: {})
    told = act.monitor(pipeline, run_id="r", until=later)
    assert told["action"] == "told"
    assert asked == []
    strict = pipeline.with_config(
        monitor=pipeline.config.monitor.model_copy(update={"action": "withdraw"})
    )
    value = act.monitor(strict, run_id="r", until=later)
    assert value["action"] == "withdrawn"
    assert "sku_id" in value["constant"]
    ((release, reason),) = asked
    assert release is None
    assert reason.startswith("withdrawal: features of 2026-11-10.001 have one value")


def test_what_moments_have_in_common_counts_as_always_the_same(pipeline):
    def part(share, rows=700):
        return {"rows": rows, "null_share": 0.0, "bins": {"1": share, "2": 1.0 - share}}

    week = [part(1.0, 100)] * 7
    card = {
        "request_dayofweek": part(0.2),
        "user_sex": part(0.6),
        "on_sale": {**part(0.5), "weekdays": week},
        "seldom": {**part(0.5), "weekdays": [part(1.0, 3), *[part(0.5, 100)] * 6]},
    }
    folder = pipeline.store.folder("2026-11-10.001")
    files.write_json(folder.data_card, {"features": card})
    assert served.shares_of(pipeline, "2026-11-10.001")[0]["request_dayofweek"] == 0.8
    folder.sql.write_text(pipeline.features.sql.read_text())
    assert served.shares_of(pipeline, "2026-11-10.001")[0] == {
        "request_dayofweek": 1.0,  # of one moment there is one
        "user_sex": 0.6,
        "on_sale": 1.0,  # of a weekday there is one
        "seldom": 0.5,
    }


def test_drift_of_live_features_is_measured_against_training(pipeline, week):
    even = {"rows": 4000, "distinct": 5, "null_share": 0.0, "other_share": 0.0,
            "bins": {str(k): 0.2 for k in range(5)}}  # fmt: skip
    other = {**even, "bins": {"0": 0.96, **{str(k): 0.01 for k in range(1, 5)}}}
    folder = pipeline.store.folder("2026-11-10.001")
    files.write_json(folder.data_card, {"features": {"sku_id": even, "user_id": other}})
    drift = served.measure(pipeline, until=NOW)["drift"]
    assert {one["day"] for one in drift} == {day.isoformat() for day in DAYS}
    assert all((one["psi"] > 0.5) == (one["feature"] == "user_id") for one in drift)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("bool", True, b"true"),
        ("int16", 7, b"7"),
        ("int32", 7, b"7"),
        ("int64", 7, b"7"),
        ("float", 0.1, b"0.1"),
        ("double", 0.25, b"0.25"),
        ("string", "a", b"a"),
        ("date", "2026-01-02", b"2026-01-02"),
        ("timestamp", 1767312000000, b"1767312000000"),
    ],
)
def test_a_logged_value_is_counted_as_training_counts_it(pipeline, kind, value, text):
    one = replace(pipeline.features.spec.fields[0], type=kind, decimals=2)
    values = FieldValues(one)
    places = served._places(pa.chunked_array([pa.array([value, None], arrow_type(kind))]), values)
    assert values.texts(places) == [text, NULL_TEXT]


def test_a_hidden_column_is_left_out(pipeline):
    one = replace(pipeline.features.spec.fields[0], type="float")
    assert served._places(pa.chunked_array([pa.array(["hash:00"])]), FieldValues(one)) is None


def test_an_empty_log_is_no_error(pipeline):
    value = served.measure(pipeline, until=NOW)
    assert (value["rows"], value["days"], value["status"]) == (0, [], "pass")

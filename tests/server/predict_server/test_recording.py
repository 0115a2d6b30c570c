"""The request log's worker end, and the log of a running server."""

import os
import signal
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from predict_server import recording
from predict_server.metrics import Metrics
from predict_server.recording import Recorder

from nightshift.config.live import LogConfig
from nightshift.live.compact import compact
from nightshift.live.log import RequestLog
from testing.serving import wait_until
from tests.server.predict_server.conftest import launch, own_settings, row

POINTER = SimpleNamespace(release_id="r1", deployment="d", model="m", model_version=1)
REQUEST = (("reqId", "string"), ("user", "string"))
FEATURES = (("request_id", "string"), ("user", "string"), ("count", "bigint"))


def recorder(tmp_path, metrics=None, **config):
    return Recorder(tmp_path, LogConfig(**config), (metrics or Metrics()).of("ads"))


def note(made, number=0, subject=None, **options):
    subject = subject or made.subject(POINTER, REQUEST, FEATURES, 0)
    rows, features = [[f"q{number}", "ann"]], [[f"q{number}", "ann", number]]
    return made.note(
        subject, "predict", 0.0, rows, features, np.array([0.5], np.float32), **options
    )


def dropped(metrics, reason):
    return metrics.registry.get_sample_value(
        "nightshift_predict_log_dropped_rows_total", {"pipeline": "ads", "reason": reason}
    )


def test_what_was_answered_is_in_the_log_under_its_receipt(tmp_path):
    made = recorder(tmp_path)
    receipts = [note(made, number) for number in range(3)]
    made.close()
    log = RequestLog(tmp_path / "requests")
    assert log.read()["receipt"].to_pylist() == [one["id"] for one in receipts]
    (found,) = log.find(receipts[1]["id"]).to_pylist()
    assert found["request_id"] == "q1"
    assert found["feature.count"] == 1
    assert found["request_hash"] == receipts[1]["request"]
    assert found["feature_hash"] == receipts[1]["features"]
    assert all(one["logged"] for one in receipts)


def test_equal_requests_share_a_hash_and_other_features_do_not(tmp_path):
    made = recorder(tmp_path, enabled=False)
    subject = made.subject(POINTER, REQUEST, FEATURES, 0)
    first, again, other = (note(made, number, subject) for number in (1, 1, 2))
    assert first["request"] == again["request"] != other["request"]
    assert first["features"] != other["features"]
    assert first["id"] != again["id"]
    assert not first["logged"]
    made.close()
    assert not tmp_path.joinpath("requests").exists()


def test_a_sample_keeps_its_share_by_content(tmp_path):
    made = recorder(tmp_path, sample=0.25)
    subject = made.subject(POINTER, REQUEST, FEATURES, 0)
    kept = [note(made, number, subject)["logged"] for number in range(2000)]
    assert [note(made, number, subject)["logged"] for number in range(2000)] == kept
    made.close()
    assert 400 < sum(kept) < 600
    assert RequestLog(tmp_path / "requests").read().num_rows == 2 * sum(kept)


def test_a_full_queue_drops_and_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "QUEUE_BYTES", 1000)
    monkeypatch.setattr(recording, "FLUSH_S", 3600.0)
    metrics = Metrics()
    made = recorder(tmp_path, metrics)
    subject = made.subject(POINTER, REQUEST, FEATURES, 0)
    logged = [note(made, number, subject)["logged"] for number in range(50)]
    assert 0 < sum(logged) < 50
    assert dropped(metrics, "full") == 50 - sum(logged)
    made.close()
    assert RequestLog(tmp_path / "requests").read().num_rows == sum(logged)


def test_a_disk_that_cannot_be_written_costs_rows_and_no_answer(tmp_path, monkeypatch):
    (tmp_path / "requests").write_text("a file where the folder would be")
    metrics = Metrics()
    made = recorder(tmp_path, metrics)
    assert note(made)["logged"]
    made.close()
    assert dropped(metrics, "disk") == 1


def test_spools_that_nobody_compacts_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "ROLL_BYTES", 1)
    metrics = Metrics()
    made = Recorder(tmp_path, LogConfig.model_construct(max_mb=0, sample=1.0), metrics.of("ads"))
    subject = made.subject(POINTER, REQUEST, FEATURES, 0)
    note(made, 0, subject)
    wait_until(lambda: not note(made, 1, subject)["logged"], "the bound is seen")
    assert dropped(metrics, "bound") >= 1
    log = RequestLog(tmp_path / "requests")
    wait_until(
        lambda: compact(log, LogConfig()) or not list(log.folder.glob("spool/*.done")), "compacted"
    )
    made.close()


def test_hashed_fields_are_nowhere_on_the_disk(tmp_path):
    made = recorder(tmp_path, hashed=["user"])
    note(made)
    made.close()
    log = RequestLog(tmp_path / "requests")
    (found,) = log.read().to_pylist()
    assert found["request.user"] == found["feature.user"]
    assert found["request.user"].startswith("hash:")
    compact(log, LogConfig())
    assert all(b"ann" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.services
def test_two_workers_log_what_they_answer_and_a_killed_one_loses_no_written_row(house, tmp_path):
    settings = own_settings(house, tmp_path, predict_workers=2)
    house.switch(house.pairs[0], settings.releases_root / settings.pipeline)
    served = launch(settings)
    log = RequestLog(tmp_path / "live" / settings.pipeline / "requests")
    try:
        asked = {f"q{number}" for number in range(40)}
        receipts = [served.ask(row(number))["receipt"] for number in range(40)]
        wait_until(lambda: log.read().num_rows == 40, "all answers are in the log")
        found = log.read()
        assert set(found["request_id"].to_pylist()) == asked
        assert set(found["receipt"].to_pylist()) == {one["id"] for one in receipts}
        explained = served.ask(row(3), "/predict?explain=true")
        wait_until(lambda: log.find(explained["receipt"]["id"]).num_rows == 1, "it is logged")
        (logged,) = log.find(explained["receipt"]["id"]).to_pylist()
        (prediction,) = explained["predictions"]
        assert logged["score"] == np.float32(prediction["score"])
        for name, value in prediction["features"].items():
            assert logged[f"feature.{name}"] == value, name
        crew = served.http.get("/health").json()["workers"]["following"]
        os.kill(crew[0]["pid"], signal.SIGKILL)
        compact(log, LogConfig())
        assert log.read().num_rows == 41
        # The connection that is kept open may be the killed worker's.
        served.http.close()
        served.http = httpx.Client(base_url=settings.predict_url, timeout=60, trust_env=False)
        assert served.metric("nightshift_predict_log_rows_total") == 41
    finally:
        served.http.close()
        served.server.stop()

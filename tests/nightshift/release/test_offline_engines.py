"""A night of a proposed pipeline with Spark for the offline jobs: the embedded engine's release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nightshift.registry.pointer import read_live
from nightshift.settings import Settings
from testing import engines
from testing import spark as spark_parts

pytestmark = [pytest.mark.services, pytest.mark.timeout(1200)]

ROWS = 60
"""Impressions a day."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if not Settings().task_python.exists():
        pytest.skip(f"{Settings().task_python} is not there; ./nightshift sets it up")
    spark_parts.settings()  # skips where the engine cannot be had
    engines.propose(tmp_path, ROWS)
    return tmp_path


def test_a_night_on_spark_gives_and_serves_the_same_release(folder: Path) -> None:
    embedded, spark = (engines.house(folder, name) for name in ("embedded", "spark"))
    try:
        embedded.up("openmldb")
        engines.judged(embedded)
    finally:
        embedded.down()
    try:
        spark.up()
        release = engines.night(spark)
        answered = engines.answers(spark, release, ROWS)
        with spark.client() as client:
            offline = [job for job in client.jobs() if "Offline" in job.job_type]
    finally:
        spark.down()
    # Each load and the export were Spark's.
    assert [job.cluster for job in offline] == ["local[2]"] * 4, offline
    live = read_live(spark.pipeline.releases)
    assert live is not None
    assert live.release_id == release
    made = engines.artefacts(spark)
    assert made == engines.artefacts(embedded)
    assert {name.split("/")[0] for name in made} >= {"dataset", "model"}
    # What is served scores the held-out rows as training did, and so as the other engine's night.
    report = Path(spark.plan(engines.DS)["run_dir"]) / "reports" / "consistency.json"
    told = json.loads(report.read_text())
    assert told["scores_from"] == "training"
    assert told["compared"] >= ROWS
    assert (told["mismatch_count"], told["score_mismatch_count"]) == (0, 0)
    assert len(answered) == ROWS
    assert all(0 < row["score"] < 1 for row in answered)

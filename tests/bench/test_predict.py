"""What the bench of predictions reads of the server's metrics."""

import pytest
from predict_server.metrics import Metrics

from bench.predict import stage_totals


def test_the_stages_of_all_pipelines_are_added_up():
    metrics = Metrics()
    for pipeline, stage, seconds in (
        ("jd", "features", 0.5),
        ("jd", "features", 0.25),
        ("visits", "features", 1.0),
        ("jd", "score", 0.125),
        ("jd", "retrieve", 9.0),
    ):
        metrics.stage.labels(pipeline, stage).observe(seconds)
    found = stage_totals(metrics.text().decode())
    assert found == {
        "features": (pytest.approx(1.75), 3.0),
        "encode": (0.0, 0.0),
        "score": (pytest.approx(0.125), 1.0),
    }

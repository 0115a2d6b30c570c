"""What Prometheus reads."""

import pytest
from predict_server.metrics import Metrics, label
from prometheus_client.parser import text_string_to_metric_families


def values(metrics):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_pipelines_are_counted_apart():
    metrics = Metrics()
    for name, status in (("jd", 200), ("jd", 200), ("jd", 503), ("visits", 200)):
        metrics.of(name).request("predict", status)
    found = values(metrics)

    def count(pipeline, status):
        labels = (("endpoint", "predict"), ("pipeline", pipeline), ("status", status))
        return found["nightshift_predict_requests_total", labels]

    assert (count("jd", "200"), count("jd", "503"), count("visits", "200")) == (2.0, 1.0, 1.0)


def test_times_are_added_up_by_endpoint():
    one = Metrics()
    for seconds in (0.25, 0.5):
        one.of("jd").took("rank", seconds)
    labels = (("endpoint", "rank"), ("pipeline", "jd"))
    found = values(one)
    assert found["nightshift_predict_request_seconds_sum", labels] == pytest.approx(0.75)
    assert found["nightshift_predict_request_seconds_count", labels] == 2.0


def live(metrics):
    return {
        dict(labels)["release"]: value
        for (name, labels), value in values(metrics).items()
        if name == "nightshift_predict_live_release_info"
    }


def test_one_release_of_a_pipeline_is_live():
    metrics = Metrics()
    pipeline = metrics.of("jd")
    for release in ("2026-01-01.001", "2026-01-02.001"):
        names = {"release": release, "deployment": "d", "model": "m", "model_version": 1}
        pipeline.took_up(names)
    assert [release for release, value in live(metrics).items() if value == 1.0] == [
        "2026-01-02.001"
    ]


@pytest.mark.parametrize("value", ["x" * 5000, "a\ud800b", 'quote " and \\ and \n', "名前"])
def test_any_text_is_a_label(value):
    made = label(value)
    assert len(made) <= 130
    made.encode("utf-8")
    metrics = Metrics()
    metrics.of(value).error("x")
    assert values(metrics)

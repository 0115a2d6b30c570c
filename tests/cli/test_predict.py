"""Asking the predict server, and a request that works."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli import predict
from nightshift.errors import ConfigurationError, DataError, ServiceUnavailable
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from testing.receivers import web_server


@pytest.fixture
def jd(tmp_path):
    return Pipeline.load(Settings(home=tmp_path, data=tmp_path / "data"), "jd")


def on(pipeline, port):
    return dataclasses.replace(
        pipeline, settings=dataclasses.replace(pipeline.settings, predict_port=port)
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [(422, ConfigurationError), (404, ConfigurationError), (503, ServiceUnavailable)],
)
def test_a_refusal_is_final_and_a_failure_may_pass(jd, status, error):
    with web_server() as web:
        web.status = status
        with pytest.raises(error, match=f"/v1/pipelines/jd/predict answered {status}"):
            predict.post(on(jd, web.port), b"{}")


def test_nobody_there(jd, closed_port):
    with pytest.raises(ServiceUnavailable, match="nightshift up"):
        predict.post(on(jd, closed_port), b"{}")


def test_an_example_is_the_newest_request(jd):
    with pytest.raises(DataError):
        predict.example(jd)
    for day, name in (("2026-03-01", "old"), ("2026-03-02", "new")):
        columns = {
            "reqId": [name], "eventTime": pa.array([0], pa.timestamp("us")), "main_id": [""],
            "pair_id": ["p"], "user_id": ["u"], "sku_id": ["s"], "time": pa.array([0], pa.int64()),
            "split_id": pa.array([0], pa.int32()), "time1": [""],
        }  # fmt: skip
        folder = jd.data / "flattenRequest" / f"ds={day}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table(columns), folder / "part-0.parquet")
    assert predict.example(jd)["reqId"] == "new"


def test_a_tensor_pipeline_without_a_release_has_no_example(tmp_path):
    style = Pipeline.load(Settings(home=tmp_path), "style")
    with pytest.raises(ConfigurationError, match="no release of style is live"):
        predict.example(style)

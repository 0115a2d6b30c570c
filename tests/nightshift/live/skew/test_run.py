"""The ledger on an installation: what it refuses, its models, its reports."""

import dataclasses
import datetime as dt

import numpy as np
import pytest

from nightshift import files
from nightshift.errors import ConfigurationError, LockHeld, ServiceUnavailable
from nightshift.live.folders import live_folder
from nightshift.live.skew import run
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from testing import shop
from testing.serving import ROOT

DAY = dt.date(2026, 3, 2)


@pytest.fixture
def pipeline(tmp_path):
    pipelines = shop.pipelines(tmp_path, "shop")
    settings = Settings.from_env(
        {
            "NIGHTSHIFT_HOME": str(tmp_path / "home"),
            "NIGHTSHIFT_PROJECT": str(ROOT),
            "NIGHTSHIFT_PIPELINES": str(pipelines),
        }
    )
    return Pipeline.load(settings, "shop")


def test_days_in_the_wrong_order_and_a_pipeline_without_features_are_refused(pipeline):
    with pytest.raises(ConfigurationError, match="2026-03-01 lies before the first, 2026-03-02"):
        run.observe(pipeline, DAY, DAY - dt.timedelta(days=1))
    settings = dataclasses.replace(pipeline.settings, pipelines=ROOT / "pipelines")
    with pytest.raises(ConfigurationError, match="style has no features"):
        run.observe(Pipeline.load(settings, "style"), DAY, DAY)


def test_one_ledger_at_a_time_for_a_pipeline(pipeline, monkeypatch):
    taken = live_folder(pipeline.settings, pipeline.name) / run.LOCK
    locked = files.locked
    with locked(taken), pytest.raises(LockHeld):
        # As `observe` asks for it, but without its wait.
        monkeypatch.setattr(files, "locked", lambda path, timeout_s: locked(path, timeout_s=0.0))
        run.observe(pipeline, DAY, DAY)


class Triton:
    """Serves `shop`/7 alone, by the sum of the ids; notes how many rows it was asked at once."""

    def __init__(self):
        self.asked = []

    def ready(self, model, version):
        if model == "away":
            raise ServiceUnavailable("Triton does not answer")
        return (model, version) == ("shop", 7)

    def score(self, model, version, inputs):
        (ids,) = inputs.values()
        self.asked.append(len(ids))
        return ids.sum(axis=1).astype(np.float32)


def test_scores_are_those_of_the_models_that_serve_a_thousand_rows_at_a_time():
    triton = Triton()
    models = run._Models(triton)
    assert models("shop", 8) is None
    assert models("away", 7) is None
    ids = np.arange(5000, dtype=np.int64).reshape(2500, 2)
    np.testing.assert_array_equal(models("shop", 7)(ids), ids.sum(axis=1))
    assert triton.asked == [1000, 1000, 500]


def report(day):
    causes = [{"cause": "event late", "table": "click", "values": 3, "rows": 2, "examples": [1]}]
    return {
        "from": day,
        "to": day,
        "status": "explained",
        "meanings": {"event late": "..."},
        "releases": [{"release": "r1", "causes": causes, "price": {"rows": 5}}],
    }


def test_the_newest_reports_are_kept_under_their_days(pipeline, monkeypatch):
    monkeypatch.setattr(run, "KEEP", 3)
    days = ["2026-03-05", "2026-03-01", "2026-03-04", "2026-03-02", "2026-03-03"]
    paths = [run.keep(pipeline, report(day)) for day in days]
    folder = live_folder(pipeline.settings, "shop") / "skew"
    assert paths[0] == folder / "2026-03-05_2026-03-05.json"
    assert sorted(path.name[:10] for path in folder.iterdir()) == sorted(days)[-3:]
    assert files.read_json(paths[0]) == report("2026-03-05")
    # The same days again replace their report.
    run.keep(pipeline, {**report("2026-03-05"), "status": "bug"})
    assert files.read_json(paths[0])["status"] == "bug"


def test_a_summary_has_the_counts_and_no_examples():
    assert run.summary(report("2026-03-01")) == {
        "from": "2026-03-01",
        "to": "2026-03-01",
        "status": "explained",
        "causes": [
            {"release": "r1", "cause": "event late", "table": "click", "values": 3, "rows": 2}
        ],
    }

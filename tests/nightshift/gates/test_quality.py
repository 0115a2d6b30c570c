"""The decision rule of the quality gate, on the shipped thresholds."""

import numpy as np
import pytest

from nightshift.errors import ConfigurationError, ReleaseRejected
from nightshift.gates.base import demand, load_gates
from nightshift.gates.quality import judge, leaked_days
from nightshift.settings import PROJECT

GATES = load_gates(PROJECT / "pipelines" / "jd" / "gates.yaml")["quality"]


def world(n, seed=0):
    """Labels, and scores of a model that sees the signal through so much noise."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=n)
    labels = rng.random(n) < 1 / (1 + np.exp(3.5 - 1.5 * signal))

    def model(noise, seed):
        seen = (signal + noise * np.random.default_rng(seed).normal(size=n)) / (1 + noise**2)
        return 1 / (1 + np.exp(3.3 - 1.5 * seen))

    return labels, model


def test_first_model_passes_by_the_floor_alone():
    labels, model = world(4000)
    report = judge(labels, model(0.5, 1), None, GATES)
    assert report["status"] == "pass"
    assert report["champion"] is None
    demand(report)


def test_first_model_without_signal_is_rejected_and_the_report_says_why():
    labels, _ = world(4000)
    noise = np.random.default_rng(1).uniform(0.02, 0.06, 4000)
    report = judge(labels, noise, None, GATES)
    with pytest.raises(ReleaseRejected, match="below the floor 0.55"):
        demand(report)


def test_equal_model_on_enough_rows_is_promoted():
    labels, model = world(60_000)
    assert judge(labels, model(0.5, 1), model(0.5, 2), GATES, champion_id="a")["status"] == "pass"


def test_equal_model_on_few_rows_is_not_promoted_by_noise():
    labels, model = world(300)
    report = judge(labels, model(0.5, 1), model(0.5, 2), GATES, champion_id="a")
    assert report["status"] == "fail"
    assert "not shown" in report["failures"][0] or "worse" in report["failures"][0]


def test_worse_model_is_rejected():
    labels, model = world(60_000)
    report = judge(labels, model(2.5, 1), model(0.3, 2), GATES, champion_id="2016-04-10.001")
    assert report["status"] == "fail"
    assert "worse, beyond the margin, than the live release 2016-04-10.001" in report["failures"][0]
    assert report["intervals"]["auc"]["high"] < 0


def test_incomparable_champion_is_said():
    labels, model = world(4000)
    report = judge(
        labels, model(0.5, 1), None, GATES, champion_id="a", incomparable="another specification"
    )
    assert report["status"] == "warn"
    assert "another specification" in report["warnings"][0]


def test_slices_are_measured_apart():
    labels, model = world(4000)
    known = np.arange(4000) % 4 != 0
    report = judge(
        labels, model(0.5, 1), None, GATES, slices={"user_id_known": known, "user_id_new": ~known}
    )
    assert report["slices"]["user_id_known"]["challenger"]["rows"] == 3000
    assert report["slices"]["user_id_new"]["challenger"]["rows"] == 1000


def test_days_that_the_champion_learned_from():
    # The champion of the 10th learned until the 5th, validated on the 6th, tested on the 7th.
    assert leaked_days(["2026-01-07", "2026-01-08"], "2026-01-01", ["2026-01-07"]) == []
    # A backfill of an older date: its held-out days were the champion's lessons.
    assert leaked_days(["2026-01-03", "2026-01-07"], "2026-01-01", ["2026-01-07"]) == ["2026-01-03"]


def test_thresholds_file_names_an_unknown_key(tmp_path):
    text = (PROJECT / "pipelines" / "jd" / "gates.yaml").read_text().replace("min_auc:", "min_acu:")
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    with pytest.raises(
        ConfigurationError, match=r"quality.min_acu: unknown key; did you mean 'min_auc'"
    ):
        load_gates(path)

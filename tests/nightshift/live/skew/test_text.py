"""A ledger for people."""

import pytest

from nightshift.live.skew.text import as_text, span

AUC = {"difference": 0.0123, "low": -0.001, "high": 0.03}
CAUSE = {
    "cause": "event late",
    "table": "click",
    "values": 7,
    "rows": 3,
    "late_s": {"p50": 60.0, "p95": 3600.0, "max": 7200.0},
    "never_arrived": 2,
    "price": {"auc": AUC, "logloss": None},
    "features": {"clicks_7d": 5, "clicks_1d": 2},
    "examples": [{"request_id": "r1", "feature": "clicks_7d", "served": 1, "training": 2}],
}
SIDE = {"auc": 0.7, "auc_interval": [0.65, 0.75], "logloss": 0.3, "calibration_ratio": None}
FOUND = {
    "pipeline": "jd",
    "from": "2026-01-01",
    "to": "2026-01-02",
    "status": "pass",
    "requests": 10,
    "compared": 9,
    "not_in_training": 1,
    "rows_differing": 3,
    "values_differing": 8,
    "unexplained": 0,
    "not_reproduced": 0,
    "meanings": {"event late": "the event came after the request", "code": "another query"},
    "releases": [
        {
            "release": "2025-12-31.001",
            "requests": 10,
            "price": {
                "rows": 9,
                "positives": 2,
                "served": SIDE,
                "training": SIDE,
                "auc": AUC,
                "logloss": None,
            },
            "causes": [{**CAUSE, "cause": "code", "table": "", "values": 1, "price": None}, CAUSE],
            "served_otherwise": [
                {"request_id": "r2", "feature": "n", "served": 1, "replayed": None, "cause": "code",
                 "table": ""}
            ],
        }
    ],
}  # fmt: skip


def test_every_figure_is_there_and_the_greatest_cause_comes_first():
    text = as_text(FOUND)
    for part in (
        "jd, requests of 2026-01-01 to 2026-01-02: pass",
        "10 requests, 9 compared, 1 not in the partitions",
        "3 requests and 8 values differ",
        "AUC 0.7000 [0.6500, 0.7500]",
        "mean score over positives unknown",
        "late by 60 s (median), 60 minutes (95 %), 2.0 hours at most",
        "2 rows have not arrived",
        "AUC +0.0123 [-0.0010, +0.0300], log loss unknown (a class is absent)",
        "features: clicks_7d 5, clicks_1d 2",
        "for example r1, clicks_7d: served 1, training 2",
        "r2, n: served 1, the replay gives None; code",
    ):
        assert part in text
    assert text.index("event late: click: 7 values") < text.index("  code: 1 values")
    assert "code: :" not in text


def test_a_release_without_a_price_says_why():
    one = {**FOUND["releases"][0], "price": {"why": "no labels yet"}, "causes": []}
    assert "  no price: no labels yet" in as_text({**FOUND, "releases": [one]})


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (89, "89 s"), (90, "2 minutes"), (5399, "90 minutes"), (72_300, "20.1 hours")],
)
def test_a_delay_is_for_people(seconds, shown):
    assert span(seconds) == shown

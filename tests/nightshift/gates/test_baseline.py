"""The baseline gate: which difference warns, which one rejects."""

import pytest

from nightshift.config.gates import BaselineGate
from nightshift.gates.baseline import judge

GATE = BaselineGate().model_dump()


def card(low, high):
    gap = {"difference": (low + high) / 2, "low": low, "high": high, "confidence": 0.95}
    return {"baseline": {"model": "logistic regression", "auc_difference": gap}}


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (0.001, 0.01, "pass"),
        (-0.02, 0.001, "pass"),
        (-0.035, -0.016, "warn"),
        (-0.06, -0.021, "fail"),
    ],
)
def test_only_what_is_sure_counts(low, high, status):
    found = judge(card(low, high), GATE)
    assert found["status"] == status
    for said in (*found["warnings"], *found["failures"]):
        assert f"[{low:+.4f}, {high:+.4f}]" in said


def test_a_level_of_warn_rejects_nothing():
    assert judge(card(-0.06, -0.03), {**GATE, "level": "warn"})["status"] == "warn"


def test_one_class_cannot_be_judged_and_no_baseline_is_said():
    one_class = {"baseline": {"model": "logistic regression", "auc_difference": None}}
    assert judge(one_class, GATE)["status"] == "pass"
    assert "baseline: true" in judge({"baseline": None}, GATE)["warnings"][0]

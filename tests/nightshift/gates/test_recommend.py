"""The recommend gate: what a card says, and what the gate makes of it."""

import copy

import pytest

from nightshift.config.gates import RecommendGate
from nightshift.gates.recommend import judge

CARD = {
    "users": 100,
    "items": 50,
    "retrievers": {"embeddings": {"index_recall": 0.99}, "popular": {"most": 3}},
    "held_out": {
        "users": 40,
        "recall": {"100": 0.5},
        "by_retriever": {"popular": {"100": 0.3}},
        "difference": {"mean": {"100": 0.2}, "low": {"100": 0.1}, "high": {"100": 0.3}},
    },
}


def judged(gate=None, **changes):
    card = copy.deepcopy(CARD)
    card["held_out"] |= changes
    card["retrievers"]["embeddings"]["index_recall"] = changes.pop("index", 0.99)
    return judge(card, (gate or RecommendGate()).model_dump(by_alias=True))


def gap(mean, low, high):
    return {"mean": {"100": mean}, "low": {"100": low}, "high": {"100": high}}


@pytest.mark.parametrize(
    ("status", "changes", "word"),
    [
        ("pass", {}, ""),
        # Less than popular items, but chance can explain it.
        ("pass", {"difference": gap(-0.02, -0.05, 0.01)}, ""),
        ("warn", {"difference": gap(-0.02, -0.03, -0.005)}, "interval"),
        ("fail", {"difference": gap(-0.1, -0.15, -0.05)}, "popular alone"),
        ("warn", {"users": 3}, "test_days"),
        ("fail", {"index": 0.5}, "index of embeddings"),
    ],
)
def test_statuses(status, changes, word):
    value = judged(**changes)
    assert value["status"] == status
    assert word in " ".join([*value["failures"], *value["warnings"]])


def test_nobody_to_measure_by_is_a_warning():
    assert judged(users=0)["status"] == "warn"


def test_a_recall_of_ones_own():
    gate = RecommendGate(min_recall={"value": 0.6, "level": "fail"})
    assert judged(gate)["failures"] == ["recall at 100 is 0.5000, below 0.6"]

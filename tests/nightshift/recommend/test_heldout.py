"""The figures of the held-out days."""

import json

import numpy as np
import pytest

from nightshift.recommend import heldout
from testing.retrieval import build, options


def test_recall_and_ndcg_of_known_lists():
    relevant = np.array([3, 9], np.int32)
    answer = np.array([5, 3, *range(20, 30), 9], np.int32)
    assert heldout.recall(answer, relevant) == [0.5, 1.0, 1.0, 1.0, 1.0]
    ideal = 1 + 1 / np.log2(3)
    assert heldout.ndcg(answer[:10], relevant) == pytest.approx((1 / np.log2(3)) / ideal)
    assert heldout.ndcg(answer[:0], relevant) == 0.0


def test_retrieval_finds_more_than_popular_items_do(found, tmp_path):
    card = build(found, options(), tmp_path / "recommend")
    held_out = card["held_out"]
    assert (
        json.loads((tmp_path / "recommend" / "recommend.json").read_text())["held_out"] == held_out
    )
    assert held_out["users"] > 20
    for name in ("item_neighbours", "user_neighbours", "embeddings"):
        assert (
            held_out["by_retriever"][name]["10"] > held_out["by_retriever"]["popular"]["10"] + 0.05
        )
    gap = {name: values["10"] for name, values in held_out["difference"].items()}
    assert gap["low"] < gap["mean"] < gap["high"]
    assert gap["mean"] > 0.05
    assert not (tmp_path / "recommend" / "trial").exists()

"""Answers as the documented JSON gives them."""

import pytest
from nightshift_client.answers import Health, Predictions, Ranking, Recommendations, Tensors

BY = {"release": "2026-01-01.001", "deployment": "d", "model": "m", "model_version": 20260101001}
RECEIPT = {"id": "a-1", "logged": True}


def test_predictions_keep_the_order_of_the_rows() -> None:
    rows = [{"request_id": "a", "score": 0.25}, {"request_id": "b", "score": 1}]
    found = Predictions.of({"predictions": rows, "receipt": RECEIPT, **BY})
    assert found.scores == [0.25, 1.0]
    assert [one.request_id for one in found.predictions] == ["a", "b"]
    assert (found.release, found.model_version) == ("2026-01-01.001", 20260101001)
    assert found.receipt == RECEIPT


def test_what_an_explanation_adds_is_there_and_else_absent() -> None:
    row = {"score": 0.5, "features": {"n": 1}, "ids": {"n": "77"}}
    explained, plain = Predictions.of({"predictions": [row, {"score": 0.5}], **BY}).predictions
    assert (explained.features, explained.ids) == ({"n": 1}, {"n": "77"})
    assert (plain.features, plain.ids, plain.request_id) == (None, None, None)


def test_a_ranking_says_which_candidate_has_which_place() -> None:
    found = Ranking.of({"ranking": [{"rank": 1, "candidate": 7, "score": 0.9}], **BY})
    (one,) = found.ranking
    assert (one.rank, one.candidate, one.prediction.score) == (1, 7, 0.9)
    assert found.receipt is None


def test_recommendations() -> None:
    rows = [
        {"rank": 1, "item": 5, "score": 0.9, "fields": {"title": "x"}},
        {"rank": 2, "item": 6, "score": 0.1},
    ]
    found = Recommendations.of(
        {"recommendations": rows, "user_known": True, "candidates": 200, **BY}
    )
    assert found.items == [5, 6]
    assert (found.user_known, found.candidates) == (True, 200)
    assert [one.fields for one in found.recommendations] == [{"title": "x"}, {}]


@pytest.mark.parametrize("status", ["ready", "not ready"])
def test_health(status: str) -> None:
    found = Health.of({"status": status, "parts": {"triton": "ok"}, "release": None})
    assert found.ready is (status == "ready")
    assert (found.parts, found.workers, found.release) == ({"triton": "ok"}, {}, None)


def test_tensors() -> None:
    found = Tensors.of({"outputs": {"OUTPUT_0": {"shape": [1], "data": [2.0]}}, "release": "r"})
    assert (found.outputs["OUTPUT_0"]["data"], found.release) == ([2.0], "r")


@pytest.mark.parametrize("kind", [Predictions, Ranking, Recommendations])
def test_an_answer_without_what_was_promised_is_no_answer(
    kind: type[Predictions | Ranking | Recommendations],
) -> None:
    with pytest.raises(KeyError):
        kind.of(BY)

"""Requests of rows over HTTP, between the real OpenMLDB, the real Triton and real models."""

import json
import shutil
import threading
import time

import httpx
import pytest

from nightshift.pipeline import Pipeline
from tests.server.predict_server.conftest import row


def test_an_answer_is_the_score_of_the_parts_and_names_its_release(house, live_first):
    answer = live_first.ask(row(3))
    (prediction,) = answer.pop("predictions")
    assert answer.pop("receipt")["release"] == "r1"
    assert answer == {
        "release": "r1",
        "deployment": "shop_a",
        "model": house.model,
        "model_version": 20240304001,
    }
    assert prediction["request_id"] == "q3"
    (expected,) = house.expected(house.pairs[0], [row(3)])
    assert prediction["score"] == pytest.approx(expected, abs=1e-6)
    assert 0 < prediction["score"] < 1


def test_many_rows_are_answered_in_their_order(house, live_first):
    rows = [row(n) for n in range(200)]
    answer = live_first.ask({"rows": rows})["predictions"]
    assert [p["request_id"] for p in answer] == [f"q{n}" for n in range(200)]
    expected = house.expected(house.pairs[0], rows)
    assert [p["score"] for p in answer] == pytest.approx(expected, abs=1e-5)


def test_a_row_as_an_array_and_null_values_are_answered(house, live_first):
    blank = row(1, product=None, ratio=None, rate=None, day=None)
    answer = live_first.ask([list(blank.values())])["predictions"]
    (expected,) = house.expected(house.pairs[0], [blank])
    assert answer[0]["score"] == pytest.approx(expected, abs=1e-6)


def test_explain_shows_the_deployments_features_and_the_ids(house, live_first):
    answer = live_first.ask(row(3), "/predict?explain=true")["predictions"][0]
    info = house.openmldb.deployment("shop", "shop_a")
    (features,) = house.features(house.pairs[0], [row(3)])
    assert list(answer["features"]) == [name for name, _ in info.output_schema]
    assert list(answer["features"].values()) == features
    # u3 was seen half a day ago and 4 days ago; two days of window hold the one, and now.
    assert answer["features"]["count"] == 2
    assert list(answer["ids"]) == list(house.spec.names)
    assert all(-(2**63) <= int(value) < 2**63 for value in answer["ids"].values())


@pytest.fixture
def with_tables(house, predict):
    """The shared server, whose release kept the declaration of its tables, as releases do."""
    folder = Pipeline.load(house.settings).releases / house.pairs[0].release_id
    folder.mkdir()
    (folder / "tables.yaml").write_text(
        "{version: 1, events: {requests: eventTime}, requests: {table: requests, id: reqId}}"
    )
    house.switch(house.pairs[0])
    yield predict
    shutil.rmtree(folder)
    house.switch(house.pairs[0])


def test_a_request_is_of_a_time_in_the_calendar(with_tables):
    with_tables.ask(row(1, eventTime="9999-12-30T00:00:00Z"))
    for moment in (10**18, -1, "0001-01-01T00:00:00Z", "9999-12-31T23:00:00Z"):
        answer = with_tables.ask([row(0), row(1, eventTime=moment)], status=422)
        assert answer["message"].startswith("row 1, field eventTime: lies before 1970 or after")
        candidate = {key: value for key, value in row(1).items() if key != "eventTime"}
        asked = {"user": {"eventTime": moment}, "candidates": [candidate]}
        answer = with_tables.ask(asked, "/rank", status=422)
        assert "field eventTime: lies before 1970" in answer["message"]


def test_wrong_rows_are_422_and_name_row_and_field(live_first):
    before = live_first.metric("nightshift_predict_errors_total", kind="invalid_rows")
    rows = [row(0), row(1, small=40000, usr="u1")]
    answer = live_first.ask(rows, status=422)
    assert answer["error"] == "invalid_rows"
    assert {(d["row"], d["field"]) for d in answer["detail"]} == {(1, "small"), (1, "usr")}
    assert "did you mean 'user'" in json.dumps(answer)
    after = live_first.metric("nightshift_predict_errors_total", kind="invalid_rows")
    assert after == before + 1


def test_what_the_schema_tells_is_what_a_request_needs(house, live_first):
    schema = live_first.http.get("/schema").json()
    assert [(c["name"], c["type"]) for c in schema["request"]] == (
        house.openmldb.deployment("shop", "shop_a").input_schema
    )
    assert {f["name"] for f in schema["features"]} == set(house.spec.names)
    made = dict.fromkeys(column["name"] for column in schema["request"])
    assert len(live_first.ask(made)["predictions"]) == 1


def test_too_many_rows_are_413(live_first):
    answer = live_first.ask([row(0)] * 1001, status=413)
    assert "1000" in answer["message"]


def test_rank_puts_the_best_candidates_first(house, live_first):
    user = {k: v for k, v in row(1).items() if k not in ("reqId", "product")}
    candidates = [{"reqId": f"c{n}", "product": f"p{n}"} for n in range(20)]
    answer = live_first.ask({"user": user, "candidates": candidates, "n": 5}, "/rank")
    rows = [{key: {**user, **c}[key] for key in row()} for c in candidates]
    scores = house.expected(house.pairs[0], rows)
    best = sorted(range(20), key=lambda n: -scores[n])[:5]
    assert [r["candidate"] for r in answer["ranking"]] == best
    assert [r["rank"] for r in answer["ranking"]] == [1, 2, 3, 4, 5]
    assert [r["request_id"] for r in answer["ranking"]] == [f"c{n}" for n in best]
    assert answer["release"] == "r1"


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ([], "candidates"),
        ({"user": {}}, "candidates"),
        ({"candidates": []}, "candidates"),
        ({"candidates": [{}], "n": 0}, "'n'"),
        ({"candidates": [{}], "top": 3}, "'top'"),
        ({"candidates": [5]}, "object"),
        ({"user": {"reqId": "a"}, "candidates": [{"reqId": "b"}]}, "give it once"),
    ],
)
def test_rank_refuses_in_words_what_it_does_not_understand(live_first, payload, says):
    assert says in json.dumps(live_first.ask(payload, "/rank", status=422))


BROKEN = {
    "a model version that is not served": {"model_version": 20240306001},
    "a deployment that is not there": {"deployment": "shop_z"},
    "another specification": {"spec_hash": "f" * 64},
    "a specification that is gone": {"feature_spec": "/nowhere/feature_spec.yaml"},
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_release_that_is_not_ready_leaves_the_old_one_answering(house, live_first, broken):
    refused = live_first.metric("nightshift_predict_refused_switches_total")
    changes = BROKEN[broken]
    house.switch(house.pairs[1], **changes)
    assert live_first.ask(row(3))["release"] == "r1"
    health = live_first.http.get("/health")
    assert health.status_code == 200
    (value,) = changes.values()
    assert str(value) in health.json()["switch_problem"]
    assert live_first.metric("nightshift_predict_refused_switches_total") > refused


def test_no_request_fails_and_no_answer_mixes_two_releases_while_they_switch(house, live_first):
    rows = [row(n) for n in range(14)]
    expected = {pair.release_id: house.expected(pair, rows) for pair in house.pairs}
    stop, answers, failures = threading.Event(), [], []

    def ask():
        with httpx.Client(base_url=house.settings.predict_url, timeout=30) as http:
            while not stop.is_set():
                answer = http.post("/predict", json=rows)
                (answers if answer.status_code == 200 else failures).append(answer.json())

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    for number in range(30):
        house.switch(house.pairs[(number + 1) % 2])
        time.sleep(0.1)
    stop.set()
    for client in clients:
        client.join()
    assert failures == []
    assert {answer["release"] for answer in answers} == {"r1", "r2"}
    for answer in answers:
        pair = house.pairs[answer["release"] == "r2"]
        assert (answer["deployment"], answer["model_version"]) == (pair.deployment, pair.version)
        scores = [p["score"] for p in answer["predictions"]]
        assert scores == pytest.approx(expected[answer["release"]], abs=1e-5)

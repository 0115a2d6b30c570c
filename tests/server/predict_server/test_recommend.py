"""`POST .../recommend`: candidates, features and the model of one release."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nightshift import files
from nightshift.pipeline import Pipeline
from nightshift.recommend.recommender import Recommender
from nightshift.registry.manifest import RecommendStamp
from testing.releases import put_release
from testing.retrieval import TASTES, build, options, world

from .conftest import NOW, row

RELEASE = "2024-03-04.001"
CONTEXT = {"eventTime": NOW, "ratio": 0.3, "rate": 0.5, "seen": 0, "flag": True}


@pytest.fixture(scope="module")
def release(house, tmp_path_factory):
    """A release of the first pair that recommends."""
    folder = tmp_path_factory.mktemp("retrieval") / "recommend"
    chosen = options(fill={"reqId": "{user}:{item}:{item.taste}", "big": "{item.taste}"})
    card = build(world(), chosen, folder)
    releases = Pipeline.load(house.settings).releases
    stamp = RecommendStamp(
        sha256=files.sha256_tree(folder), users=card["users"], items=card["items"]
    )
    made = put_release(releases, "2024-03-04", recommend=stamp)
    folder.rename(made.recommend)
    return made


@pytest.fixture
def recommends(house, predict, release):
    """The shared server, answering by a release that recommends."""
    house.switch(house.pairs[0], release_id=RELEASE)
    assert predict.ask(row())["release"] == RELEASE
    yield predict
    house.switch(house.pairs[0])


@pytest.fixture(scope="module")
def retrieval(release):
    return Recommender.load(release.recommend)


def ask(predict, status=200, **body):
    return predict.ask({"user": "u003", "context": CONTEXT, **body}, "/recommend", status)


def test_the_best_of_the_candidates_by_the_releases_own_query_and_model(
    house, recommends, retrieval
):
    answer = ask(recommends, n=5, fields=["taste"])
    assert (answer["release"], answer["user_known"], answer["candidates"]) == (RELEASE, True, 20)
    places = retrieval.retrieve("u003", 20).items
    items = retrieval.values("id", places)
    rows = [
        row(0, **CONTEXT, user="u003", product=item, reqId=f"u003:{item}:{int(item[1:]) % TASTES}",
            big=int(item[1:]) % TASTES, small=None, day=None)
        for item in items
    ]  # fmt: skip
    scores = house.expected(house.pairs[0], rows)
    best = np.argsort(-np.array(scores, np.float32), kind="stable")[:5]
    assert [one["item"] for one in answer["recommendations"]] == [items[n] for n in best]
    assert [one["score"] for one in answer["recommendations"]] == [scores[n] for n in best]
    assert [one["rank"] for one in answer["recommendations"]] == [1, 2, 3, 4, 5]
    assert answer["recommendations"][0]["fields"] == {
        "taste": int(answer["recommendations"][0]["item"][1:]) % TASTES
    }


def test_what_explains_an_item(recommends):
    (one,) = recommends.ask({"user": "u003", "n": 1}, "/recommend?explain=true")["recommendations"]
    assert set(one["retrieved"]) <= {"item_neighbours", "user_neighbours", "embeddings"}
    assert one["features"]["user"] == "u003"
    assert one["features"]["product"] == one["item"]


def test_unknown_users_filters_and_nothing_left(recommends):
    assert ask(recommends, user="nobody", n=3)["user_known"] is False
    assert ask(recommends, user=None)["user_known"] is False
    found = ask(recommends, filter={"taste": 3}, exclude_consumed=False)["recommendations"]
    assert found
    assert {int(one["item"][1:]) % TASTES for one in found} == {3}
    nothing = ask(recommends, filter={"taste": 99})
    assert (nothing["recommendations"], nothing["candidates"]) == ([], 0)
    first = ask(recommends, n=1)["recommendations"][0]["item"]
    assert first not in [r["item"] for r in ask(recommends, exclude=[first])["recommendations"]]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"user": 3}, "user"),
        ({"user": "u003", "n": 0}, "'n'"),
        ({"user": "u003", "n": 21}, "from 1 to 20"),
        ({"user": "u003", "n": True}, "'n'"),
        ({"user": "u003", "m": 1}, "unknown key"),
        ({"user": "u003", "exclude_consumed": 1}, "true or false"),
        ({"user": "u003", "filter": {"tast": 3}}, "taste"),
        ({"user": "u003", "filter": {"taste": "3"}}, "of type"),
        ({"user": "u003", "filter": [1]}, "filter"),
        ({"user": "u003", "exclude": "i03"}, "list"),
        ({"user": "u003", "history": [1]}, "history"),
        ({"user": "u003", "context": {"user": "u1"}}, "context"),
        ({"user": "u003", "context": {"ratio": "x"}}, "ratio"),
        ({"user": "u003", "fields": ["price"]}, "fields"),
        ({}, "user"),
        ([], "user"),
    ],
)
def test_requests_that_are_none(recommends, body, word):
    answer = recommends.ask(body, "/recommend", 422)
    assert word in answer["message"]


def test_schema_tells_of_it(recommends):
    told = recommends.http.get("/schema").json()["recommend"]
    assert told["columns"] == ["taste", "words"]
    assert told["user"] == {"name": "user", "type": "string"}


def test_a_release_without_retrieval_says_so(house, live_first):
    answer = live_first.ask({"user": "u003"}, "/recommend", 404)
    assert answer["error"] == "no_operation"
    assert "no retrieval" in answer["message"]
    assert live_first.http.get("/schema").json()["recommend"] is None


def test_a_changed_retrieval_is_not_followed(house, predict, release):
    house.switch(house.pairs[1])
    assert predict.ask(row())["release"] == "r2"
    card = release.recommend / "recommend.json"
    original = card.read_bytes()
    card.write_bytes(original.replace(b"u", b"v", 1))
    try:
        house.switch(house.pairs[0], release_id=RELEASE)
        assert predict.ask(row())["release"] == "r2"
        assert "was changed" in predict.http.get("/health").json()["switch_problem"]
    finally:
        card.write_bytes(original)
        house.switch(house.pairs[0])


def test_switches_under_load_between_releases_with_and_without_retrieval(
    house, recommends, retrieval
):
    places = retrieval.retrieve("u003", 20).items
    items = retrieval.values("id", places)
    base = [row(0, **CONTEXT, user="u003", product=item) for item in items]
    own = dict(zip(items, house.expected(house.pairs[0], base), strict=True))
    asked = row(3)
    scores = {
        RELEASE: house.expected(house.pairs[0], [asked])[0],
        "r2": house.expected(house.pairs[1], [asked])[0],
    }
    stop = threading.Event()
    wrong: list[str] = []
    counts = {"recommended": 0, "without": 0, "predicted": 0}

    def recommend() -> None:
        while not stop.is_set():
            body = {"user": "u003", "n": 20, "context": CONTEXT}
            answer = recommends.http.post("/recommend", json=body)
            value = answer.json()
            if answer.status_code == 404 and value["error"] == "no_operation":
                counts["without"] += 1
                continue
            found = {one["item"]: one["score"] for one in value.get("recommendations", [])}
            if answer.status_code != 200 or value["release"] != RELEASE or found != own:
                wrong.append(answer.text[:300])
            counts["recommended"] += 1

    def score() -> None:
        while not stop.is_set():
            answer = recommends.http.post("/predict", json=asked)
            value = answer.json()
            if answer.status_code != 200 or (
                value["predictions"][0]["score"] != scores[value["release"]]
            ):
                wrong.append(answer.text[:300])
            counts["predicted"] += 1

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work) for work in (recommend, recommend, score, score)]
        for n in range(10):
            before = dict(counts)
            if n % 2:
                house.switch(house.pairs[0], release_id=RELEASE)
            else:
                house.switch(house.pairs[1])
            kind = "recommended" if n % 2 else "without"
            while not wrong and counts[kind] < before[kind] + 3:
                stop.wait(0.02)
        stop.set()
        for one in running:
            one.result()
    assert wrong == []
    assert min(counts.values()) > 10


def test_the_client_package_asks_for_items(recommends):
    from nightshift_client import Client

    with Client(recommends.settings.predict_url) as client:
        found = client.recommend("u003", n=3, filter={"taste": [3, 4]}, context=CONTEXT)
    assert len(found.items) == 3
    assert dataclasses.asdict(found)["release"] == RELEASE

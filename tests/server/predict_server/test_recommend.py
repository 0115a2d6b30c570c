"""`POST .../recommend`: candidates, features and the model of one release."""

import dataclasses
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import yaml

from nightshift import files
from nightshift import triton as publishing
from nightshift.features.encoding import encode_rows
from nightshift.features.specification import FeatureSpec
from nightshift.pipeline import Pipeline
from nightshift.recommend.recommender import Recommender
from nightshift.registry import manifest as manifests
from nightshift.registry.manifest import RecommendStamp
from nightshift.triton import INPUT
from testing.releases import put_release
from testing.retrieval import TASTES, build, options, world

from .conftest import NOW, Pair, row

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
        ({"user": True}, "user"),
        ({"user": 3.5}, "user"),
        ({"user": 1 << 64}, "user"),
        ({"user": "u003", "n": 0}, "'n'"),
        ({"user": "u003", "n": 21}, "from 1 to 20"),
        ({"user": "u003", "n": True}, "'n'"),
        ({"user": "u003", "m": 1}, "unknown key"),
        ({"user": "u003", "exclude_consumed": 1}, "true or false"),
        ({"user": "u003", "filter": {"tast": 3}}, "taste"),
        ({"user": "u003", "filter": {"taste": "3"}}, "of type"),
        ({"user": "u003", "filter": [1]}, "filter"),
        ({"user": "u003", "exclude": "i03"}, "list"),
        ({"user": "u003", "history": [1.5]}, "history"),
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


def test_a_whole_number_stands_for_the_text_of_its_digits(recommends):
    number, text = (ask(recommends, user=user, exclude=[7], history=[8]) for user in (3, "3"))
    assert number["receipt"]["request"] == text["receipt"]["request"]
    assert number["recommendations"] == text["recommendations"]


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


def listed(house, answers, pair, items):
    """Scores of a user's candidates by a release's own parts, by item."""
    rows = [row(0, **CONTEXT, user="u003", product=item) for item in items]
    return dict(zip(items, answers(pair, rows), strict=True))


def switch_under_load(recommends, lists, scores, switch):
    """Ten switches while clients ask: each answer is wholly of the release that it names.

    Args:
        recommends: the server.
        lists: by release, the score of each item of a list; None where it does not recommend.
        scores: by release, the score of the row that is predicted.
        switch: makes the release of a number live.
    """
    asked = row(3)
    stop = threading.Event()
    wrong: list[str] = []
    counts = dict.fromkeys([*lists, "predicted"], 0)
    without = next((release for release, found in lists.items() if found is None), None)

    def recommend() -> None:
        while not stop.is_set():
            body = {"user": "u003", "n": 20, "context": CONTEXT}
            answer = recommends.http.post("/recommend", json=body)
            value = answer.json()
            if answer.status_code == 404 and value["error"] == "no_operation" and without:
                counts[without] += 1
                continue
            found = {one["item"]: one["score"] for one in value.get("recommendations", [])}
            if answer.status_code != 200 or found != lists[value["release"]]:
                wrong.append(answer.text[:300])
                continue
            counts[value["release"]] += 1

    def score() -> None:
        while not stop.is_set():
            answer = recommends.http.post("/predict", json=asked)
            value = answer.json()
            if answer.status_code != 200 or (
                value["predictions"][0]["score"] != scores[value["release"]]
            ):
                wrong.append(answer.text[:300])
            counts["predicted"] += 1

    releases = list(lists)
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work) for work in (recommend, recommend, score, score)]
        try:
            for n in range(10):
                before = dict(counts)
                switch(n % 2)
                while not wrong and counts[releases[n % 2]] < before[releases[n % 2]] + 3:
                    assert recommends.http.get("/health").json()["switch_problem"] is None
                    stop.wait(0.1)
        finally:
            stop.set()
        for one in running:
            one.result()
    assert wrong == []
    assert min(counts.values()) > 10


def test_switches_under_load_between_releases_with_and_without_retrieval(
    house, recommends, retrieval
):
    items = retrieval.values("id", retrieval.retrieve("u003", 20).items)
    first, second = house.pairs
    switch_under_load(
        recommends,
        {"r2": None, RELEASE: listed(house, house.expected, first, items)},
        {"r2": house.expected(second, [row(3)])[0], RELEASE: house.expected(first, [row(3)])[0]},
        lambda n: house.switch(first, release_id=RELEASE) if n else house.switch(second),
    )


@pytest.fixture(scope="module")
def pure(house, trained, release, tmp_path_factory):
    """A pair whose model knows user and product alone, and whose release recommends too."""
    house.openmldb.execute(
        "shop",
        "DEPLOY shop_ids SELECT reqId AS request_id, eventTime AS request_time, seen AS bought, "
        "user AS user, product AS product FROM requests",
        "online",
    )
    pair = Pair("2024-03-06.001", "shop_ids", 20240306001)
    publishing.publish(
        house.triton.control, house.triton.repo, house.model, pair.version, trained.narrow
    )
    releases = Pipeline.load(house.settings).releases
    stamp = manifests.load(release.manifest_path).recommend
    made = put_release(releases, "2024-03-06", recommend=stamp)
    shutil.copytree(release.recommend, made.recommend)
    spec = yaml.safe_load((trained.narrow.parent / "spec.yaml").read_text())
    del spec["ignored"]  # which this query does not give
    path = tmp_path_factory.mktemp("pure") / "spec.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return pair, path


def test_switches_under_load_between_a_ranker_of_features_and_one_of_ids_alone(
    house, recommends, retrieval, pure
):
    """libserving's error: a model without features is given those that another left behind."""
    first, (second, spec_file) = house.pairs[0], pure
    spec = FeatureSpec.load(spec_file)

    def of_ids(pair, rows):
        ids = [[row["user"], row["product"]] for row in rows]
        tensors = {INPUT: encode_rows(spec, ["user", "product"], ids)}
        return house.triton.control.score(house.model, pair.version, tensors).tolist()

    def switch(n):
        if n:
            return house.switch(first, release_id=RELEASE)
        return house.switch(second, feature_spec=str(spec_file), spec_hash=spec.schema_hash)

    items = retrieval.values("id", retrieval.retrieve("u003", 20).items)
    switch_under_load(
        recommends,
        {
            second.release_id: listed(house, of_ids, second, items),
            RELEASE: listed(house, house.expected, first, items),
        },
        {
            second.release_id: of_ids(second, [row(3)])[0],
            RELEASE: house.expected(first, [row(3)])[0],
        },
        switch,
    )


def test_the_client_package_asks_for_items(recommends):
    from nightshift_client import Client

    with Client(recommends.settings.predict_url) as client:
        found = client.recommend("u003", n=3, filter={"taste": [3, 4]}, context=CONTEXT)
    assert len(found.items) == 3
    assert dataclasses.asdict(found)["release"] == RELEASE

"""What a release's retrieval answers."""

import shutil

import numpy as np
import pytest

from nightshift import files
from nightshift.config.recommend import Factors
from nightshift.errors import ConfigurationError, ContractError
from nightshift.recommend.recommender import Recommender, fuse
from testing.retrieval import ITEMS, TASTES, build, options


def tastes(made, found):
    return [value % TASTES for value in found.items.tolist()]


def consumed(found, user):
    return set(found.item[found.user == user].tolist())


def test_a_user_is_shown_its_own_taste_and_nothing_twice(made, found):
    for user in (0, 5, 17, 119):
        answer = made.retrieve(f"u{user:03d}", 20)
        places = answer.items.tolist()
        assert len(set(places)) == len(places) == 20
        assert answer.known
        assert not consumed(found, user) & set(places)
        again = made.retrieve(f"u{user:03d}", 20, exclude_consumed=False)
        assert np.mean(np.array(tastes(made, again))[:5] == user % TASTES) >= 0.8


def test_an_unknown_user_gets_what_most_liked(made, found):
    counts = np.bincount(made.liked.values, minlength=ITEMS)
    answer = made.retrieve("nobody", 10)
    assert not answer.known
    assert answer.items.tolist() == np.argsort(-counts, kind="stable")[:10].tolist()


@pytest.mark.parametrize("stranger", [None, 7, "", "u0000", "é" * 1000, True, 1.5])
def test_ids_of_any_kind_are_unknown_users(made, stranger):
    assert not made.retrieve(stranger, 3).known


def test_history_since_the_night_leads_an_unknown_user_to_its_taste(made):
    answer = made.retrieve("nobody", 5, history=["i03", "i11", "i19"])
    assert np.mean(np.array(tastes(made, answer)) == 3) >= 0.8
    assert not {3, 11, 19} & set(answer.items.tolist())


def test_filters_and_exclusions_hold_for_every_retriever(made):
    answer = made.retrieve(
        "u003", 20, exclude_consumed=False, conditions={"taste": [3, 4]}, exclude=["i03", "xyz"]
    )
    assert set(tastes(made, answer)) == {3, 4}
    assert 3 not in answer.items
    # All there are, also those that no retriever but the popular items finds.
    assert len(answer.items) == 2 * ITEMS // TASTES - 1
    assert len(made.retrieve("u003", 5, conditions={"taste": 99}).items) == 0


def test_a_filter_that_does_not_fit_is_refused_each_time(made):
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="taste"):
            made.retrieve("u003", 5, conditions={"tast": 3})
        with pytest.raises(ConfigurationError, match="of type"):
            made.retrieve("u003", 5, conditions={"taste": "3"})


def test_a_new_item_is_found_by_the_retriever_of_new_items(found, tmp_path):
    build(found, options(retrievers=("item_neighbours", "fresh")), tmp_path / "recommend")
    made = Recommender.load(tmp_path / "recommend")
    answer = made.retrieve("u003", 10)
    assert ITEMS - 1 in answer.items
    assert answer.found["fresh"] == {ITEMS - 1: 1}


def test_the_index_answers_as_the_exact_search(found, made, tmp_path):
    chosen = options(
        retrievers=("embeddings",), factors=Factors(dimensions=8, iterations=5, exact_below=0)
    )
    card = build(found, chosen, tmp_path / "recommend")
    assert card["retrievers"]["embeddings"]["index_recall"] > 0.95
    indexed = Recommender.load(tmp_path / "recommend")
    mask = np.ones(ITEMS, bool)
    mask[::3] = False
    for user in range(0, 120, 10):
        exact = made.candidates(user, made.liked.row(user), mask, 10, only=["embeddings"])
        near = indexed.candidates(user, made.liked.row(user), mask, 10)
        assert len(set(exact.items.tolist()) & set(near.items.tolist())) >= 9
        assert mask[near.items].all()


def test_the_same_night_again_is_the_same_folder(found, made, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    build(found, options(), one)
    build(found, options(), two)
    assert files.sha256_tree(one) == files.sha256_tree(two)


def test_a_changed_or_broken_folder_is_not_served(found, tmp_path):
    folder = tmp_path / "recommend"
    build(found, options(), folder)
    digest = files.sha256_tree(folder)
    Recommender.load(folder, digest)
    (folder / "popular" / "order.npy").write_bytes(b"")
    with pytest.raises(ContractError, match="was changed"):
        Recommender.load(folder, digest)
    with pytest.raises(ContractError, match="cannot be read"):
        Recommender.load(folder)
    shutil.rmtree(folder)
    with pytest.raises(ContractError, match="is not there"):
        Recommender.load(folder, digest)


def test_fusion_prefers_what_several_found():
    lists = [np.array([1, 2, 3], np.int32), np.array([4, 2, 5], np.int32)]
    assert fuse(lists, 3).tolist() == [2, 1, 4]
    assert fuse(lists[:1], 2).tolist() == [1, 2]

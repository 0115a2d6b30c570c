"""What every retriever of the registry promises, and what each of them finds."""

import numpy as np
import pytest

from nightshift.recommend.ragged import Ragged
from nightshift.recommend.retrievers import REGISTRY, Liked, Query
from testing.retrieval import options

USERS, ITEMS, TASTES = 40, 30, 3
NEVER = 29
"""An item that nobody touched."""


def world(listed=None):
    """Each user likes eight items whose number has the user's remainder; item 0 is liked by all."""
    random = np.random.default_rng(3)
    rows, values = [], []
    for user in range(USERS):
        own = [item for item in range(1, NEVER) if item % TASTES == user % TASTES]
        chosen = [0, *random.choice(own, 7, replace=False)]
        rows += [user] * len(chosen)
        values += chosen
    by_user = Ragged.of(np.array(rows), np.array(values), USERS)
    return Liked(USERS, ITEMS, by_user, listed)


LISTED = Ragged.of(np.array([1, 1, USERS, USERS, USERS]), np.array([5, 4, 9, 5, 8]), USERS + 1)
OPTIONS = options()


def fitted(name, folder, liked=None):
    liked = liked or world(LISTED)
    folder.mkdir()
    figures = REGISTRY[name].fit(liked, OPTIONS, folder)
    assert isinstance(figures, dict)
    return REGISTRY[name].load(folder, liked, OPTIONS)


@pytest.fixture(scope="module", params=sorted(REGISTRY))
def retriever(request, tmp_path_factory):
    return fitted(request.param, tmp_path_factory.mktemp("retriever") / request.param)


def query(user=1, *, allow=None, count=10, history=None, salt=7):
    mask = np.zeros(ITEMS, bool) if allow is not None else np.ones(ITEMS, bool)
    if allow is not None:
        mask[list(allow)] = True
    if history is None:
        history = np.zeros(0, np.int32) if user is None else world().by_user.row(user)
    return Query(user, np.array(history, np.int32), mask, count, salt)


@pytest.mark.parametrize("user", [0, 1, USERS - 1, None])
@pytest.mark.parametrize("count", [1, 5, 100])
def test_at_most_so_many_distinct_items_that_the_mask_allows(retriever, user, count):
    for allow in (None, range(0, ITEMS, 2), [NEVER], []):
        asked = query(user, allow=allow, count=count)
        found = retriever.candidates(asked).tolist()
        assert len(found) == len(set(found)) <= count
        assert all(0 <= item < ITEMS and asked.mask[item] for item in found)


def test_the_same_question_has_the_same_answer(retriever):
    first, second = (retriever.candidates(query()).tolist() for _ in range(2))
    assert first == second


def test_fewer_are_the_first_of_more(retriever):
    many = retriever.candidates(query(count=8)).tolist()
    assert retriever.candidates(query(count=3)).tolist() == many[:3]


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_the_same_data_gives_the_same_files(name, tmp_path):
    contents = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        fitted(name, folder)
        contents.append({p.name: p.read_bytes() for p in sorted(folder.iterdir())})
    assert contents[0] == contents[1]
    assert contents[0]


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_nobody_liked_anything_yet(name, tmp_path):
    nothing = Liked(2, 3, Ragged.of(np.zeros(0, np.int64), np.zeros(0, np.int32), 2))
    made = fitted(name, tmp_path / "empty", nothing)
    mask = np.ones(3, bool)
    for user in (0, None):
        found = made.candidates(Query(user, np.zeros(0, np.int32), mask, 2, 0))
        assert set(found.tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("name", ["item_neighbours", "user_neighbours", "embeddings"])
def test_those_that_learn_find_the_users_own_taste(name, tmp_path):
    made = fitted(name, tmp_path / name)
    for user in (1, 5, 12):
        own = set(world().by_user.row(user).tolist())
        new = [item for item in range(1, NEVER) if item not in own]
        found = made.candidates(query(user, allow=new, count=2))
        assert [item % TASTES for item in found.tolist()] == [user % TASTES] * 2


def test_what_most_users_liked_comes_first(tmp_path):
    made = fitted("popular", tmp_path / "popular")
    counts = np.bincount(world().by_user.values, minlength=ITEMS)
    found = made.candidates(query(None, count=ITEMS)).tolist()
    assert found[0] == 0
    assert counts[found].tolist() == sorted(counts.tolist(), reverse=True)


def test_only_what_nobody_touched_is_fresh(tmp_path):
    made = fitted("fresh", tmp_path / "fresh")
    untouched = set(range(ITEMS)) - set(world().by_user.values.tolist())
    starts = set()
    for salt in range(20):
        found = made.candidates(query(count=ITEMS, salt=salt)).tolist()
        assert set(found) == untouched
        starts.add(found[0])
    assert starts == untouched


def test_a_users_own_list_comes_before_the_list_for_everybody(tmp_path):
    made = fitted("sql_list", tmp_path / "sql_list")
    assert made.candidates(query(1)).tolist() == [5, 4, 9, 8]
    assert made.candidates(query(2)).tolist() == [9, 5, 8]
    assert made.candidates(query(None)).tolist() == [9, 5, 8]
    assert made.candidates(query(1, allow=[8, 9], count=1)).tolist() == [9]


def test_a_robots_history_counts_by_its_newest_items(tmp_path):
    made = fitted("item_neighbours", tmp_path / "item_neighbours")
    old = [item for item in range(1, NEVER) if item % TASTES == 0] * 100
    new = [item for item in range(1, NEVER) if item % TASTES == 1]
    long = made.candidates(query(None, history=[*old, *new * OPTIONS.history], count=3))
    assert (
        long.tolist()
        == made.candidates(query(None, history=new * OPTIONS.history, count=3)).tolist()
    )

"""A retrieval's folder: whole or not at all, the same twice, and of all days."""

import dataclasses
import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from nightshift import files
from nightshift.errors import DataError
from nightshift.recommend import artefact, fitting, heldout
from nightshift.recommend.recommender import Recommender
from testing.retrieval import LAST, LAST_MS, NUMBER, build, options


def without_times(card):
    """A card without the seconds that its retrievers took."""
    kept = {name: {k: v for k, v in figures.items() if not k.endswith("_s") and k != "seconds"}
            for name, figures in card["retrievers"].items()}  # fmt: skip
    return {**card, "retrievers": kept}


def test_nobody_who_liked_anything_is_an_error_and_writes_nothing(found, tmp_path):
    disliked = dataclasses.replace(found, liked=np.zeros(len(found.liked), bool))
    with pytest.raises(DataError, match=r"recommend\.interactions\.where; nobody liked anything"):
        build(disliked, options(), tmp_path / "recommend")
    assert list(tmp_path.iterdir()) == []


def test_the_card_says_of_what_it_was_made(found, tmp_path):
    card = build(found, options(retrievers=("popular",)), tmp_path / "recommend")
    assert files.read_json(tmp_path / "recommend" / artefact.CARD) == card
    assert (card["users"], card["items"], card["interactions"]) == (120, 80, 4000)
    assert (card["last_day"], card["last_ms"]) == (LAST.isoformat(), LAST_MS)
    # Three held-out days, the last ones.
    assert card["held_out"]["first_day"] == (LAST - dt.timedelta(days=2)).isoformat()
    assert set(card["retrievers"]) == {"popular"}


def test_what_serves_knows_the_newest_days_which_the_measure_did_not(found, tmp_path):
    """A user who comes on the last day alone is served by what he did."""
    new = len(found.users)
    late = dataclasses.replace(
        found,
        users=pa.concat_arrays([found.users, pa.array(["late"], pa.large_string())]),
        user=np.append(found.user, new).astype(np.int32),
        item=np.append(found.item, 3).astype(np.int32),
        day=np.append(found.day, NUMBER).astype(np.int32),
        liked=np.append(found.liked, True),
    )
    card = build(late, options(retrievers=("popular",)), tmp_path / "recommend")
    assert card["users"] == new + 1
    made = Recommender.load(tmp_path / "recommend")
    assert made.users.values.to_pylist()[-1] == "late"


def test_a_second_run_replaces_the_first_and_makes_the_same(found, tmp_path):
    out = tmp_path / "recommend"
    first = build(found, options(), out)
    (out / "left.npy").write_bytes(b"of an earlier version")
    second = build(found, options(), out)
    assert without_times(first) == without_times(second)
    assert not (out / "left.npy").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["recommend"]


def test_a_run_that_fails_on_its_way_leaves_the_folder_of_before(found, tmp_path, monkeypatch):
    out = tmp_path / "recommend"
    build(found, options(retrievers=("popular",)), out)
    before = files.sha256_tree(out)

    def fail(*_):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(heldout, "measure", fail)
    with pytest.raises(RuntimeError):
        build(found, options(retrievers=("popular",)), out)
    assert files.sha256_tree(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["recommend"]


def test_without_days_before_the_held_out_ones_nothing_is_measured(found, tmp_path):
    young = dataclasses.replace(found, day=np.full(len(found.day), NUMBER, np.int32))
    card = build(young, options(retrievers=("popular",)), tmp_path / "recommend")
    assert card["held_out"] == {"users": 0, "first_day": "2024-03-29"}


def test_a_users_list_is_of_distinct_items_the_newest_last(found):
    few = dataclasses.replace(
        found,
        user=np.array([0, 1, 0, 0, 0], np.int32), item=np.array([5, 5, 7, 5, 2], np.int32),
        day=np.full(5, NUMBER, np.int32), liked=np.array([True, True, True, True, False]),
    )  # fmt: skip
    made = fitting._lists(few, few.liked, 2)
    rows = np.split(made.values, made.starts[1:-1])
    assert [row.tolist() for row in rows] == [[7, 5], [5]]


def test_days_are_counted_since_1970():
    assert fitting.days(dt.date(1970, 1, 1)) == 0
    assert fitting.days(dt.date(2024, 3, 1)) == 19783

"""Rows of the request table for a user and items."""

import numpy as np
import pytest

from nightshift.config.recommend import Recommend
from nightshift.recommend.interactions import ID
from nightshift.recommend.requests import RequestRows

SCHEMA = [
    ("req", "string"), ("at", "timestamp"), ("user_id", "string"), ("item_id", "int64"),
    ("pair", "string"), ("genre", "string"), ("device", "string"),
]  # fmt: skip


class Made:
    """A release's retrieval, as far as rows need it."""

    columns = ("genre",)

    def __init__(self, **options):
        self.card = {"request": {"time": "at", "id": "req"}, "last_ms": 1_000}
        self._values = {ID: [10, 20, 30], "genre": ["a", None, "c"]}
        self.options = Recommend(user="user_id", item="item_id", **options)

    def values(self, name, places):
        return [self._values[name][place] for place in places]


def rows(context=None, schema=SCHEMA, **options):
    made = RequestRows(Made(**options), schema)
    return made.make("ann", np.array([2, 1]), context or {}, token="t")


def test_each_column_comes_from_the_first_that_has_it():
    first, second = rows(fill={"pair": "{user}_{item}"}, time="last_day")
    assert first == {
        "req": "t-2", "at": 1_000, "user_id": "ann", "item_id": 30, "pair": "ann_30",
        "genre": "c", "device": None,
    }  # fmt: skip
    assert (second["item_id"], second["genre"]) == (20, None)


def test_what_the_caller_gives_goes_first_and_its_time_is_the_requests():
    for row in rows({"device": "phone", "at": 5, "genre": "z"}, fill={"pair": "{time}"}):
        assert (row["device"], row["at"], row["genre"]) == ("phone", 5, "z")
        assert str(row["pair"]) == "5"


def test_a_template_with_a_value_that_is_null_gives_null():
    first, second = rows(fill={"pair": "{item.genre}-{user}"})
    assert (first["pair"], second["pair"]) == ("c-ann", None)


def test_ids_of_requests_are_numbers_where_the_column_is():
    schema = [("req", "int64"), *SCHEMA[1:]]
    assert [row["req"] for row in rows(schema=schema)] == [2, 1]


def test_random_ids_differ_from_call_to_call():
    made = RequestRows(Made(), SCHEMA)
    calls = [made.make("ann", np.array([0]), {})[0]["req"] for _ in range(3)]
    assert len(set(calls)) == 3


@pytest.mark.parametrize("count", [0, 1, 3])
def test_one_row_an_item(count):
    made = RequestRows(Made(), SCHEMA)
    assert len(made.make("ann", np.arange(count), {})) == count

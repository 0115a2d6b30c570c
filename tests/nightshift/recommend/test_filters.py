"""Conditions on columns: what they match, and what is refused."""

import pyarrow as pa
import pytest

from nightshift.errors import ConfigurationError
from nightshift.recommend import filters

TABLE = pa.table(
    {
        "brand": ["acme", "umbrella", None, "acme"],
        "price": [5, 10, 20, None],
        "genres": ["Comedy Film-Noir", "Comedies", "Drama|Comedy", ""],
        "sold": [True, False, None, True],
        "rate": [0.5, None, 1.0, 2.0],
    }
)

CASES = [
    ({}, [1, 1, 1, 1]),
    ({"brand": "acme"}, [1, 0, 0, 1]),
    ({"brand": ["acme", "umbrella"]}, [1, 1, 0, 1]),
    ({"brand": {"not": "acme"}}, [0, 1, 1, 0]),
    ({"brand": {"not": ["acme", "umbrella"]}}, [0, 0, 1, 0]),
    ({"price": {"at_least": 10}}, [0, 1, 1, 0]),
    ({"price": {"above": 5, "below": 20}}, [0, 1, 0, 0]),
    ({"price": {"at_most": 5}, "brand": "acme"}, [1, 0, 0, 0]),
    ({"genres": {"has": "Comedy"}}, [1, 0, 1, 0]),
    ({"genres": {"has": "Noir"}}, [0, 0, 0, 0]),
    ({"genres": {"has": "Film-Noir"}}, [1, 0, 0, 0]),
    ({"sold": True}, [1, 0, 0, 1]),
    ({"rate": {"at_least": 1}}, [0, 0, 1, 1]),
]


@pytest.mark.parametrize(("conditions", "wanted"), CASES, ids=[str(c) for c, _ in CASES])
def test_rows_that_fulfil_them(conditions, wanted):
    filters.check(conditions, TABLE.column_names, "filter")
    assert filters.mask(TABLE, conditions, "filter").astype(int).tolist() == wanted


@pytest.mark.parametrize(
    ("conditions", "word"),
    [
        ([], "object"),
        ({"brnd": "acme"}, "brand"),
        ({"brand": None}, "value"),
        ({"brand": []}, "list"),
        ({"brand": {}}, "at_least"),
        ({"brand": {"at_lest": 1}}, "at_least"),
        ({"brand": {"has": ["a"]}}, "has"),
        ({"brand": [["a"]]}, "list"),
    ],
)
def test_conditions_that_are_none(conditions, word):
    with pytest.raises(ConfigurationError, match=word):
        filters.check(conditions, TABLE.column_names, "filter")


@pytest.mark.parametrize(
    "conditions",
    [
        {"brand": 1},
        {"price": "10"},
        {"price": True},
        {"price": {"has": "1"}},
        {"price": 1 << 80},
        {"sold": 1},
        {"price": ["a", 1]},
    ],
)
def test_values_of_another_type_are_refused(conditions):
    filters.check(conditions, TABLE.column_names, "filter")
    with pytest.raises(ConfigurationError, match="of type"):
        filters.mask(TABLE, conditions, "filter")

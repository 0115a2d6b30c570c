"""What the page of live traffic says of a skew ledger, whatever the ledger holds."""

from __future__ import annotations

import json
import os

import pytest
from nightshift_provider.pages import skew

PRICE = {"auc": {"difference": 0.035, "low": 0.01, "high": 0.06}}
FOUND = {
    "releases": [
        {
            "release": "2026-03-01.001",
            "causes": [
                {"cause": "event late", "table": "click", "values": 7, "rows": 5,
                 "features": {"price": 4, "brand": 3}, "price": PRICE},
                {"cause": "code", "table": None, "values": 2, "rows": 2,
                 "features": {"brand": 2}, "price": None},
            ],
        }
    ]
}  # fmt: skip
ODD = [
    {},
    {"releases": {}},
    {"releases": [5, {"causes": 5}]},
    {"releases": [{"causes": [{"features": 5, "price": 5}, {"price": {"auc": "x"}}]}]},
]


def put(folder, name, content, age):
    path = folder / "skew" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))


def test_the_newest_ledger_that_can_be_read_is_shown(tmp_path):
    assert skew.newest(tmp_path) == {}
    put(tmp_path, "2026-03-01_2026-03-01.json", json.dumps({"from": "first"}), 30)
    put(tmp_path, "2026-03-02_2026-03-02.json", json.dumps({"from": "second"}), 20)
    put(tmp_path, "2026-03-03_2026-03-03.json", "{", 10)
    put(tmp_path, "2026-03-04_2026-03-04.json", "[]", 5)
    put(tmp_path, "notes.json", json.dumps({"from": "somebody"}), 0)
    assert skew.newest(tmp_path) == {"from": "second"}


def test_a_row_for_each_cause_with_its_price(tmp_path):
    first, second = skew.rows(FOUND)
    assert first == {
        "release": "2026-03-01.001", "cause": "event late: click", "values": 7, "rows": 5,
        "auc": 0.035, "low": 0.01, "high": 0.06,
    }  # fmt: skip
    assert (second["cause"], second["auc"]) == ("code", None)


def test_values_are_added_by_feature_and_prices_drawn():
    shown = str(skew.by_feature(FOUND))
    assert "brand" in shown and "price" in shown and "event late" in shown
    assert "event late: click" in str(skew.prices(FOUND))


@pytest.mark.parametrize("found", ODD)
def test_an_odd_ledger_is_an_empty_page_and_no_error(found):
    assert all(row["auc"] is None for row in skew.rows(found))
    assert skew.by_feature(found) is None
    assert skew.prices(found) is None


def test_a_count_that_is_none_draws_nothing_and_raises_nothing():
    found = {"releases": [{"causes": [{"cause": "code", "features": {"brand": "many"}}]}]}
    assert skew.by_feature(found) is None

"""Rows of a list, ranked and written."""

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nightshift.lists import writing
from nightshift.lists.pairs import Pairs


class Three(Pairs):
    """Two users and three items, without rows."""

    users, items = 2, 3
    user_ids, item_ids = pa.array(["a,1", 'b"']), pa.array([10, 20, 30])

    def rows(self, user, first, last):
        raise NotImplementedError


PAIRS = Three()


def part():
    made = writing.Part()
    made.add(0, np.array([0.1, 0.3, 0.3], np.float32), None)
    made.add(1, np.array([0.9, 0.2, 1 / 3], np.float32), 2)
    return made.table(PAIRS, "2024-03-04.001")


def test_the_best_first_and_equal_scores_in_the_items_order():
    table = part()
    assert table.column_names == ["user", "item", "score", "rank", "release"]
    assert table["item"].to_pylist() == [20, 30, 10, 10, 30]
    assert table["rank"].to_pylist() == [1, 2, 3, 1, 2]
    assert table["user"].to_pylist() == ["a,1"] * 3 + ['b"'] * 2
    assert table["score"].type == pa.float32()


def test_both_formats_keep_every_bit(tmp_path):
    table = part()
    writing.write(table, tmp_path / "part-0.parquet")
    assert pq.read_table(tmp_path / "part-0.parquet").equals(table)
    writing.write(table, tmp_path / "part-0.csv")
    with (tmp_path / "part-0.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["user"] for row in rows] == table["user"].to_pylist()
    assert [np.float32(row["score"]) for row in rows] == table["score"].to_pylist()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["part-0.csv", "part-0.parquet"]


def test_a_list_for_spreadsheets_has_no_formulas(tmp_path):
    table = part().set_column(0, "user", pa.array(["=1+1", "@a", "-2", "b", "+x"]))
    for name in ("part-0.csv", "part-0.spreadsheet.csv"):
        writing.write(table, tmp_path / name)
    plain, safe = (
        list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        for name in ("part-0.csv", "part-0.spreadsheet.csv")
    )
    assert [row.pop("user") for row in plain] == ["=1+1", "@a", "-2", "b", "+x"]
    assert [row.pop("user") for row in safe] == ["'=1+1", "'@a", "-2", "b", "'+x"]
    assert plain == safe

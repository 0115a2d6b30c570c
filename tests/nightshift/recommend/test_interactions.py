"""Reading interactions out of partitions."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.config.recommend import Recommend
from nightshift.errors import DataError
from nightshift.features.tables import SourceTables
from nightshift.recommend import interactions

TABLES = SourceTables(
    source="tables.yaml",
    events={"asked": "at", "bought": "at"},
    snapshots=("product",),
    request_table="asked",
    request_id="id",
)
LAST = dt.date(2024, 3, 5)


def put(data, table, rows, day=None):
    folder = data / table / f"ds={day}" if day else data / table
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(rows), folder / "part.parquet")


@pytest.fixture
def data(tmp_path):
    at = pa.array([3, 1, 2], pa.timestamp("ms"))
    put(tmp_path, "asked", {"id": ["a", "b", "c"], "at": at, "user": [7, 7, None],
                            "item": ["x", "y", "y"], "stars": [5, 2, 4]}, "2024-03-04")  # fmt: skip
    put(tmp_path, "asked", {"id": ["d"], "at": at[:1], "user": [9], "item": ["x"],
                            "stars": pa.array([None], pa.int64())}, "2024-03-05")  # fmt: skip
    put(tmp_path, "asked", {"id": ["old"], "at": at[:1], "user": [1], "item": ["w"],
                            "stars": [5]}, "2024-03-01")  # fmt: skip
    put(tmp_path, "bought", {"id": ["b", "nobody's"], "at": at[:2], "paid": [1, 1]}, "2024-03-05")
    put(tmp_path, "product", {"item": ["z", "x", "x"], "price": [1.5, 2.5, 3.5],
                              "since": pa.array([dt.date(2024, 1, 2)] * 3)})  # fmt: skip
    return tmp_path


def read(data, days=2, **changes):
    chosen = Recommend(**{"user": "user", "item": "item", **changes})
    return interactions.read(data, TABLES, chosen, last=LAST, days=days)


def test_rows_in_the_order_of_time_without_those_that_lack_a_side(data):
    found = read(data)
    assert found.users.to_pylist() == [7, 9]
    assert found.items["id"].to_pylist() == ["x", "y"]
    assert list(zip(found.user.tolist(), found.item.tolist(), strict=True)) == [
        (0, 1), (0, 0), (1, 0),
    ]  # fmt: skip
    assert found.dropped == 1
    assert found.liked.all()


def test_only_some_rows_count_as_liked(data):
    found = read(data, interactions={"where": {"stars": {"at_least": 4}}})
    assert found.liked.tolist() == [False, True, False]


def test_the_item_table_gives_new_items_and_columns_of_its_last_row(data):
    found = read(data, items={"table": "product", "columns": ["price", "since"]})
    assert found.items.to_pylist() == [
        {"id": "x", "price": 3.5, "since": "2024-01-02"},
        {"id": "y", "price": None, "since": None},
        {"id": "z", "price": 1.5, "since": "2024-01-02"},
    ]


def test_a_table_that_names_requests_alone_takes_user_and_item_from_them(data):
    found = read(data, interactions={"table": "bought", "where": {"paid": 1}})
    assert found.users.to_pylist() == [7]
    assert found.items["id"].to_pylist() == ["y"]


def test_what_cannot_be_read_is_named(data):
    with pytest.raises(DataError, match="userr"):
        read(
            data,
            user="userr",
            interactions={"table": "product"} | {"table": "asked", "item": "item"},
        )
    with pytest.raises(DataError, match="stars"):
        put(data, "asked", {"id": ["e"], "at": pa.array([1], pa.timestamp("ms")), "user": [1],
                            "item": ["x"]}, "2024-03-05")  # fmt: skip
        read(data, interactions={"where": {"stars": 5}})
    with pytest.raises(DataError, match="no partition"):
        interactions.read(
            data, TABLES, Recommend(user="user", item="item"), last=dt.date(2020, 1, 1), days=2
        )
    put(data, "product", {"item": [1.5]})
    with pytest.raises(DataError, match=r"product\.item is of type double"):
        read(data, items={"table": "product"})

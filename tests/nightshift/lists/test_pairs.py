"""Users by items, and the request row of each pair."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.errors import ConfigurationError
from nightshift.lists.pairs import OfFiles, OfRelease

SCHEMA = [("reqId", "string"), ("eventTime", "timestamp"), ("user", "string"),
          ("product", "string"), ("ratio", "double"), ("seen", "int32")]  # fmt: skip
AT = ("eventTime", 1_700_000_000_000)


def put(folder, name, text):
    path = folder / name
    path.write_text(text)
    return str(path)


def test_fields_of_the_user_and_of_the_item_make_a_row(tmp_path):
    users = put(tmp_path, "users.csv", "user,ratio\n007,0.5\nu2,\n")
    items = tmp_path / "items.parquet"
    pq.write_table(pa.table({"product": ["p1", "p2", "p3"], "seen": [1, None, 3]}), items)
    pairs = OfFiles(SCHEMA, users, str(items), "reqId", AT)
    assert (pairs.users, pairs.items) == (2, 3)
    assert pairs.user_ids.to_pylist() == ["007", "u2"]
    assert pairs.rows(0, 1, 3) == [
        ["list-0-1", AT[1], "007", "p2", 0.5, None],
        ["list-0-2", AT[1], "007", "p3", 0.5, 3],
    ]


def test_rows_of_a_release_that_recommends(made, tmp_path):
    pairs = OfRelease(made, SCHEMA, "all", "all", AT)
    assert (pairs.users, pairs.items) == (120, 80)
    assert pairs.rows(3, 5, 6) == [["list-3-5", AT[1], "u003", "i05", None, None]]
    users = put(tmp_path, "users.csv", "user,ratio\nu007,0.25\nnobody,1\n")
    items = put(tmp_path, "items.csv", "product\ni09\ni02\n")
    pairs = OfRelease(made, SCHEMA, users, items, AT)
    assert pairs.item_ids.to_pylist() == ["i09", "i02"]
    assert pairs.rows(1, 0, 1) == [["list-1-9", AT[1], "nobody", "i09", 1.0, None]]


@pytest.mark.parametrize(
    ("users", "items", "word"),
    [
        ("usr\nu1\n", "product\np1\n", "usr is not a column"),
        ("user\n", "product\np1\n", "no rows"),
        ("user\nu1\n", "user,product\nu1,p1\n", "both give the column user"),
        ("user,seen\nu1,many\n", "product\np1\n", "cannot be read"),
        (None, "product\np1\n", "cannot be read"),
        ("all", "product\np1\n", "give --users"),
    ],
)
def test_files_that_do_not_fit(tmp_path, users, items, word):
    given = users if users == "all" else str(tmp_path / "users.csv")
    if users not in (None, "all"):
        put(tmp_path, "users.csv", users)
    with pytest.raises(ConfigurationError, match=word):
        OfFiles(SCHEMA, given, put(tmp_path, "items.csv", items), "reqId", AT)


def test_items_that_the_release_does_not_know_are_named(made, tmp_path):
    items = put(tmp_path, "items.csv", "product\ni09\nxyz\n")
    with pytest.raises(ConfigurationError, match="1 items are not known .*'xyz'"):
        OfRelease(made, SCHEMA, "all", items, AT)

"""What a folder of files holds."""

import datetime as dt
import decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.errors import DataError
from nightshift.scaffold.survey import NAMES_A_KIND, WHO_OR_WHAT, Column, survey

AT = pa.timestamp("ms")


@pytest.fixture
def put(tmp_path):
    def write(place, **columns):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)
        return tmp_path

    return write


def test_tables_columns_and_counts(put):
    put("page/part-0.parquet", page=["a", "b"], topic=["x", None])
    folder = put("page/part-1.parquet", page=["c"], topic=["x"])
    put("_tmp/part-0.parquet", a=[1])
    (folder / "notes.txt").write_text("no table")
    (folder / "empty").mkdir()
    found = survey(folder)
    assert list(found) == ["page"]
    page = found["page"]
    assert (page.rows, page.seen, page.days) == (3, 3, ())
    assert [(c.name, c.sql, c.distinct, c.nulls) for c in page.columns] == [
        ("page", "string", 3, 0),
        ("topic", "string", 1, 1),
    ]
    assert page.is_unique("page")
    assert not page.is_unique("topic")
    assert page.shared["page"] == {"a", "b", "c"}


def test_partitions_are_days_of_one_table(put):
    put("visit/ds=2026-01-02/a.parquet", n=[2])
    folder = put("visit/ds=2026-01-01/a.parquet", n=[1])
    table = survey(folder)["visit"]
    assert table.days == (dt.date(2026, 1, 1), dt.date(2026, 1, 2))
    assert (table.rows, table.column("n").least, table.column("n").greatest) == (2, 1, 2)


@pytest.mark.parametrize(
    ("values", "kind", "binary"),
    [
        ([0, 1, None], pa.int64(), True),
        ([1, 1], pa.int32(), True),
        ([0.0, 1.0], pa.float64(), True),
        ([0.0, 0.25, 1.0], pa.float64(), False),
        ([0, 1, 2], pa.int64(), False),
        ([True, False], pa.bool_(), True),
        (["0", "1"], pa.string(), False),
        ([None], pa.int64(), False),
    ],
)
def test_a_label_is_made_of_noughts_and_ones_alone(put, values, kind, binary):
    folder = put("t/a.parquet", x=pa.array(values, kind))
    assert survey(folder)["t"].column("x").is_binary is binary


def test_a_table_may_be_one_file(put):
    folder = put("visit.parquet", n=[1, 2])
    put("page/part-0.parquet", page=["a"])
    (folder / "empty.parquet").write_bytes(b"")
    found = survey(folder)
    assert list(found) == ["page", "visit"]
    assert found["visit"].rows == 2


def test_columns_of_other_types_are_converted_or_left_out_and_both_is_kept(put):
    folder = put(
        "t/a.parquet",
        price=pa.array([decimal.Decimal("1.50")], pa.decimal128(8, 2)),
        age=pa.array([7], pa.int8()), tags=[["a"]], when=pa.array([1_790_000_000]),
        **{"a b": [1]},
    )  # fmt: skip
    table = survey(folder)["t"]
    assert [(c.name, c.sql) for c in table.columns] == [
        ("price", "double"), ("age", "int16"), ("when", "timestamp"),
    ]  # fmt: skip
    assert table.column("price").least == 1.5
    assert set(table.meanings) == {"price", "age", "when"}
    assert set(table.left_out) == {"tags", "a b"}


def test_whole_numbers_are_no_times_beside_a_timestamp(put):
    at = pa.array([dt.datetime(2026, 1, 1)], AT)
    table = survey(put("t/a.parquet", at=at, created=pa.array([1_790_000_000])))["t"]
    assert [c.sql for c in table.columns] == ["timestamp", "int64"]


def test_a_file_of_nothing_that_a_table_could_hold_is_refused(put):
    with pytest.raises(
        DataError, match="no column of it can be a table's: tags: OpenMLDB has no type"
    ):
        survey(put("t/a.parquet", tags=[["a"]]))


def test_an_empty_table_names_no_row(put):
    folder = put("t/a.parquet", x=pa.array([], pa.string()))
    assert not survey(folder)["t"].is_unique("x")


def test_a_column_that_is_not_there_is_named(put):
    table = survey(put("t/a.parquet", x=[1]))["t"]
    with pytest.raises(DataError, match="table t has no column 'y'; it has x"):
        table.column("y")


@pytest.mark.parametrize(
    ("place", "columns", "why"),
    [
        ("a-b/a.parquet", {"x": [1]}, "letters, digits and _ only"),
        ("t/a.parquet", {"a b": [1]}, "rename it"),
        ("t/a.parquet", {"x": pa.array([[1]])}, "OpenMLDB has no type for"),
    ],
)
def test_names_and_types_that_openmldb_lacks_are_refused(put, place, columns, why):
    with pytest.raises(DataError, match=why):
        survey(put(place, **columns))


def test_a_folder_without_tables_says_what_one_is(tmp_path):
    with pytest.raises(DataError, match="holds no table: each needs a folder of its own"):
        survey(tmp_path)
    with pytest.raises(DataError, match="none is not there; give a folder"):
        survey(tmp_path / "none")
    (tmp_path / "rows.parquet").touch()
    with pytest.raises(DataError, match="rows.parquet is a file; give a folder"):
        survey(tmp_path / "rows.parquet")


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.parquet").write_text("no parquet")
    with pytest.raises(DataError, match=r"a\.parquet"):
        survey(tmp_path)


def test_binary_is_said_of_what_was_counted():
    assert Column("x", "int64", 2, 0, 0, 1).is_binary
    assert not Column("x", "int64", 0, 9, None, None).is_binary


@pytest.mark.parametrize(
    ("name", "whether"),
    [
        *((name, True) for name in ("id", "user_id", "userId", "uid", "adid", "jobid", "bid_id")),
        *((name, False) for name in ("bid", "max_bid", "paid", "amount_prepaid", "price")),
    ],
)
def test_a_name_that_ends_in_id_names_something_unless_it_is_a_word(name, whether):
    assert (WHO_OR_WHAT.search(name) is not None) is whether
    assert (NAMES_A_KIND.search(name) is not None) is whether

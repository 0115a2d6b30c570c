"""Parquet files of the product: which count, and what is said of a wrong one."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from nightshift.data import reading
from nightshift.errors import DataError

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.timezone.utc)


@pytest.fixture
def folder(tmp_path):
    for name, at in (("b", NOON), ("a", NOON - dt.timedelta(hours=1)), ("_hidden", NOON)):
        table = pa.table({"id": [name], "at": pa.array([at], pa.timestamp("us", "UTC"))})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    (tmp_path / "notes.txt").write_text("no data")
    (tmp_path / ".c.parquet.crc").write_bytes(b"crc")
    return tmp_path


def test_data_files_are_those_that_spark_would_read(folder):
    assert [path.name for path in reading.parquet_files(folder)] == ["a.parquet", "b.parquet"]
    assert reading.parquet_files(folder / "absent") == []


def test_rows_and_values_of_several_files(folder):
    paths = reading.parquet_files(folder)
    assert reading.rows(paths) == 2
    assert reading.table(paths)["id"].to_pylist() == ["a", "b"]
    assert reading.table(paths, columns=["id"]).column_names == ["id"]
    chosen = reading.batches(paths, where=pc.field("id") == "b")
    assert [row["id"] for batch in chosen for row in batch.to_pylist()] == ["b"]


def test_the_newest_time_over_all_files(folder):
    paths = reading.parquet_files(folder)
    assert reading.newest_ms(paths, "at") == int(NOON.timestamp() * 1000)
    assert reading.newest_ms(paths, "id") is None
    assert reading.newest_ms([], "at") is None


def test_nulls_over_all_files_are_known_where_each_footer_counts_them(folder):
    table = pa.table({"id": pa.array([None, "c"], pa.string()), "at": [None, NOON]})
    pq.write_table(table, folder / "c.parquet")
    pq.write_table(table, folder / "d.parquet", write_statistics=["id"])
    paths = reading.parquet_files(folder)
    assert reading.null_counts(paths[:3], {"id", "at", "price"}) == {"id": 1, "at": 1}
    assert reading.null_counts(paths, {"id", "at"}) == {"id": 2}


def test_what_is_wrong_names_the_file_and_is_not_tried_again(folder):
    paths = reading.parquet_files(folder)
    with pytest.raises(DataError, match=r"a\.parquet.*price"):
        reading.table(paths, columns=["price"])
    with pytest.raises(DataError, match="no file"):
        reading.table([])
    (folder / "c.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"c\.parquet"):
        reading.rows(reading.parquet_files(folder))


def test_two_files_of_a_table_have_one_schema(folder):
    pq.write_table(pa.table({"id": [1], "at": ["noon"]}), folder / "z.parquet")
    with pytest.raises(DataError, match=r"z\.parquet.*one schema"):
        reading.table(reading.parquet_files(folder))

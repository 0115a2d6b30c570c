"""Parquet files: read alike, refused with their name, and what Spark 3.2 would refuse."""

import datetime as dt

import duckdb
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from openmldb_files import (
    FileError,
    columns_of,
    nulls_of,
    read_parquet,
    rows_of,
    spark_faults,
)
from openmldb_files.parquet import open_parquet


def rows(path, **options):
    return [row for batch in read_parquet(path, **options) for row in batch.to_pylist()]


@pytest.mark.parametrize("int96", [False, True])
def test_far_times_are_right_in_int96_too(tmp_path, int96):
    times = [dt.datetime(9999, 12, 31), dt.datetime(2026, 1, 1), dt.datetime(1600, 1, 1)]
    table = pa.table({"until": pa.array(times, pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "x.parquet", use_deprecated_int96_timestamps=int96)
    assert [row["until"] for row in rows(tmp_path / "x.parquet")] == times


def test_columns_come_in_the_order_asked_for_and_rows_by_a_condition(tmp_path):
    table = pa.table({"a": [1, 2, 3], "b": pa.array(["x", "y", "x"], pa.large_string())})
    pq.write_table(table, tmp_path / "x.parquet")
    found = rows(tmp_path / "x.parquet", columns=["b", "a"], where=pc.field("b") == "x")
    assert found == [{"b": "x", "a": 1}, {"b": "x", "a": 3}]
    assert list(found[0]) == ["b", "a"]


def test_nulls_are_counted_from_the_footer_where_it_has_statistics(tmp_path):
    table = pa.table({"s": [{"a": None}] * 5, "a": [1, None, 3, None, None], "b": list("vwxyz")})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    assert nulls_of(tmp_path / "x.parquet", ["b", "a", "c"]) == {"a": 3, "b": 0}
    pq.write_table(table, tmp_path / "x.parquet", write_statistics=["b"])
    assert nulls_of(tmp_path / "x.parquet", ["a", "b"]) == {"a": None, "b": 0}


def test_a_column_that_is_not_there_is_named(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(FileError, match=r"x\.parquet, column b: the file has no such column"):
        rows(tmp_path / "x.parquet", columns=["b"])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"\0\5\26\7\0\2\0\0Mac OS X".ljust(96), "is not parquet"),
        (b"PAR1 cut short", "no whole footer"),
    ],
)
def test_what_is_no_parquet_is_named(tmp_path, content, why):
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    for read in (columns_of, rows_of, rows, spark_faults, lambda path: nulls_of(path, ["a"])):
        with pytest.raises(FileError, match=rf"x\.parquet.*{why}"):
            read(path)


def test_text_that_is_no_utf8_is_named(tmp_path):
    table = pa.table({"n": [1], "k": pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())})
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(FileError, match="column k: text that is no UTF-8"):
        rows(tmp_path / "x.parquet")


def test_a_damaged_page_is_refused_with_the_files_name(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[40:80] = b"\0" * 40
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"x\.parquet"):
        rows(path)


def faults(tmp_path, table, **options):
    path = tmp_path / "x.parquet"
    pq.write_table(table, path, **options)
    return {fault.column: fault.reason for fault in spark_faults(path)}


def test_what_spark_reads_has_no_fault(tmp_path):
    table = pa.table(
        {
            "b": [True, None],
            "t": pa.array([0, 1], pa.timestamp("us")),
            "s": ["x", "y"],
            "d": [dt.date(2026, 1, 1), None],
        }
    )
    for codec in ("snappy", "gzip", "zstd", "none"):
        assert faults(tmp_path, table, compression=codec) == {}
    assert faults(tmp_path, table, use_deprecated_int96_timestamps=True) == {}


def test_what_spark_refuses_is_named_by_column(tmp_path):
    ns = pa.table({"t": pa.array([1], pa.timestamp("ns"))})
    assert "nanoseconds" in faults(tmp_path, ns)["t"]
    boolean = pa.table({"a": [1], "b": [True]})
    assert list(faults(tmp_path, boolean, data_page_version="2.0")) == ["b"]
    delta = {"use_dictionary": False, "column_encoding": {"a": "DELTA_BINARY_PACKED"}}
    assert "DELTA_BINARY_PACKED" in faults(tmp_path, pa.table({"a": [1, 2]}), **delta)["a"]
    assert "LZ4" in faults(tmp_path, pa.table({"a": [1]}), compression="lz4")["a"]
    old = pa.table({"d": [dt.date(1500, 1, 1)], "t": pa.array([-(10**16)], pa.timestamp("us"))})
    assert set(faults(tmp_path, old)) == {"d", "t"}


def test_too_little_memory_is_no_damage_of_the_file(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(MemoryError), open_parquet(path):
        raise pa.ArrowMemoryError("malloc of size 3706112 failed")


def test_a_column_that_arrow_does_not_read_is_named(tmp_path):
    """DuckDB writes differences of int32 beyond 32 bits as Arrow does not take them."""
    path = tmp_path / "a.parquet"
    rows = pa.table({"n": [1, 2], "far": pa.array([1, -(2**31)], pa.int32())})
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        connection.execute(f"COPY rows TO '{path}' (FORMAT parquet, PARQUET_VERSION V2)")
    with pytest.raises(FileError, match="column far: the parquet file cannot be read") as caught:
        list(read_parquet(path))
    assert caught.value.column == "far"


def test_a_type_that_arrow_lacks_is_no_cut_file(tmp_path):
    """polars writes whole numbers of 128 bits."""
    path = tmp_path / "a.parquet"
    polars.DataFrame({"n": [1]}, schema={"n": polars.Int128}).write_parquet(path)
    with pytest.raises(FileError, match="of a type that is not read: Integers with more than 64"):
        columns_of(path)


def test_texts_come_by_a_dictionary_where_the_file_holds_one(tmp_path):
    few = [None if n % 7 == 0 else f"v{n % 5}" for n in range(2000)]
    many = [f"{n:01500d}" for n in range(2000)]  # beyond what a writer keeps a dictionary for
    table = pa.table({"few": few, "many": many, "number": list(range(2000))})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1000)
    wanted = ("few", "many", "number", "missing")
    batches = list(read_parquet(tmp_path / "a.parquet", batch_rows=300, encoded=wanted))
    types = [str(kind) for kind in batches[0].schema.types]
    assert types == ["dictionary<values=string, indices=int32, ordered=0>", "string", "int64"]
    read = pa.Table.from_batches(batches)
    assert read["few"].cast(pa.string()).to_pylist() == few
    assert read["many"].to_pylist() == many


def test_text_of_a_dictionary_that_is_no_utf8_is_refused(tmp_path):
    raw = pa.array([b"fine", b"\xe9"] * 50)
    column = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
    pq.write_table(pa.table({"x": column}), tmp_path / "a.parquet")
    with pytest.raises(FileError, match="x.*no UTF-8"):
        list(read_parquet(tmp_path / "a.parquet", encoded=["x"]))

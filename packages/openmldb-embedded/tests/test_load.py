"""LOAD DATA's readers: files of any writer, CSV as Spark reads it."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.export import ExportOptions, _quoted
from openmldb_embedded.load import LoadOptions, read_files
from openmldb_sql.types import SqlType, schema_of

WORDS = schema_of([("p", SqlType.STRING), ("n", SqlType.INT32)])


def read(path: Path, schema: Any = WORDS, **options: Any) -> list[list[Any]]:
    tables = read_files([path], schema, LoadOptions.of(options))
    return [list(row) for table in tables for row in Batch.from_arrow(table).to_rows()]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"C:\dir\new", r"C:\dir\new"),
        ("ends\\", "ends\\"),
        (r'"C:\dir\new"', r"C:\dir\new"),
        (r'"say \"hi\" in C:\dir"', r'say "hi" in C:\dir'),
    ],
)
def test_a_backslash_escapes_a_quote_alone(tmp_path: Path, text: str, value: str) -> None:
    (tmp_path / "x.csv").write_text(f"p,n\n{text},1\nb,2\n")
    assert read(tmp_path / "x.csv") == [[value, 1], ["b", 2]]


@pytest.mark.parametrize("value", ['a"b', "a,b", "a,b\\", 'a\\"b', "\\", 'C:\\x, "y" \\', ""])
def test_what_is_exported_comes_back(tmp_path: Path, value: str) -> None:
    cell = _quoted(value, ExportOptions.of({"format": "csv", "quote": '"'}))
    (tmp_path / "x.csv").write_text(f"p,n\n{cell},1\nb,2\n")
    assert read(tmp_path / "x.csv", quote='"') == [[value, 1], ["b", 2]]


EVERY = schema_of(
    [
        ("p", SqlType.STRING), ("n", SqlType.INT32), ("b", SqlType.BOOL), ("f", SqlType.DOUBLE),
        ("d", SqlType.DATE),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ('"a,b",1,true,1.5,2021-12-01', ["a,b", 1, True, 1.5, dt.date(2021, 12, 1)]),
        ('"say ""hi""",1,TRUE,1,2021-12-1', ['"say ""hi"""', 1, True, 1.0, dt.date(2021, 12, 1)]),
        ("a, 1, true, 1.5 ,2021/12/01", ["a", None, None, 1.5, None]),
        ("a,1.0,1,1f,20211201", ["a", None, None, 1.0, None]),
        ("a,3000000000,t,x,2021-12-01 10:00:00", ["a", None, None, None, dt.date(2021, 12, 1)]),
        ("a,1", ["a", 1, None, None, None]),
        ("a,1,true,1.5,2021-12-01,more,cells", ["a", 1, True, 1.5, dt.date(2021, 12, 1)]),
        ('a"b,1,true,"1.5",', ['a"b', 1, True, 1.5, None]),
        ('"null",null,null,,', [None, None, None, None, None]),
    ],
)
@pytest.mark.parametrize("beside", ["", 'x,"never ends\n'], ids=["alone", "beside an odd line"])
def test_a_line_is_cut_and_read_as_by_spark(
    tmp_path: Path, line: str, row: list[Any], beside: str
) -> None:
    (tmp_path / "x.csv").write_text(f"p,n,b,f,d\n{line}\n{beside}\n")
    found = [list(one) for one in read(tmp_path / "x.csv", EVERY)]
    assert row in found
    assert len(found) == 1 + bool(beside)


def test_text_over_lines_and_bytes_that_are_no_text_are_as_spark_reads_them(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b'p,n\n"two\nlines",1\n\xe9,2\n')
    assert read(tmp_path / "x.csv") == [["two", None], ['lines"', 1], ["\ufffd", 2]]


def test_a_date_that_no_calendar_has_fails_the_load(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("p,n,b,f,d\na,1,true,1,2021-02-30\n")
    with pytest.raises(ExecutionError, match="column d: 2021-02-30 is not a date"):
        read(tmp_path / "x.csv", EVERY)


def test_an_option_that_there_is_not_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("p,n\na,1\n")
    assert read(tmp_path / "x.csv", unknown=1) == [["a", 1]]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_text_of_any_writer_is_a_string(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"p": pa.array(["a", None], kind), "n": pa.array([1, 2], pa.int32())})
    pq.write_table(table, tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet", format="parquet") == [["a", 1], [None, 2]]


@pytest.mark.parametrize("int96", [False, True])
def test_far_times_are_right_in_int96_too(tmp_path: Path, int96: bool) -> None:
    schema = schema_of([("until", SqlType.TIMESTAMP)])
    until = [dt.datetime(9999, 12, 31), dt.datetime(2026, 1, 1)]
    table = pa.table({"until": pa.array(until, pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "x.parquet", use_deprecated_int96_timestamps=int96)
    found = read(tmp_path / "x.parquet", schema, format="parquet")
    assert found == [[253402214400000], [1767225600000]]


def test_empty_files_are_passed_over_but_not_alone(tmp_path: Path) -> None:
    (tmp_path / "x.csv").touch()
    assert read(tmp_path / "x.csv") == []
    (tmp_path / "x.parquet").touch()
    with pytest.raises(ExecutionError, match="only empty files"):
        read(tmp_path / "x.parquet", format="parquet")


@pytest.mark.parametrize(("end", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_packed_csv_is_read(tmp_path: Path, end: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"x.csv{end}"
    path.write_bytes(pack(b"p,n\na,1\n"))
    assert read(path) == [["a", 1]]
    path.write_bytes(pack(b"p,n\na,1\n")[:-9])
    with pytest.raises(ExecutionError, match=rf"x\.csv\{end} cannot be read as csv: "):
        read(path)
    path.write_bytes(b"p,n\na,1\n")
    with pytest.raises(ExecutionError, match=rf"x\.csv\{end} cannot be read as csv: "):
        read(path)


@pytest.mark.parametrize("end", [".zst", ".lz4", ".snappy", ".deflate"])
def test_other_packings_are_named(tmp_path: Path, end: str) -> None:
    (tmp_path / f"x.csv{end}").write_bytes(b"whatever")
    with pytest.raises(ExecutionError, match=rf"\{end} files are not read; unpack it"):
        read(tmp_path / f"x.csv{end}")


def test_the_column_that_differs_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"p": ["a"], "n": [1]}), path)
    with pytest.raises(ExecutionError, match=r"x\.parquet, column n: it is int64 in the file and"):
        read(path, format="parquet")
    pq.write_table(pa.table({"P": ["a"], "n": pa.array([1], pa.int32())}), path)
    with pytest.raises(ExecutionError, match="column p: the file has no such column; it has 'P'"):
        read(path, format="parquet")


def test_columns_that_the_table_lacks_are_left_out(tmp_path: Path) -> None:
    table = pa.table({"x": [1.5], "p": ["a"], "n": pa.array([1], pa.int32()), "y": [2]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet", format="parquet") == [["a", 1]]


def test_a_later_file_may_lack_a_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"p": ["a"], "n": pa.array([1], pa.int32())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"p": ["b"]}), tmp_path / "b.parquet")
    tables = read_files(
        [tmp_path / "a.parquet", tmp_path / "b.parquet"], WORDS, LoadOptions(format="parquet")
    )
    rows = [list(row) for table in tables for row in Batch.from_arrow(table).to_rows()]
    assert rows == [["a", 1], ["b", None]]
    with pytest.raises(ExecutionError, match="column n: the file has no such column"):
        read(tmp_path / "b.parquet", format="parquet")


@pytest.mark.parametrize("rows", [0, 1])
def test_what_sparks_batch_engine_refuses_is_refused(tmp_path: Path, rows: int) -> None:
    schema = schema_of([("t", SqlType.TIMESTAMP), ("b", SqlType.BOOL)])
    path = tmp_path / "x.parquet"
    times = pa.array([0] * rows, pa.timestamp("us"))
    table = pa.table({"t": times, "b": pa.array([True] * rows, pa.bool_())})
    pq.write_table(table.set_column(0, "t", times.cast(pa.timestamp("ns"))), path)
    with pytest.raises(ExecutionError, match="column t: .* nanoseconds"):
        read(path, schema, format="parquet")
    pq.write_table(table, path, data_page_version="2.0")
    if rows:
        with pytest.raises(ExecutionError, match="column b: .* BOOLEAN in data pages v2"):
            read(path, schema, format="parquet")
    else:
        assert read(path, schema, format="parquet") == []

"""The sizes of pages, as they stand in files of several writers, and headers that are none."""

import io
import random

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from predict_server import parquet_pages
from predict_server.parquet_pages import PagesError, check_pages

ROWS = 50_000
TABLE = pa.table(
    {
        "n": pa.array(range(ROWS)),
        "s": [f"value {n % 1000}" for n in range(ROWS)],
        "none": pa.nulls(ROWS, pa.int32()),
        "d": [n / 3 for n in range(ROWS)],
        "b": [n % 2 == 0 for n in range(ROWS)],
        "fixed": pa.array([b"%08d" % n for n in range(ROWS)], pa.binary(8)),
    }
)


def check(file):
    parquet = pq.ParquetFile(file)
    check_pages(file, parquet.metadata, parquet.schema)


def written(table, **options):
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dictionary": False, "compression": "none"},
        {"data_page_version": "2.0", "compression": "zstd"},
        {"data_page_size": 1000, "write_page_checksum": True, "write_page_index": True},
        {"use_dictionary": False, "use_byte_stream_split": ["d"], "row_group_size": 7000},
    ],
    ids=str,
)
def test_pages_hold_all_values_of_their_column(options):
    file = written(TABLE, **options)
    parquet = pq.ParquetFile(file)
    for number in range(parquet.metadata.num_row_groups):
        group = parquet.metadata.row_group(number)
        for at in range(group.num_columns):
            chunk = group.column(at)
            pages = list(parquet_pages._pages(file, chunk))
            assert sum(one.header + one.unpacked for one in pages) == chunk.total_uncompressed_size
    check(file)


def test_other_writers_files_pass(tmp_path):
    path = tmp_path / "duck.parquet"
    taken = TABLE.drop_columns(["fixed"])  # noqa: F841 (DuckDB finds it by its name)
    for options in ("FORMAT parquet", "FORMAT parquet, PARQUET_VERSION v2"):
        duckdb.sql(f"COPY (SELECT * FROM taken) TO '{path}' ({options})")
        with path.open("rb") as file:
            check(file)


def test_what_unpacks_to_too_much_is_told(monkeypatch):
    monkeypatch.setattr(parquet_pages, "MAX_AT_ONCE", 10**6)
    texts = pa.table({"a": ["x" * 1000] * 700, "b": ["y" * 1000] * 700})
    check(written(texts.select(["a"]), use_dictionary=False))
    with pytest.raises(PagesError, match="14[0-9]{5} bytes at once"):
        check(written(texts, use_dictionary=False, data_page_size=1 << 30))
    check(written(texts, use_dictionary=False, row_group_size=100))
    monkeypatch.setattr(parquet_pages, "MAX_PAGES", 3)
    with pytest.raises(PagesError, match="more than 3 pages"):
        check(written(texts, row_group_size=100))


def test_values_that_a_dictionary_may_repeat_are_short():
    long = pa.table({"a": pa.array([b"x" * 5000] * 3, pa.binary(5000))})
    with pytest.raises(PagesError, match="5000 bytes each"):
        check(written(long))


def test_a_damaged_header_is_told_or_read():
    whole = written(TABLE.slice(0, 2000)).getvalue()
    parquet = pq.ParquetFile(io.BytesIO(whole))
    chunk = parquet.metadata.row_group(0).column(1)
    at_random = random.Random(7)
    told = 0
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(4):
            damaged[chunk.dictionary_page_offset + at_random.randrange(12)] = at_random.randrange(
                256
            )
        try:
            check_pages(io.BytesIO(bytes(damaged)), parquet.metadata, parquet.schema)
        except PagesError:
            told += 1
    assert told > 100

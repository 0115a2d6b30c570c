"""The sizes of pages, as they stand in files of several writers, and headers that are none."""

import io
import random

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from predict_server import parquet_pages
from predict_server.parquet_pages import Footer, PagesError, TooLargeError, check_pages

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
    check_pages(file, Footer.of(file), pq.ParquetFile(file).schema)


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
    metadata, footer = pq.ParquetFile(file).metadata, Footer.of(file)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    assert footer.rows == ROWS
    assert footer.unpacked == sum(group.total_byte_size for group in groups)
    for group, chunks in zip(groups, footer.groups, strict=True):
        assert len(chunks) == group.num_columns
        for at, chunk in enumerate(chunks):
            pages = list(parquet_pages._pages(file, chunk))
            taken = sum(one.header + one.unpacked for one in pages)
            assert taken == group.column(at).total_uncompressed_size
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
    with pytest.raises(TooLargeError, match="14[0-9]{5} bytes at once"):
        check(written(texts, use_dictionary=False, data_page_size=1 << 30))
    check(written(texts, use_dictionary=False, row_group_size=100))
    monkeypatch.setattr(parquet_pages, "MAX_PAGES", 3)
    with pytest.raises(TooLargeError, match="more than 3 pages"):
        check(written(texts, row_group_size=100))


def test_values_that_a_dictionary_may_repeat_are_short():
    long = pa.table({"a": pa.array([b"x" * 5000] * 3, pa.binary(5000))})
    with pytest.raises(TooLargeError, match="5000 bytes each"):
        check(written(long))


def test_a_damaged_header_is_told_or_read():
    whole = written(TABLE.slice(0, 2000)).getvalue()
    parquet, footer = pq.ParquetFile(io.BytesIO(whole)), Footer.of(io.BytesIO(whole))
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
            check_pages(io.BytesIO(bytes(damaged)), footer, parquet.schema)
        except PagesError as error:
            told += not isinstance(error, TooLargeError)
    assert told > 100


def test_a_damaged_footer_is_told_or_read():
    """pyarrow's own reading of a column's metadata ends the process at some of these."""
    whole = written(TABLE.slice(0, 50)).getvalue()
    schema = pq.ParquetFile(io.BytesIO(whole)).schema
    begin = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    at_random = random.Random(11)
    told = 0
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[at_random.randrange(begin, len(whole))] = at_random.randrange(256)
        file = io.BytesIO(bytes(damaged))
        try:
            check_pages(file, Footer.of(file), schema)
        except PagesError:
            told += 1
    assert told > 100


def test_a_footer_that_is_none_is_told(monkeypatch):
    for content in (b"", b"PAR1", b"\xff" * 20, b"PAR1\x00\xff\xff\xff\xffPAR1"):
        with pytest.raises(PagesError, match="footer"):
            Footer.of(io.BytesIO(content))
    monkeypatch.setattr(parquet_pages, "MAX_FOOTER", 10)
    with pytest.raises(TooLargeError, match="write larger row groups"):
        Footer.of(written(TABLE))


def test_a_footer_of_very_many_values_is_not_read_to_its_end():
    """Each of its four million bytes is a row group without anything in it."""
    size = 4 * 2**20 - 100
    number = bytes((size >> shift & 127) | 128 for shift in (0, 7, 14)) + bytes([size >> 21])
    footer = b"\x49\xfc" + number + bytes(size) + b"\x00"
    content = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(TooLargeError, match="more than 300000 values; write larger row groups"):
        Footer.of(io.BytesIO(content))


def test_a_page_header_that_is_stuffed_is_no_header():
    with pytest.raises(PagesError, match="header of a page"):
        parquet_pages._read_header(b"\x13\x00" * 30_000)


def test_a_file_of_many_columns_and_row_groups_has_a_footer_that_is_read():
    wide = pa.table({f"column_{n}": list(range(200)) for n in range(30)})
    assert len(Footer.of(written(wide, row_group_size=1)).groups) == 200

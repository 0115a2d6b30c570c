"""CSV, read strictly: nothing is repaired, and what is wrong is named with its file."""

import gzip

import pyarrow as pa
import pytest
from openmldb_files import FileError
from openmldb_files.delimited import Dialect, header_of, read_delimited


@pytest.fixture
def file(tmp_path):
    def write(content, name="part-0.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


PLAIN = Dialect()


def rows_of(path, dialect=PLAIN):
    table = pa.Table.from_batches(list(read_delimited(path, dialect)))
    assert set(table.schema.types) == {pa.string()}
    return [tuple(row.values()) for row in table.to_pylist()]


def test_every_cell_is_text_and_an_empty_one_is_null(file):
    path = file('id,name\n007,"a ""b"", c"\n1.50,""\ntrue,\nNaN,null\n')
    assert header_of(path) == ["id", "name"]
    assert rows_of(path) == [
        ("007", 'a "b", c'),
        ("1.50", ""),
        ("true", None),
        ("NaN", "null"),
    ]


def test_a_backslash_is_a_character_and_a_quoted_cell_may_hold_lines(file):
    assert rows_of(file('a,b\nx\\n,"1\n2"\n')) == [("x\\n", "1\n2")]


@pytest.mark.parametrize(("name", "delimiter"), [("x.tsv", "\t"), ("x.csv", ","), ("x.txt", ",")])
def test_the_delimiter_follows_the_name_unless_it_is_given(file, name, delimiter):
    assert rows_of(file(f"a{delimiter}b\n1{delimiter}2\n", name)) == [("1", "2")]
    assert rows_of(file("a;b\n1;2\n", name), Dialect(delimiter=";")) == [("1", "2")]


def test_gzip_is_read_by_the_name_and_a_cut_file_is_refused(file):
    packed = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(5000)))
    assert len(rows_of(file(packed, "x.csv.gz"))) == 5000
    path = file(packed[:-200], "cut.csv.gz")
    with pytest.raises(FileError, match=r"cut\.csv\.gz"):
        rows_of(path)


@pytest.mark.parametrize("row", ["1\n", "1,2,3\n"])
def test_a_row_of_another_width_than_the_header_is_refused(file, row):
    with pytest.raises(FileError, match="columns"):
        rows_of(file("a,b\n1,2\n" + row))


def test_a_column_named_twice_is_refused(file):
    with pytest.raises(FileError, match="twice") as raised:
        header_of(file("a,b,a\n1,2,3\n"))
    assert raised.value.column == "a"


def test_an_empty_file_is_refused(file):
    with pytest.raises(FileError, match="not even a header"):
        header_of(file(""))


def test_text_of_another_encoding_is_refused_unless_it_is_named(file):
    path = file("a\ncaf\u00e9\n".encode("latin-1"))
    with pytest.raises(FileError, match="--encoding"):
        rows_of(path)
    assert rows_of(path, Dialect(encoding="latin-1")) == [("caf\u00e9",)]
    with pytest.raises(FileError, match="nonesuch"):
        rows_of(path, Dialect(encoding="nonesuch"))

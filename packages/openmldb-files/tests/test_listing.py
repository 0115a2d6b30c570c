"""Which files count: Spark's rule, in folders and under patterns."""

import pytest
from openmldb_files import FileError, data_files, expand, list_files
from openmldb_files.names import alternatives


@pytest.fixture
def folder(tmp_path):
    for name in (
        "part-0.parquet",
        "_part-0.parquet",
        ".part-0.parquet",
        "._part-0.parquet",
        ".part-0.parquet.crc",
        "part-1.parquet._COPYING_",
        "_SUCCESS",
        "notes.txt",
    ):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "part-2.parquet").touch()
    (tmp_path / "_temporary").mkdir()
    (tmp_path / "_temporary" / "part-9.parquet").write_bytes(b"x")
    return tmp_path


def names_of(paths):
    return [path.name for path in paths]


def test_a_folder_holds_its_visible_files_that_are_not_empty(folder):
    assert names_of(data_files(folder)) == ["notes.txt", "part-0.parquet"]
    assert names_of(data_files(folder, suffix=".parquet")) == ["part-0.parquet"]


def test_what_is_passed_over_is_said(folder):
    listing = list_files(folder, suffix=".parquet")
    assert names_of(listing.empty) == ["part-2.parquet"]
    why = {item.path.name: item.why for item in listing.passed_over}
    assert why["_part-0.parquet"] == "a hidden or unfinished file"
    assert why["notes.txt"] == "its name does not end in .parquet"
    assert why["_temporary"] == "a folder that is not a partition"


def test_a_folder_that_is_not_there_has_no_file(tmp_path):
    assert data_files(tmp_path / "none") == []


@pytest.mark.parametrize("pattern", ["*", "*.parquet", "{part,_part,.part}-0.parquet", "p?rt-[0]*"])
def test_a_pattern_never_takes_a_hidden_copy_along(folder, pattern):
    found = {
        path.name
        for one in alternatives(f"{folder}/{pattern}")
        for path in expand(one)
        for path in data_files(path)
    }
    assert "part-0.parquet" in found
    assert not {name for name in found if name.startswith(("_", "."))}


def test_partition_folders_are_read_through(tmp_path):
    for day in ("ds=2026-01-02", "ds=2026-01-01", "_tmp", "other"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "part-0.parquet").write_bytes(b"x")
    assert [path.parent.name for path in data_files(tmp_path)] == ["ds=2026-01-01", "ds=2026-01-02"]
    (tmp_path / "part-0.parquet").write_bytes(b"x")
    with pytest.raises(FileError, match="lie beside partition folders"):
        data_files(tmp_path)

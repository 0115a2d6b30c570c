"""Which files count: Spark's rule, in folders and under patterns."""

import pytest
from openmldb_files import FileError, data_files, expand, list_files
from openmldb_files.names import alternatives, component, is_data_name


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


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("part-0.parquet", True),
        ("_SUCCESS", False),
        ("_metadata", False),
        (".hidden", False),
        ("._x.parquet", False),
        ("x._COPYING_", False),
        ("_k=1", True),
        ("ds=2026-01-01", True),
        ("a_b", True),
    ],
)
def test_names_that_spark_reads(name, counts):
    assert is_data_name(name) is counts


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


def test_braces_reach_over_folders_and_nest():
    assert set(alternatives("/d/{a/b,c{1,2}}/x")) == {"/d/a/b/x", "/d/c1/x", "/d/c2/x"}
    with pytest.raises(ValueError, match="more than"):
        alternatives("{a,b}" * 20)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a*c", ["ac", "abc"], ["ab", "xac"]),
        ("a?c", ["abc"], ["ac", "abbc"]),
        ("[a-c]x", ["bx"], ["dx"]),
        ("[^a-c]x", ["dx"], ["bx"]),
        ("[!a]", ["b"], ["a"]),
        (r"\*", ["*"], ["a"]),
        ("a.b", ["a.b"], ["axb"]),
        ("[]a]", ["]", "a"], ["b"]),
    ],
)
def test_hadoops_patterns(pattern, yes, no):
    matcher = component(pattern)
    assert all(matcher.fullmatch(name) for name in yes)
    assert not any(matcher.fullmatch(name) for name in no)


def test_a_bracket_that_is_not_closed_is_named():
    with pytest.raises(ValueError, match="not closed"):
        component("[ab")

"""Hadoop's path patterns, and which names stand for data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmldb_files.names import (
    alternatives,
    component,
    has_pattern,
    is_data_name,
    is_partition_name,
    plain,
)


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


@pytest.mark.parametrize(
    ("name", "is_one"), [("ds=2026-01-01", True), ("ds=", True), ("=x", False), ("ds", False)]
)
def test_a_partition_folder_has_a_column_and_a_value(name, is_one):
    assert is_partition_name(name) is is_one


@pytest.mark.parametrize(
    ("path", "has"),
    [
        ("/data/a-b_c.parquet", False),
        ("/data/*.parquet", True),
        ("/data/a?", True),
        ("/data/[ab]", True),
        ("/data/{a,b}", True),
        (r"/data/\*", False),
        (r"/data/\{a}", False),
        (r"/data/\[a]*", True),
    ],
)
def test_an_escaped_character_is_no_pattern(path, has):
    assert has_pattern(path) is has


def test_escapes_are_taken_off_a_plain_path():
    assert plain(r"/data/\*\[a\]\\b") == r"/data/*[a]\b"


def test_braces_reach_over_folders_and_nest():
    assert set(alternatives("/d/{a/b,c{1,2}}/x")) == {"/d/a/b/x", "/d/c1/x", "/d/c2/x"}
    assert alternatives("/d/{a,a}") == ["/d/a"]
    assert alternatives(r"/d/\{a,b\}") == [r"/d/\{a,b\}"]
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


@given(st.text(max_size=12))
def test_a_name_with_every_character_escaped_stands_for_itself(name):
    escaped = "".join(f"\\{char}" for char in name)
    assert component(escaped).fullmatch(name)
    assert not component(escaped).fullmatch(name + "x")
    assert plain(escaped) == name or "\n" in name
    assert not has_pattern(escaped)

"""Which paths a statement may name, and which files they mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from openmldb_embedded.paths import PathError, Roots


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    for name in ("in/a.csv", "in/b.csv", "in/.hidden", "in/_SUCCESS", "in/deep/c.csv", "out/d.csv"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "root" / "data").mkdir()
    (tmp_path / "secret").touch()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "secret")
    return Roots([tmp_path / "root"], private=tmp_path / "root" / "data")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("in", ["a.csv", "b.csv"]),
        ("in/*.csv", ["a.csv", "b.csv"]),
        ("in/[b-z].csv", ["b.csv"]),
        ("in/?.csv", ["a.csv", "b.csv"]),
        ("{in,out}/{a,d}.csv", ["a.csv", "d.csv"]),
        ("{in/a,out/d}.csv", ["a.csv", "d.csv"]),
        ("in/*", ["a.csv", "b.csv", "c.csv"]),
        ("in/{*,_SUCCESS}", ["a.csv", "b.csv", "c.csv"]),
        ("in/[^b].csv", ["a.csv"]),
        ("in/\\a.csv", ["a.csv"]),
        ("in/a.csv", ["a.csv"]),
        ("in/../out", ["d.csv"]),
    ],
)
def test_sources(roots: Roots, pattern: str, names: list[str]) -> None:
    for scheme in ("", "file://"):
        found = roots.sources(f"{scheme}{roots.roots[0]}/{pattern}")
        assert sorted(path.name for path in found) == sorted(names)


@pytest.mark.parametrize("pattern", ["../secret", "link", "*", "data/x", "../*", "data"])
def test_what_leads_out_is_refused(roots: Roots, pattern: str) -> None:
    with pytest.raises(PathError):
        roots.sources(f"{roots.roots[0]}/{pattern}")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("s3a://lake/nightly", True),
        ("s3a://lake/nightly/ds=*/part-*.parquet", True),
        ("S3A://Lake//nightly/./x", True),
        ("hdfs://name:8020/data", True),
        ("s3a://lake/nightlyx", False),
        ("s3a://lake", False),
        ("s3a://other/nightly", False),
        ("s3a://lake/nightly/../secret", False),
        ("s3a://lake/nightly/{../..,a}/x", False),
        ("hdfs://name:9000/data", False),
        ("hdfs://lake/nightly", False),
    ],
)
def test_urls_of_other_file_systems(url: str, allowed: bool) -> None:
    roots = Roots(["s3a://lake/nightly", "hdfs://name:8020/", "/tmp"])
    if allowed:
        assert roots.url(url) == url
    else:
        with pytest.raises(PathError):
            roots.url(url)
    with pytest.raises(PathError, match="Spark engine"):
        roots.sources(url)  # what runs on this machine reads its files only


@pytest.mark.parametrize("root", ["s3a://lake/*", "s3a://lake/a/../b"])
def test_a_root_names_one_folder(root: str) -> None:
    with pytest.raises(PathError):
        Roots([root])


def test_targets(roots: Roots, tmp_path: Path) -> None:
    root = roots.roots[0]
    assert roots.target(f"file://{root}/new/dir") == root / "new" / "dir"
    for path in (root, root / "data" / "x", tmp_path / "secret", root / "link", Path("/")):
        with pytest.raises(PathError):
            roots.target(str(path))


def test_the_refusal_says_what_is_allowed_and_how_to_allow_more(roots: Roots) -> None:
    with pytest.raises(PathError) as caught:
        roots.sources("/etc/passwd")
    assert str(roots.roots[0]) in caught.value.message
    assert "--root /etc" in caught.value.message


def test_braces_that_explode_are_refused(roots: Roots) -> None:
    with pytest.raises(PathError, match="more than"):
        roots.sources(f"{roots.roots[0]}/" + "{a,b}" * 20)

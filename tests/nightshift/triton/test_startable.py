"""Triton starts with the models that are whole, whatever lies beside them."""

import subprocess
import sys

from nightshift.settings import PROJECT
from nightshift.triton import repository
from nightshift.triton.startable import startable

PINNED = "version_policy {{ specific {{ versions: [{}] }} }}"


def model(repo, name, *versions, pins=()):
    for version in versions:
        trained = repo.parent / f"{name}-{version}"
        (trained / "model").mkdir(parents=True)
        (trained / "golden.json").write_text('{"ids": [[1, 2]], "scores": [0.5]}')
        repository.publish_version(repo, name, version, trained)
    if pins:
        (repo / name / "config.pbtxt").write_text(PINNED.format(", ".join(map(str, pins))))


def test_what_is_damaged_or_none_of_ours_is_left_out(tmp_path):
    repo = tmp_path / "repo"
    assert startable(repo) == []
    model(repo, "whole", 1, 2, pins=[1, 2])
    model(repo, "changed", 1, 2, pins=[1, 2])
    (repo / "changed" / "2" / "golden.json").write_text("{}")
    model(repo, "gone", 1, pins=[1, 2])
    model(repo, "whole-candidate", 1, pins=[1])
    model(repo, "unpinned", 1)
    (repo / "foreign" / "1").mkdir(parents=True)
    (repo / "foreign" / "config.pbtxt").write_text('backend: "python"')
    done = subprocess.run(
        [sys.executable, "-m", "nightshift.triton.startable", repo],
        env={"PYTHONPATH": str(PROJECT / "src")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "whole\n"
    assert "foreign is left out" in done.stderr

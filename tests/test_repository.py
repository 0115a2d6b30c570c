"""The repository's own promises."""

import json
import os
import re
import shutil
import subprocess

import pytest
import tomllib


def tracked(project):
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=project, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("this is not a git work tree")
    return [project / name for name in done.stdout.split("\0") if name]


def test_requirements_are_the_locks_versions(project):
    locked = {
        (package["name"], package["version"])
        for package in tomllib.loads((project / "uv.lock").read_text())["package"]
        if "version" in package
    }
    text = (project / "requirements.txt").read_text()
    pinned = set(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE))
    assert {name for name, _ in pinned} >= {"apache-airflow", "fastapi", "tritonclient", "pyarrow"}
    assert pinned <= locked, "run: uv export (see .pre-commit-config.yaml)"


def test_requirements_carry_hashes(project):
    # Else pip would take whatever a registry gives for a version.
    text = (project / "requirements.txt").read_text().replace("\\\n", " ")
    pins = [line for line in text.splitlines() if re.match(r"[a-z0-9]", line)]
    assert len(pins) > 100
    assert [line.split()[0] for line in pins if "--hash=sha256:" not in line] == []


def test_bill_of_materials_names_both_environments(project, tmp_path):
    if shutil.which("uv") is None and not (project / ".cache/uv-tool/bin/uv").exists():
        pytest.skip("uv is not there; ./nightshift setup brings it")
    subprocess.run([project / ".ci" / "sbom", tmp_path], check=True, capture_output=True)
    for file, names in (
        ("nightshift", {"apache-airflow", "psycopg2-binary"}),
        ("tasks", {"oneflow", "nvidia-pytriton"}),
    ):
        bom = json.loads((tmp_path / f"{file}.cdx.json").read_text())
        assert bom["bomFormat"] == "CycloneDX"
        assert names <= {component["name"] for component in bom["components"]}


def test_links_of_the_documents_lead_somewhere(project):
    broken = [
        f"{path.relative_to(project)}: {target}"
        for path in tracked(project)
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []


def test_what_people_run_is_executable(project):
    for name in ("nightshift", ".ci/run", ".ci/sbom"):
        assert os.access(project / name, os.X_OK), name


def test_nothing_large_or_made_is_committed(project):
    wrong = [
        str(path.relative_to(project))
        for path in tracked(project)
        if path.suffix in (".parquet", ".pyc", ".log", ".db") or path.stat().st_size > 2_000_000
    ]
    assert wrong == []

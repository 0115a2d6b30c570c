"""Every bench starts, none is dead, and those without services measure something."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
MODULES = sorted((ROOT / "bench").rglob("*.py"))
BENCHES = [path for path in MODULES if "ArgumentParser(" in path.read_text()]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def run(path, *arguments):
    command = [str(path)]
    if path.name == "__main__.py":
        command = ["-m", path.parent.relative_to(ROOT).as_posix().replace("/", ".")]
    return subprocess.run(
        [sys.executable, *command, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=240,
    )


def imported(path):
    """Names of modules that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("bench", BENCHES, ids=name_of)
def test_a_bench_shows_its_help(bench):
    done = run(bench, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_every_module_is_a_bench_or_part_of_one():
    used = set().union(*map(imported, MODULES))
    text = "\n".join(path.read_text() for path in MODULES)
    dead = [
        name_of(path)
        for path in MODULES
        if path not in BENCHES
        and path.name != "__init__.py"
        and (dotted := name_of(path).removesuffix(".py").replace("/", ".")) not in used
        and dotted not in text
        and f'"{path.name}"' not in text
    ]
    assert dead == []


def test_the_documented_figures_have_their_commands():
    text = (ROOT / "docs/benchmarks.md").read_text()
    for path in BENCHES:
        name = name_of(path)
        if path.name == "__main__.py":
            name = name_of(path.parent).replace("/", ".")
        if path.name != "watch_releases.py":  # the helper of release_kill
            assert name in text, f"docs/benchmarks.md says nothing of {name}"


def test_benches_and_tests_do_not_import_each_other():
    tests = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "packages").glob("*/tests/**/*.py")]
    own = Path(__file__).parent  # tests of the benches themselves
    wrong = [
        name_of(path)
        for path in tests
        if own not in path.parents and any(m.split(".")[0] == "bench" for m in imported(path))
    ]
    wrong += [name_of(p) for p in MODULES if any(m.split(".")[0] == "tests" for m in imported(p))]
    assert wrong == []


def test_the_encoding_fuzz_finds_no_difference():
    done = run(ROOT / "bench/encoding_fuzz.py", "--rows", "2000")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_batch_engine_is_measured():
    done = run(ROOT / "bench/openmldb_batch.py", "--part", "long", "1000")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 1000


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is absent: the JD tables lie there")
def test_requests_are_measured():
    done = run(ROOT / "bench/openmldb_request.py", "1", "--requests", "100")
    assert done.returncode == 0, done.stderr
    assert "in 100s, each" in done.stdout

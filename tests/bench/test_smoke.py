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


HELPS = """
import contextlib, importlib, json, os, runpy, sys, traceback

for name in ("httpx", "numpy", "pandas", "pyarrow.parquet", "openmldb_embedded.run"):
    importlib.import_module(name)  # what most of them import, once
found = {}
for path in sys.argv[2:]:
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(f"{sys.argv[1]}/{path.replace('/', '-')}", os.O_CREAT | os.O_WRONLY), 1)
        os.dup2(1, 2)
        sys.argv = [path, "--help"]
        code = 1
        try:
            if path.endswith("/__main__.py"):
                runpy.run_module(path.removesuffix("/__main__.py").replace("/", "."), None, "__main__")
            else:
                sys.path[0] = os.path.dirname(path)
                runpy.run_path(path, run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)
    found[path] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def helps(tmp_path_factory):
    """Exit code and output of each bench's `--help`."""
    folder = tmp_path_factory.mktemp("helps")
    names = [name_of(path) for path in BENCHES]
    done = subprocess.run(
        [sys.executable, "-c", HELPS, str(folder), *names],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    codes = json.loads(done.stdout)
    return {name: (codes[name], (folder / name.replace("/", "-")).read_text()) for name in names}


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
def test_a_bench_shows_its_help(helps, bench):
    code, said = helps[name_of(bench)]
    assert code == 0, said
    assert "usage:" in said


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

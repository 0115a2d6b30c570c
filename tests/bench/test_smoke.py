"""Every bench starts: it shows its help, or its module can be imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "bench").rglob("*.py")
    if "ArgumentParser" in path.read_text() and path.name != "__main__.py"
)


@pytest.mark.parametrize("bench", BENCHES)
def test_a_bench_shows_its_help(bench):
    done = subprocess.run(
        [sys.executable, bench, "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_the_kill_matrix_shows_its_help():
    done = subprocess.run(
        [sys.executable, "-m", "bench.kill_matrix", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

"""The predict server's image, without an engine: its packages are all that the server imports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from laptop.setup import environments
from testing.engine import PROJECT

FOLDER = PROJECT / "docker" / "predict"
IMPORT_ALL = """
import importlib, pkgutil, predict_server
names = [found.name for found in pkgutil.walk_packages(predict_server.__path__, "predict_server.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


def run(*command: str | Path, **env: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=PROJECT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of the image's packages, at the versions of the lock."""
    uv = environments.find_uv(PROJECT)
    folder = tmp_path_factory.mktemp("predict")
    constraints, python = folder / "constraints.txt", folder / "venv" / "bin" / "python"
    export = (uv, "export", "-q", "--frozen", "--no-dev", "--no-emit-workspace")
    run(*export, "--output-file", constraints)
    run(uv, "venv", "-q", "--python", sys.executable, folder / "venv")
    install = (uv, "pip", "install", "-q", "--python", python)
    run(*install, "-r", FOLDER / "requirements.in", "-c", constraints)
    return python


def test_every_module_of_the_server_is_imported_with_them(python: Path) -> None:
    found = re.search(r"PYTHONPATH=(\S+)", (FOLDER / "Dockerfile").read_text())
    assert found
    path = found[1].replace("/opt/nightshift", str(PROJECT))

    count = run(python, "-c", IMPORT_ALL, PYTHONPATH=path, NIGHTSHIFT_PROJECT=str(PROJECT))

    assert int(count) > len(list((PROJECT / "server" / "predict_server").glob("*.py"))) // 2

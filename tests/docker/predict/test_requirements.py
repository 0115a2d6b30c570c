"""The predict server's image, without an engine: its packages are all that the server imports."""

from __future__ import annotations

import json
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
import ast, importlib, importlib.util, json, pkgutil, sys
import predict_server
for found in pkgutil.walk_packages(predict_server.__path__, "predict_server."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
files = [file for file in files if file.startswith(sys.argv[1])]
absent = {}
for file in files:
    for node in ast.walk(ast.parse(open(file, encoding="utf-8").read())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        for name in {name.partition(".")[0] for name in names}:
            if importlib.util.find_spec(name) is None:
                absent.setdefault(name, []).append(file)
print(json.dumps([len(files), absent]))
"""
"""Imports the server, then looks for what its modules import within functions, too."""


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


def test_the_server_finds_all_that_it_imports(python: Path) -> None:
    found = re.search(r"PYTHONPATH=(\S+)", (FOLDER / "Dockerfile").read_text())
    assert found
    path = found[1].replace("/opt/nightshift", str(PROJECT))
    env = {"PYTHONPATH": path, "NIGHTSHIFT_PROJECT": str(PROJECT)}

    count, absent = json.loads(run(python, "-c", IMPORT_ALL, PROJECT, **env))

    assert count > len(list((PROJECT / "server" / "predict_server").glob("*.py")))
    assert absent == {}

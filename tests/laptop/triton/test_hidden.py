"""Arguments that other users do not see, and what is left of the helper that hides them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from laptop.triton import hidden

CODE = (
    "import json, os, pathlib, sys; print(json.dumps({'argv': sys.argv[1:], "
    "'shown': pathlib.Path('/proc/self/cmdline').read_text().split(chr(0))[3:-1], "
    "'names': sorted(n for n in os.environ if 'TOKEN' in n), 'pid': os.getpid()}))"
)
# A virtual environment's python is a link to the binary; a pyenv shim would be a script.
PYTHON = sys.executable


def run(*arguments: str, **env: str) -> tuple[dict[str, object], subprocess.Popen[str]]:
    process = subprocess.Popen(
        [PYTHON, "-I", hidden.__file__, PYTHON, "-c", CODE, *arguments],
        env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    if "not hidden" in err:
        pytest.skip(f"tracing is forbidden here: {err}")
    return json.loads(out), process


def test_program_gets_what_others_do_not_see() -> None:
    said, process = run(
        "a", "@TOKEN_A", "b", "@TOKEN_B", TOKEN_A="--key=one two", TOKEN_B="x" * 300
    )
    assert said["argv"] == ["a", "--key=one two", "b", "x" * 300]
    assert said["shown"] == ["a", "(hidden)", "b", "(hidden)"]
    assert said["names"] == []
    assert said["pid"] == process.pid  # whoever started it can watch and stop it


def test_without_secrets_nothing_is_traced() -> None:
    said, _ = run("a", "b")
    assert said["argv"] == said["shown"] == ["a", "b"]


def test_where_tracing_is_forbidden_the_program_starts_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(hidden.__file__).parents[2])!r})\n"
        "from laptop.triton import hidden\n"
        "def no(*_): raise hidden._Untraceable('ptrace: Operation not permitted')\n"
        "hidden._ptrace = no\n"
        f"hidden.run({PYTHON!r}, ['-c', 'import sys; print(sys.argv[1])', '@K'], {{'K': 'v'}})\n"
    )
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "v\n"
    assert "not hidden from other users: ptrace" in done.stderr

"""A driver's process: it outlives who started it, is found again, and is ended whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from openmldb_embedded.offline.spark import application as module
from openmldb_embedded.offline.spark.application import Application


def launch(folder: Path, script: str) -> Application:
    folder.mkdir()
    found = Application(folder)
    assert not found.begun
    found.launch(["/bin/sh", "-c", script], dict(os.environ), folder / "log")
    assert found.begun
    return found


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 180
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_its_end_and_its_words_are_kept(tmp_path: Path) -> None:
    found = launch(tmp_path / "a", "echo said; echo warned >&2; exit 7")
    until(lambda: not found.running())
    assert found.exit_code() == 7
    assert (tmp_path / "a" / "log").read_text() == "said\nwarned\n"
    assert found.result() is None


def test_it_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys; from openmldb_embedded.offline.spark.application import "
        "Application; f = pathlib.Path(sys.argv[1]); f.mkdir(); Application(f).launch(['/bin/sh', "
        "'-c', 'sleep 0.6; echo done'], dict(os.environ), f / 'log'); os.kill(os.getpid(), 9)"
    )
    folder = tmp_path / "a"
    subprocess.run([sys.executable, "-c", script, str(folder)], check=False)
    found = Application(folder)
    assert found.running()
    until(lambda: not found.running())
    assert found.exit_code() == 0
    assert (folder / "log").read_text() == "done\n"


def test_the_end_reaches_its_children(tmp_path: Path) -> None:
    found = launch(tmp_path / "a", "sleep 1000 & echo $! > child; wait; sleep 1000")
    until((tmp_path / "a" / "child").exists)
    until(lambda: (tmp_path / "a" / "child").read_text())
    child = int((tmp_path / "a" / "child").read_text())
    found.kill()
    until(lambda: not found.running())
    assert found.exit_code() == 128 + signal.SIGTERM
    until(lambda: not Path(f"/proc/{child}").exists() or "Z" in _state(child))


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_one_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.3)
    found = launch(tmp_path / "a", "trap '' TERM; touch ready; while :; do sleep 1; done")
    until((tmp_path / "a" / "ready").exists)
    found.end()
    assert not found.running()


def test_another_process_of_its_number_is_not_it(tmp_path: Path) -> None:
    found = launch(tmp_path / "a", "sleep 1000")
    pid, start, boot = (tmp_path / "a" / "pid").read_text().split()
    try:
        for told in (f"{pid} {int(start) + 1} {boot}", f"{pid} {start} other-boot", "junk"):
            (tmp_path / "a" / "pid").write_text(told)
            assert not found.running()
    finally:
        (tmp_path / "a" / "pid").write_text(f"{pid} {start} {boot}")
        found.end()


def test_progress_and_result_are_read_when_they_are_whole(tmp_path: Path) -> None:
    found = Application(tmp_path)
    assert found.progress().application == ""
    (tmp_path / "progress.json").write_text('{"application": "local-1", "te')
    assert found.progress().application == ""
    written = {"application": "local-1", "ui": None, "text": "stage 1 of 2"}
    (tmp_path / "progress.json").write_text(json.dumps(written))
    assert found.progress() == module.Progress("local-1", "", "stage 1 of 2")

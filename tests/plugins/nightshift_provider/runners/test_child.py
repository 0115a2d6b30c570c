"""The keeper of a task's process, run as the runner runs it: by path, without site-packages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nightshift_provider.runners import child

from tests.plugins.small_task import alive, until


@pytest.fixture
def keeper(tmp_path):
    """Starts a keeper of a Python text; those that are left are killed."""
    started = []

    def of(code, **changes):
        spec = {
            "command": [sys.executable, "-c", code], "cwd": str(tmp_path), "env": {"COLOUR": "blue"},
            "deadline": time.time() + 60, "stop_grace_s": 5, "log_max_bytes": 10_000, **changes,
        }  # fmt: skip
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        started.append(
            subprocess.Popen([sys.executable, "-I", "-S", child.__file__, str(tmp_path)])
        )
        return started[-1]

    yield of
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def ended(folder: Path) -> int:
    return json.loads((folder / "exit.json").read_text())["exit_code"]


def log(folder: Path) -> str:
    return (folder / "log.txt").read_text()


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("print('done')", 0),
        ("import sys; sys.exit(75)", 75),
        ("import os; os.kill(os.getpid(), 9)", 137),
    ],
)
def test_the_tasks_exit_code_is_kept_and_the_keepers_own_is_none(keeper, tmp_path, code, exit_code):
    assert keeper(code).wait(60) == 0
    assert ended(tmp_path) == exit_code
    assert not list(tmp_path.glob(".*"))  # nothing half-written is left


def test_a_task_has_the_given_environment_alone_and_both_its_streams_are_logged(keeper, tmp_path):
    code = "import os, sys; print(sorted(os.environ)); print('oh', file=sys.stderr)"
    keeper(code).wait(60)
    assert "COLOUR" in log(tmp_path) and "PATH" not in log(tmp_path)
    assert "oh" in log(tmp_path)


def test_a_command_that_cannot_be_started_says_so(keeper, tmp_path):
    keeper("", command=["/no/such/program"]).wait(60)
    assert ended(tmp_path) == 127
    assert "cannot start /no/such/program: " in log(tmp_path)


def test_a_long_log_keeps_its_begin_and_its_end(keeper, tmp_path):
    keeper("print('first')\nfor n in range(300_000): print(n)\nprint('last')").wait(60)
    text = log(tmp_path)
    assert text.startswith("first\n") and text.endswith("last\n")
    assert " bytes of the log left out ...\n" in text
    assert ended(tmp_path) == 0


def test_a_second_keeper_of_the_same_task_leaves_it_alone(keeper, tmp_path):
    first = keeper("import time; print('once', flush=True); time.sleep(60)")
    until(lambda: "once" in (log(tmp_path) if (tmp_path / "log.txt").exists() else ""), "it runs")
    second = subprocess.run(
        [sys.executable, "-I", "-S", child.__file__, str(tmp_path)], timeout=60, check=False
    )
    assert second.returncode == 0
    assert first.poll() is None and not (tmp_path / "exit.json").exists()
    assert log(tmp_path).count("once") == 1


def running(folder: Path) -> dict[str, int]:
    until(lambda: (folder / "running.json").exists(), "the task starts")
    return json.loads((folder / "running.json").read_text())


def test_what_the_task_leaves_behind_ends_with_it(keeper, tmp_path):
    code = (
        "import subprocess, sys; "
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)"
    )
    assert keeper(code).wait(60) == 0
    until(lambda: not alive(int(log(tmp_path))), "the descendant ends")


def test_a_killed_keeper_takes_its_task_along(keeper, tmp_path):
    process = keeper("import time; time.sleep(600)")
    task = running(tmp_path)["task"]
    process.kill()
    until(lambda: not alive(task), "the task ends")
    assert not (tmp_path / "exit.json").exists()


def test_sigterm_is_handed_on(keeper, tmp_path):
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('told', flush=True), sys.exit(143)))\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    process = keeper(code)
    until(lambda: (tmp_path / "log.txt").exists() and "ready" in log(tmp_path), "it is ready")
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 0
    assert (ended(tmp_path), "told" in log(tmp_path)) == (143, True)


def test_a_task_that_hears_nothing_is_killed_after_its_deadline_and_grace(keeper, tmp_path):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    keeper(code, deadline=time.time() + 0.5, stop_grace_s=0.5).wait(60)
    assert ended(tmp_path) == 137

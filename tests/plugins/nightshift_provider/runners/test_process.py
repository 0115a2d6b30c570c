"""Tasks as processes that outlive whoever started them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from nightshift_provider.runners.base import ENDED_S, GRACE_S, Phase, TaskSpec, task_folders
from nightshift_provider.runners.process import ProcessRunner, keeper_pid

from nightshift.errors import ConfigurationError
from tests.plugins.small_task import alive, until

WAIT = "import time; print('started', flush=True); time.sleep(600)"


@pytest.fixture
def spec(tmp_path):
    """Of a task that runs a Python text."""

    def of(code, name="jd-train", **changes):
        values = {
            "name": name, "generation": 3, "command": ["python", "-c", code],
            "environment": {"COLOUR": "blue"}, "project": str(tmp_path), "python": sys.executable,
            "state_dir": str(task_folders(tmp_path) / name), "result_path": "", "writable": [],
            "readable": [], "image": "", "user": "", "memory": "", "cpus": 1.0, "device": "cpu",
            "deadline": time.time() + 60, "stop_grace_s": 1.0, "labels": {"task": "train"},
        }  # fmt: skip
        return TaskSpec(**{**values, **changes})

    yield of
    for folder in task_folders(tmp_path).glob("*"):
        if (pid := keeper_pid(folder)) is not None:
            os.kill(pid, signal.SIGKILL)


RUNNER = ProcessRunner.connect("", None)


def phase(one):
    return RUNNER.status(one).phase


def test_a_task_from_nothing_to_its_exit_code(spec):
    one = spec("import sys; sys.exit(75)")
    assert phase(one) is Phase.ABSENT
    RUNNER.start(one)
    until(lambda: phase(one) is Phase.EXITED, "it ends")
    found = RUNNER.status(one)
    assert (found.exit_code, found.generation, found.deadline) == (75, 3, one.deadline)
    RUNNER.remove(one)
    assert phase(one) is Phase.ABSENT
    assert not Path(one.state_dir).exists()


def test_a_second_start_finds_the_first_at_work(spec):
    one = spec(WAIT)
    RUNNER.start(one)
    keeper = keeper_pid(Path(one.state_dir))
    ProcessRunner().start(one)  # as another worker would
    assert keeper_pid(Path(one.state_dir)) == keeper
    assert RUNNER.status(one).phase is Phase.RUNNING
    RUNNER.stop(one)
    assert keeper_pid(Path(one.state_dir)) is None


def test_a_start_after_the_end_is_a_new_run_with_a_log_of_its_own(spec):
    for text in ("first", "second"):
        one = spec(f"print({text!r})")
        RUNNER.start(one)
        until(lambda one=one: phase(one) is Phase.EXITED, "it ends")
        assert RUNNER.log_tail(one, 5) == [text]


def test_a_killed_keeper_is_an_exit_whose_code_nobody_knows(spec):
    one = spec(WAIT)
    RUNNER.start(one)
    os.kill(keeper_pid(Path(one.state_dir)), signal.SIGKILL)
    until(lambda: phase(one) is Phase.EXITED, "it is seen")
    found = RUNNER.status(one)
    assert (found.exit_code, found.detail) == (None, "its keeper was killed")


def test_a_python_that_is_not_there_says_what_to_do(spec, tmp_path):
    with pytest.raises(ConfigurationError, match="to run train; run `./nightshift setup`"):
        RUNNER.start(spec("", python=str(tmp_path / "python")))


def test_a_broken_state_is_no_task(spec):
    one = spec("")
    folder = Path(one.state_dir)
    folder.mkdir(parents=True)
    for content in ("{", "[]", ""):
        (folder / "spec.json").write_text(content)
        (folder / "exit.json").write_text(content)
        assert phase(one) is Phase.ABSENT


def test_a_log_is_read_by_whole_lines_from_where_one_was(spec):
    one = spec("import sys, time\nfor n in range(3): print(n, flush=True)\n"
               "sys.stdout.write('open'); sys.stdout.flush(); time.sleep(600)")  # fmt: skip
    RUNNER.start(one)
    until(lambda: "open" in "".join(RUNNER.log_tail(one, 9)), "it has written")
    chunk = RUNNER.read_log(one, "", 1000)
    assert (chunk.lines, chunk.omitted) == (["0", "1", "2"], False)
    assert RUNNER.read_log(one, chunk.position, 1000).lines == []
    RUNNER.stop(one)
    # The last line is given once nobody can go on with it.
    assert RUNNER.read_log(one, chunk.position, 1000).lines == ["open"]


def test_more_than_asked_for_is_left_out_up_to_a_lines_begin(spec):
    one = spec("")
    folder = Path(one.state_dir)
    folder.mkdir(parents=True)
    (folder / "log.txt").write_bytes(b"first line\nsecond line\nthird \xff line\n")
    chunk = RUNNER.read_log(one, "", 20)
    assert (chunk.lines, chunk.omitted) == (["third \ufffd line"], True)
    assert RUNNER.log_tail(one, 1) == ["third \ufffd line"]
    assert RUNNER.read_log(spec("", name="none"), "", 20).lines == []


def test_reaping_takes_what_ended_long_ago_and_what_is_past_its_deadline(spec, tmp_path):
    settings = SimpleNamespace(home=tmp_path)
    assert ProcessRunner.reap(settings, time.time(), "") == []
    late, done = spec(WAIT, name="late"), spec("", name="done")
    for one in (late, done):
        RUNNER.start(one)
    until(lambda: phase(done) is Phase.EXITED, "it ends")
    task = json.loads((Path(late.state_dir) / "running.json").read_text())["task"]
    now = time.time()
    assert ProcessRunner.reap(settings, now, "") == []
    assert ProcessRunner.reap(settings, late.deadline + GRACE_S + 1, "late") == []
    assert ProcessRunner.reap(settings, late.deadline + GRACE_S + 1, "") == ["late"]
    assert not alive(task)
    assert ProcessRunner.reap(settings, now + ENDED_S + 1, "") == ["done"]
    assert list(task_folders(tmp_path).iterdir()) == []


def test_stopping_a_task_that_is_deaf_ends_it_after_its_grace(spec):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    one = spec(code + "print('deaf', flush=True); time.sleep(600)")
    RUNNER.start(one)
    until(lambda: RUNNER.log_tail(one, 1) == ["deaf"], "it is deaf")
    RUNNER.stop(one)
    assert RUNNER.status(one).exit_code == 137

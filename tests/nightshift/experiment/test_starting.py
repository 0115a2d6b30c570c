"""Processes of an experiment: started, asked to stop, gone with whoever started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nightshift.errors import ConfigurationError, RetryableError
from nightshift.experiment.starting import Processes
from nightshift.settings import Settings


@pytest.fixture
def processes(tmp_path):
    """A starter whose Python is a shell that runs the first argument of a task."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\neval "$3"\n')
    python.chmod(0o755)
    return Processes(Settings(project=tmp_path, home=tmp_path / "home", task_python=python))


def wait(task):
    for _ in range(600):
        if (code := task.code()) is not None:
            return code
        time.sleep(0.05)
    pytest.fail("the task did not end")


def test_a_task_writes_its_log_and_ends_with_its_code(processes, tmp_path):
    processes.check()
    task = processes.start("train", ["echo $2; exit 7"], tmp_path / "here")
    assert wait(task) == 7
    assert (tmp_path / "here" / "train.log").read_text() == "tasks.ctr.train\n"
    task.end()
    assert task.code() == 7


def test_a_task_that_is_ended_is_asked_first(processes, tmp_path):
    told = "trap 'echo told; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    task = processes.start("train", [told], tmp_path)
    log = tmp_path / "train.log"
    for _ in range(600):
        if "ready" in log.read_text():
            break
        time.sleep(0.05)
    assert task.code() is None
    task.end()
    assert (task.code(), log.read_text().split()) == (3, ["ready", "told"])


def test_a_closed_starter_ends_the_experiment_at_the_next_look(processes, tmp_path):
    task = processes.start("train", ["sleep 60"], tmp_path)
    processes.going_on()
    processes.close()
    with pytest.raises(RetryableError, match="ended from outside; the same call goes on"):
        task.code()
    task.end()


def test_a_python_that_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(ConfigurationError, match="NIGHTSHIFT_TASK_PYTHON"):
        Processes(Settings(home=tmp_path, task_python=tmp_path / "none")).check()


def test_a_training_ends_with_the_command_that_started_it(tmp_path, project):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    code = f"""
import pathlib, time, types
from nightshift.experiment.starting import Processes
settings = types.SimpleNamespace(project=pathlib.Path({str(project)!r}), task_python={str(python)!r})
task = Processes(settings).start("train", [], pathlib.Path({str(tmp_path)!r}))
print(task._process.pid, flush=True)
time.sleep(60)
"""
    command = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    training = int(command.stdout.readline())
    os.kill(command.pid, signal.SIGKILL)
    command.wait()
    command.stdout.close()
    for _ in range(600):
        if not _lives(training):
            return
        time.sleep(0.1)
    os.kill(training, signal.SIGKILL)
    pytest.fail("the training outlived the command")


def _lives(pid):
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False

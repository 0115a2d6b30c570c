"""The process that watches over training: what it does when training dies."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nightshift.errors import EXIT_RETRYABLE
from tasks.ctr.train import __main__ as entry
from tasks.ctr.train.__main__ import RESTARTS, Guard


@pytest.fixture(autouse=True)
def own_handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def script(tmp_path, *signals, code=0):
    """A command that dies of one signal after another, run by run, then ends with `code`."""
    count = tmp_path / "count"
    return [
        sys.executable,
        "-c",
        _DYING,
        str(count),
        repr([int(number) for number in signals]),
        str(code),
    ]


_DYING = """
import ast, os, pathlib, sys
count, signals, code = pathlib.Path(sys.argv[1]), ast.literal_eval(sys.argv[2]), int(sys.argv[3])
run = int(count.read_text()) if count.exists() else 0
count.write_text(str(run + 1))
if run < len(signals):
    os.kill(os.getpid(), signals[run])
sys.exit(code)
"""


def runs(tmp_path):
    return int((tmp_path / "count").read_text())


@pytest.mark.parametrize("code", [0, 64, 75, 143])
def test_an_exit_code_is_handed_on(tmp_path, code):
    assert Guard(script(tmp_path, code=code)).run() == code
    assert runs(tmp_path) == 1


def test_an_inner_error_of_oneflow_starts_it_anew(tmp_path, capsys):
    guard = Guard(script(tmp_path, signal.SIGSEGV, signal.SIGABRT))
    assert guard.run() == 0
    assert runs(tmp_path) == 3
    said = capsys.readouterr().out
    assert "died of SIGSEGV" in said
    assert "restart 2 of" in said


def test_it_gives_up_in_the_end(tmp_path):
    command = script(tmp_path, *([signal.SIGSEGV] * 50))
    assert Guard(command).run() == -signal.SIGSEGV
    assert runs(tmp_path) == RESTARTS + 1


def test_want_of_memory_is_not_tried_again(tmp_path):
    assert Guard(script(tmp_path, signal.SIGKILL)).run() == -signal.SIGKILL
    assert runs(tmp_path) == 1


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGKILL, EXIT_RETRYABLE, "NIGHTSHIFT_TASK_MEMORY"),
        (signal.SIGSEGV, EXIT_RETRYABLE, "inner error of OneFlow"),
        (signal.SIGTERM, 143, "goes on from the last checkpoint"),
    ],
)
def test_the_result_says_what_the_dead_process_could_not(tmp_path, number, code, words):
    result = tmp_path / "train.json"
    assert entry._died(result, number) == code
    found = json.loads(result.read_text())
    assert words in found["error"]
    assert found["status"] == ("stopped" if number == signal.SIGTERM else "error")


def test_sigterm_is_passed_on_and_nothing_is_started_after_it(tmp_path):
    ready = tmp_path / "ready"
    child = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(60)"
    )
    watcher = (
        "import sys\nsys.path[:0] = ['.', 'src']\n"
        "from tasks.ctr.train.__main__ import Guard\n"
        f"sys.exit(Guard([sys.executable, '-c', {child!r}]).run())"
    )
    process = subprocess.Popen([sys.executable, "-c", watcher])
    deadline = time.monotonic() + 180
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=180) == 143


def test_a_training_that_does_not_heed_sigterm_is_killed(tmp_path):
    ready = tmp_path / "ready"
    child = (
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(600)"
    )
    watcher = (
        "import sys\nsys.path[:0] = ['.', 'src']\n"
        "from tasks.ctr.train.__main__ import Guard\n"
        f"guard = Guard([sys.executable, '-c', {child!r}], stop_s=0.1)\n"
        "sys.exit(0 if guard.run() == -9 and guard.stopping else 1)"
    )
    process = subprocess.Popen([sys.executable, "-c", watcher])
    deadline = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == 0


def test_the_training_process_does_not_outlive_its_watcher(from_dataset):
    process = from_dataset.start_training("dataset", "--set", "epochs=500", "--set", "patience=500")
    for line in process.stdout:
        if "epoch 1:" in line:
            break
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(children) == 1
    process.kill()
    process.communicate(timeout=180)
    deadline = time.monotonic() + 180
    while alive(children[0]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(children[0])


def alive(pid):
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

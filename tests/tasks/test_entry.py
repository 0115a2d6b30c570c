"""How a task process ends: what its result file and its exit code say."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nightshift import files
from nightshift.errors import ConfigurationError, ServiceUnavailable
from tasks.entry import EXIT_STOPPED, TaskParser, run_task

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def ended(tmp_path, work):
    path = tmp_path / "result.json"
    code = run_task("train", path, tmp_path / "model", work)
    return code, json.loads(path.read_text())


def failing(error):
    def work():
        raise error

    return work


def test_figures_are_kept_with_the_end(tmp_path):
    code, result = ended(tmp_path, lambda: {"rows": 3})
    assert (code, result["status"], result["task"], result["rows"]) == (0, "ok", "train", 3)


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (ConfigurationError("epochs is 0"), os.EX_USAGE, False),
        (ServiceUnavailable("no answer"), os.EX_TEMPFAIL, True),
        (OSError(errno.EIO, "the disk fails"), os.EX_TEMPFAIL, True),
        (OSError(errno.ENOENT, "no file"), os.EX_USAGE, False),
        (KeyError("rows"), os.EX_USAGE, False),
    ],
)
def test_an_error_says_whether_another_try_may_help(tmp_path, error, code, retryable):
    found, result = ended(tmp_path, failing(error))
    assert found == code
    assert (result["status"], result["retryable"]) == ("error", retryable)
    assert result["kind"] == type(error).__name__
    assert str(error).strip("'") in result["error"]


def onto_a_full_disk():
    with Path("/dev/full").open("wb") as file:
        file.write(b"rows")
    raise AssertionError("/dev/full took it")


def test_a_full_disk_is_told_with_the_folder_and_tried_again(tmp_path):
    code, result = ended(tmp_path, onto_a_full_disk)
    assert (code, result["retryable"]) == (os.EX_TEMPFAIL, True)
    assert "the disk is full" in result["error"]
    assert f"is written to {tmp_path}, where " in result["error"]
    assert "make room" in result["error"]


@pytest.mark.parametrize(
    ("number", "cause"), [(errno.EROFS, "read-only"), (errno.EACCES, "denied")]
)
def test_an_output_that_may_not_be_written_is_told_with_the_folder(tmp_path, number, cause):
    error = PermissionError(number, os.strerror(number), str(tmp_path / "model"))
    code, result = ended(tmp_path, failing(error))
    assert (code, result["retryable"]) == (os.EX_USAGE, False)
    assert cause in result["error"]
    assert f"written to {tmp_path}, where " in result["error"]


def test_an_input_that_may_not_be_read_is_named_by_itself(tmp_path):
    error = PermissionError(errno.EACCES, "Permission denied", "/elsewhere/part-0.parquet")
    _, result = ended(tmp_path, failing(error))
    assert "/elsewhere/part-0.parquet" in result["error"]
    assert str(tmp_path) not in result["error"]


def test_a_disk_that_takes_no_result_either_leaves_the_exit_code(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(files, "write_json", lambda *_: onto_a_full_disk())
    code = run_task("train", tmp_path / "result.json", tmp_path / "model", onto_a_full_disk)
    assert code == os.EX_TEMPFAIL
    assert "no result file: the disk is full" in capsys.readouterr().out


def test_a_defect_is_shown_with_its_place_and_a_refusal_is_not(tmp_path, capsys):
    ended(tmp_path, failing(ConfigurationError("epochs is 0")))
    assert "Traceback" not in capsys.readouterr().err
    ended(tmp_path, failing(ZeroDivisionError("division by zero")))
    assert "Traceback" in capsys.readouterr().err


def test_sigterm_stops_the_work_and_a_second_one_does_not_break_the_end(tmp_path):
    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("goes on")

    code, result = ended(tmp_path, work)
    assert (code, result["status"]) == (EXIT_STOPPED, "stopped")
    assert code == 128 + signal.SIGTERM


def test_a_result_of_an_earlier_run_is_gone_before_the_work_begins(tmp_path):
    path = tmp_path / "result.json"
    path.write_text('{"status": "ok"}')

    def work():
        assert not path.exists()
        return {}

    assert run_task("train", path, tmp_path / "model", work) == 0


def test_a_process_that_leaves_has_said_all_it_had_to_say():
    code = "import sys; from tasks.entry import leave; sys.stdout.write('said'); leave(75)"
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (75, "said", "")


def test_a_process_whose_parent_died_before_it_asked_for_that_dies_too(tmp_path):
    child = f"""
import pathlib, time
time.sleep(0.5)  # the parent is gone
from tasks.entry import die_with_parent
pathlib.Path({str(tmp_path / "began")!r}).touch()
die_with_parent()
time.sleep(60)
"""
    parent = f"""
import os, subprocess, sys
from tasks.entry import PARENT
env = {{**os.environ, PARENT: str(os.getpid())}}
subprocess.Popen([sys.executable, "-c", {child!r}], env=env)
"""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    # `run` waits for the child, too: it holds the pipes.
    subprocess.run([sys.executable, "-c", parent], capture_output=True, env=env, timeout=30)
    assert (tmp_path / "began").exists()


def test_a_wrong_command_line_is_not_tried_again(capsys):
    parser = TaskParser(prog="tasks.some")
    with pytest.raises(SystemExit) as raised:
        parser.parse_args(["--what"])
    assert raised.value.code == os.EX_USAGE
    assert "tasks.some: " in capsys.readouterr().err

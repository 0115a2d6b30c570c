"""The ranks' processes: they end together, and what is raised is why the first one ended."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nightshift.errors import RetryableError, TerminalError
from tasks.ctr.train.ranks import Ranks

ROOT = Path(__file__).parents[4]

RANK = """
import os, signal, sys, time
from multiprocessing.connection import Connection
channel, rank = Connection(int(sys.argv[2])), int(sys.argv[3])
what = sys.argv[1].split(",")[rank]
if what == "serve":
    try:
        while True:
            channel.recv()
    except EOFError:
        sys.exit(0)
if what.startswith("told"):
    channel.send(("failed", "the disk is full", what == "told-passing"))
    os._exit(3)
if what.isdigit():
    if what == "6":
        time.sleep(0.2)
    os.kill(os.getpid(), int(what))
time.sleep(600)
"""


def ranks(*what):
    return Ranks([sys.executable, "-c", RANK, ",".join(what)], len(what))


def left():
    found = []
    for each in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # it has ended
            if RANK in each.cmdline() and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def test_closing_ends_them():
    started = ranks("serve", "serve")
    assert len(left()) == 2
    started.close()
    assert not left()


def test_one_that_hangs_is_ended_too():
    started = ranks("serve", "hang")
    started.close()
    assert not left()


@pytest.mark.parametrize(
    ("how", "error"), [("told-passing", RetryableError), ("told-lasting", TerminalError)]
)
@pytest.mark.parametrize("failing", [0, 1])
def test_what_a_rank_tells_is_raised_and_the_others_end(failing, how, error):
    started = ranks(*(how if at == failing else "hang" for at in range(2)))
    with pytest.raises(error, match=f"process {failing + 1} of 2: the disk is full"):
        started.fail()
    assert not left()


def test_of_two_that_die_the_killed_one_is_the_cause():
    # SIGKILL of one breaks OneFlow's connections, and the other one aborts.
    started = ranks("6", "9")
    with pytest.raises(RetryableError, match=r"process 2 of 2 was killed.*memory"):
        started.fail()
    assert not left()


def test_an_inner_error_ends_the_training_process_the_same_way():
    script = (
        "import sys; from tasks.ctr.train.ranks import Ranks; "
        "Ranks([sys.executable, '-c', sys.argv[1], 'hang,11'], 2).fail()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, RANK],
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGSEGV
    assert "process 2 of 2 died of SIGSEGV" in done.stdout


def test_ranks_are_in_no_group_that_a_signal_to_the_task_reaches():
    started = ranks("serve", "serve")
    assert all(os.getpgid(each.pid) != os.getpgid(0) for each in left())
    started.close()

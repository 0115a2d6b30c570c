"""Which processes are a service's, by the kernel's word."""

import os
import signal
import subprocess
import sys

import pytest

from laptop.services import processes

WAITS = "import sys; print(flush=True); sys.stdin.read()"


@pytest.fixture
def child(tmp_path):
    """A process of a session of its own that waits, with a home's marker."""
    with subprocess.Popen(
        [sys.executable, "-c", WAITS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, processes.MARKER: str(tmp_path)},
    ) as started:
        started.stdout.readline()  # it is what it was started as
        yield started
        started.kill()


def test_a_process_is_known_by_its_number_and_its_start(child):
    found = processes.look(child.pid)
    assert (found.parent, found.session) == (os.getpid(), child.pid)
    assert processes.is_same(child.pid, found.start_ticks, processes.boot_id())
    assert not processes.is_same(child.pid, found.start_ticks + 1, processes.boot_id())
    assert not processes.is_same(child.pid, found.start_ticks, "another boot")


def test_a_process_that_ended_and_was_not_waited_for_does_not_run(child):
    found = processes.look(child.pid)
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.look(child.pid).running
    assert not processes.is_same(child.pid, found.start_ticks, processes.boot_id())


def test_members_are_found_by_session_and_by_marker_and_never_the_caller(child, tmp_path):
    found = processes.look(child.pid)
    leader = (child.pid, found.start_ticks, processes.boot_id())
    assert [p.pid for p in processes.members([leader])] == [child.pid]
    assert [p.pid for p in processes.members([], tmp_path)] == [child.pid]
    assert processes.members([], tmp_path / "other") == []
    own = processes.look(os.getpid())
    assert processes.members([(own.pid, own.start_ticks, processes.boot_id())]) == []
    # A number that another process bears now is nobody's service.
    assert processes.members([(child.pid, found.start_ticks - 1, processes.boot_id())]) == []


def test_a_signal_goes_to_that_process_alone(child):
    found = processes.look(child.pid)
    processes.send(
        processes.Process(found.pid, found.parent, found.session, found.start_ticks - 1, "S"),
        signal.SIGKILL,
    )
    assert processes.look(child.pid).running
    processes.send(found, signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL
    processes.send(found, signal.SIGKILL)  # nobody bears the number now


def test_what_can_be_seen_of_a_process(child):
    assert WAITS[:20] in processes.command_line(child.pid)
    assert processes.resident_bytes([child.pid]) > 0
    assert processes.started_at(processes.look(child.pid)) >= processes.started_at(
        processes.look(os.getpid())
    )
    gone = 2**22 + 1
    assert processes.look(gone) is None
    assert (processes.command_line(gone), processes.resident_bytes([gone])) == ("", 0)

"""A rank outside a team: it ends with its channel, and tells what fails."""

import contextlib
import os
import socket
import subprocess

import pytest

from tasks.ctr.train.channel import Channel
from tasks.ctr.train.ranks import FAILED
from tests.tasks.conftest import PROJECT, TASKS_PYTHON


@pytest.fixture
def rank():
    """A rank that is the only one, and its channel."""
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [TASKS_PYTHON, "-m", "tasks.ctr.train.rank", str(theirs.fileno()), "0", "1"],
            pass_fds=(theirs.fileno(),),
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": "src:."},
            stderr=subprocess.DEVNULL,
        )
    channel = Channel(ours.detach())
    yield process, channel
    process.kill()
    process.wait()
    with contextlib.suppress(OSError):
        channel.close()


def test_what_fails_is_told(rank):
    process, channel = rank
    channel.say(1, "bundled")
    channel.say("no order")
    channel.send_named({})
    kind, message, retryable = channel.hear()
    assert (kind, retryable) == ("failed", False)
    assert "AttributeError" in message
    assert process.wait(timeout=60) == FAILED


def test_it_ends_with_its_channel(rank):
    process, channel = rank
    channel.say(1, "bundled")
    channel.close()
    # In the midst of what it was told; it has nobody to tell.
    assert process.wait(timeout=60) == FAILED

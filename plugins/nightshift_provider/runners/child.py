"""Keeper of one task process: holds its lock, bounds its log, writes its exit code.

Run as a script by `process.ProcessRunner` with the standard library alone: `child.py FOLDER`.
The keeper holds a POSIX lock on FOLDER/lock for its whole life, which the kernel gives back
whatever kills it; the task dies with the keeper (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

_PR_SET_PDEATHSIG = 1
_TAIL_CHUNKS = 64


def main(folder: Path) -> int:
    """Run the task that FOLDER/spec.json describes; 0 whatever the task's own exit code is."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 0  # another keeper runs this task
    spec = json.loads((folder / "spec.json").read_bytes())
    with (folder / "log.txt").open("ab", buffering=0) as log:
        code = _run(folder, spec, log)
    write(folder / "exit.json", {"exit_code": code, "ended": time.time()})
    return 0


def _run(folder: Path, spec: dict[str, Any], log: BinaryIO) -> int:
    keeper = os.getpid()
    try:
        task = subprocess.Popen(
            spec["command"],
            cwd=spec["cwd"],
            env=spec["env"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            preexec_fn=lambda: _die_with(keeper),
        )
    except OSError as error:
        log.write(f"cannot start {spec['command'][0]}: {error}\n".encode())
        return 127
    write(folder / "running.json", {"keeper": os.getpid(), "task": task.pid})

    def forward(signum: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(task.pid, signum)

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, forward)
    _follow(task, log, spec)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(task.pid, signal.SIGKILL)  # what the task left behind
    code = task.wait()
    return 128 - code if code < 0 else code


def _follow(task: subprocess.Popen[bytes], log: BinaryIO, spec: dict[str, Any]) -> None:
    """Copy the output until the task has ended; SIGTERM, then SIGKILL after its deadline."""
    assert task.stdout is not None
    written, omitted = 0, 0
    end: collections.deque[bytes] = collections.deque(maxlen=_TAIL_CHUNKS)
    terminated = killed = False
    os.set_blocking(task.stdout.fileno(), False)
    poll = select.poll()
    poll.register(task.stdout, select.POLLIN | select.POLLHUP)
    open_ = True
    while open_ or task.poll() is None:
        if open_ and poll.poll(500):
            chunk = task.stdout.read(65536)
            if chunk == b"":
                open_ = False
            elif chunk and written < spec["log_max_bytes"]:
                log.write(chunk)
                written += len(chunk)
            elif chunk:
                if len(end) == end.maxlen:
                    omitted += len(end[0])
                end.append(chunk)
        elif not open_:
            time.sleep(0.05)
        if open_ and task.poll() is not None and not poll.poll(200):
            open_ = False  # a descendant keeps the pipe; it is killed with the group
        over = time.time() - spec["deadline"]
        if over > 0 and not terminated:
            os.killpg(task.pid, signal.SIGTERM)
            terminated = True
        if over > spec["stop_grace_s"] and not killed:
            os.killpg(task.pid, signal.SIGKILL)
            killed = True
    if end:
        log.write(f"\n... {omitted} bytes of the log left out ...\n".encode())
        log.write(b"".join(end))


def _die_with(keeper: int) -> None:
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != keeper:  # it died before it was asked for
        os.kill(os.getpid(), signal.SIGKILL)


def write(path: Path, value: object) -> None:
    """Whole or absent."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    with staged.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

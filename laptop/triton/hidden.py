"""Run a program some of whose arguments other users must not read.

Every user of a machine may read every process's arguments, and Triton takes its key as one. So the
program starts with placeholders in their places; the true ones lie in its environment, which only
its own user may read. Between the program's start and its first instruction a helper, which traces
it for that moment, lets the arguments point there.

`python laptop/triton/hidden.py PROGRAM ARGUMENT...`: `@NAME` stands for the variable NAME's value.
Where tracing is forbidden the program gets its arguments as usual, and the log says so.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_SEIZE, _DETACH, _TRACE_EXEC = 0x4206, 17, 0x10
_SET_PTRACER = 0x59616D61
_SECRET = "_NIGHTSHIFT_ARGUMENT_"  # noqa: S105 (a name)


class _Untraceable(Exception):
    """The kernel does not let us."""


def run(program: str, arguments: Sequence[str], env: Mapping[str, str]) -> None:
    """Become `program`; does not return.

    Args:
        program: its path.
        arguments: its arguments; `@NAME` is hidden.
        env: its environment, which holds each NAME.
    """
    shown = [program, *arguments]
    hidden = {n: env[text[1:]] for n, text in enumerate(shown) if text.startswith("@")}
    names = {shown[n][1:] for n in hidden}
    clean = {name: value for name, value in env.items() if name not in names}
    if hidden and _traced_by_helper(hidden):
        for n, value in hidden.items():
            shown[n] = "(hidden)"
            clean[f"{_SECRET}{n}"] = value
    else:
        for n, value in hidden.items():
            shown[n] = value
    os.execve(program, shown, clean)  # noqa: S606 (no shell wanted)


def _traced_by_helper(places: Mapping[int, str]) -> bool:
    """Whether a helper waits for this process to become another program."""
    ours, theirs = os.pipe()
    go, may_go = os.pipe()
    me = os.getpid()
    if os.fork() == 0:
        # Twice, so that the program does not find a child that it did not start.
        if os.fork() != 0:
            os._exit(0)
        code = 1
        try:
            os.close(ours)
            os.close(may_go)
            os.write(theirs, struct.pack("i", os.getpid()))
            os.read(go, 1)
            _serve(me, places, theirs)
            code = 0
        except (OSError, _Untraceable, ValueError, struct.error) as error:
            sys.stderr.write(f"its arguments are not hidden from other users: {error}\n")
            sys.stderr.flush()
        os._exit(code)
    os.wait()
    os.close(theirs)
    os.close(go)
    helper = struct.unpack("i", os.read(ours, 4))[0]
    ctypes.CDLL(None).prctl(_SET_PTRACER, ctypes.c_ulong(helper), 0, 0, 0)
    os.write(may_go, b"g")
    ready = os.read(ours, 1) == b"r"
    os.close(ours)
    os.close(may_go)
    return ready


def _serve(pid: int, places: Mapping[int, str], ready: int) -> None:
    _ptrace(_SEIZE, pid, _TRACE_EXEC)
    os.write(ready, b"r")
    os.close(ready)
    while True:
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            return
        if status >> 8 == 5 | (4 << 8):  # SIGTRAP, PTRACE_EVENT_EXEC
            break
        _ptrace(7, pid, os.WSTOPSIG(status))  # PTRACE_CONT: a signal on its way
    try:
        _point(pid, places)
    finally:
        _ptrace(_DETACH, pid, 0)


def _point(pid: int, places: Mapping[int, str]) -> None:
    """Let arguments point at the values of variables of the new program."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    stack = int(fields[25])  # startstack: the count of arguments lies there
    fd = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    try:
        (count,) = struct.unpack("Q", os.pread(fd, 8, stack))
        if count <= max(places):
            raise _Untraceable(f"the program has {count} arguments")
        place = stack + 8 * (count + 2)
        while (text := struct.unpack("Q", os.pread(fd, 8, place))[0]) != 0:
            place += 8
            for n in places:
                prefix = f"{_SECRET}{n}=".encode()
                if os.pread(fd, len(prefix), text) == prefix:
                    os.pwrite(fd, struct.pack("Q", text + len(prefix)), stack + 8 * (n + 1))
    finally:
        os.close(fd)


def _ptrace(request: int, pid: int, data: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, pid, None, ctypes.c_void_p(data)) == -1:
        raise _Untraceable(f"ptrace: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:], os.environ)

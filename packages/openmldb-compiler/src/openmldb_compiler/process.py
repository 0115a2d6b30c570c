"""The parent's side of the compiler's process: started on demand, replaced when it dies."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from openmldb_compiler import wheel
from openmldb_compiler.errors import CompilerCrashed, CompilerError, CompilerTimeout

_CHILD = Path(__file__).with_name("child.py")


class Process:
    """One persistent process, for one request at a time; thread-safe.

    It is started by the first request, ends by itself where nothing is asked for some minutes,
    and is started again when needed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ask(self, call: str, given: dict[str, Any], seconds: float) -> dict[str, Any]:
        """One request's answer.

        Raises:
            CompilerUnavailable: The wheel is not here.
            CompilerCrashed: The process died over the request.
            CompilerTimeout: It did not answer within ``seconds``; it was ended.
        """
        line = json.dumps({"call": call, "seconds": seconds, **given}).encode() + b"\n"
        with self._lock:
            for attempt in (1, 2):
                fresh = self._start()
                answer = self._exchange(line, seconds)
                if answer is not None:
                    break
                code = self._reap()
                # An idle process may have ended between two requests: that is not a crash.
                if fresh or code != 0 or attempt == 2:
                    raise CompilerCrashed(_how(code))
        assert answer is not None
        found: dict[str, Any] = json.loads(answer)
        if "error" in found:
            raise CompilerError(found["error"])
        return found

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._reap(kill=True)

    def _start(self) -> bool:
        if self._owner != os.getpid():
            self._child = None  # after a fork it is the parent's
        if self._child is not None and self._child.poll() is None:
            return False
        self._reap()
        native = wheel.native_folder()
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_CHILD), str(native)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._owner = os.getpid()
        return True

    def _exchange(self, line: bytes, seconds: float) -> bytes | None:
        """The answer's line; None where the process ended without one."""
        child = self._child
        assert child is not None and child.stdin is not None and child.stdout is not None
        deadline = time.monotonic() + seconds
        try:
            child.stdin.write(line)
            child.stdin.flush()
        except OSError:
            return None
        reader = child.stdout.fileno()
        poll = select.poll()
        poll.register(reader, select.POLLIN | select.POLLHUP)
        chunks: list[bytes] = []
        while not (chunks and chunks[-1].endswith(b"\n")):
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                self._reap(kill=True)
                raise CompilerTimeout(f"OpenMLDB's compiler did not answer within {seconds:g} s")
            chunk = os.read(reader, 2**20)
            if not chunk:
                return None
            chunks.append(chunk)
        return b"".join(chunks)

    def _reap(self, *, kill: bool = False) -> int:
        """The exit code of the process, which has ended or is made to."""
        child, self._child = self._child, None
        if child is None or self._owner != os.getpid():
            return 0
        if kill:
            child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue
        return child.wait()


def _how(code: int) -> str:
    if code >= 0:
        return f"its process ended with code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"

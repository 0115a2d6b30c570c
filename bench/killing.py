"""Forked children that end by SIGKILL: at their k-th step, or at a moment.

A step is a file operation (an audit hook sees files opened to be written, renames, links, folders,
removals, locks) or one side of a question to a server: just before it is sent, and just after its
answer has come. So a kill falls before and after everything that another process can see.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Work = Callable[[], None]

EVENTS = ("open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "shutil.copytree",
          "shutil.copyfile", "shutil.rmtree", "fcntl.flock", "os.truncate", "os.utime")  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Ended:
    """How a child ended: killed, or by itself, well or with an error; after so many steps."""

    killed: bool
    well: bool
    steps: int
    seconds: float


@dataclass(frozen=True)
class Children:
    """Where children run: file steps count below `root`, what they print goes to `log`."""

    root: Path
    log: Path
    prepare: Work = lambda: None
    """Called first in each child."""

    def run(
        self, work: Work, *, kill_at: int = 0, after_s: float = 600.0, meanwhile: Work | None = None
    ) -> Ended:
        """Fork and do `work`; SIGKILL it at a step or after so many seconds, whichever is first.

        Args:
            work: what the child does.
            kill_at: the step at which it dies, counted from 1; 0 for none.
            after_s: the moment at which it is killed.
            meanwhile: done here, `after_s` after the start, instead of killing the child.
        """
        out, into = os.pipe()
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os.close(out)
            self._child(work, kill_at, into)
        os.close(into)
        with os.fdopen(out, "rb") as pipe:
            if not select.select([pipe], [], [], after_s)[0]:
                if meanwhile is None:
                    os.kill(pid, signal.SIGKILL)
                else:
                    meanwhile()
            told = pipe.read()
        _, status = os.waitpid(pid, 0)
        seconds = time.monotonic() - started
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL, status
            return Ended(True, False, 0, seconds)
        return Ended(False, os.waitstatus_to_exitcode(status) == 0, int(told or b"0"), seconds)

    def whole(self, work: Work) -> Ended:
        """Do `work` in a child that nobody kills.

        Raises:
            AssertionError: it failed; the message holds the end of its output.
        """
        ended = self.run(work)
        assert ended.well, f"a try that nobody killed failed:\n{self.tail()}"
        return ended

    def tail(self) -> str:
        """The end of what the last child printed."""
        return self.log.read_text(errors="replace")[-3000:]

    def _child(self, work: Work, kill_at: int, into: int) -> None:
        code = 1
        try:
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            for stream in (1, 2):
                os.dup2(log, stream)
            steps = _Steps(kill_at, self.root)
            self.prepare()
            with steps.counted():
                work()
            os.write(into, str(steps.seen).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


class _Steps:
    """Counts the steps of this process, and ends it at one of them."""

    def __init__(self, kill_at: int, root: Path) -> None:
        self.seen = 0
        self._kill_at = kill_at
        self._root = str(root)
        self._counting = False

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count from here on."""
        import httpx

        from nightshift.triton import TritonControl

        sys.addaudithook(self._hook)
        httpx.Client.send = self._both_sides(httpx.Client.send)  # type: ignore[method-assign]
        TritonControl._call = self._both_sides(TritonControl._call)  # type: ignore[method-assign]
        self._counting = True
        yield
        self._counting = False

    def _both_sides(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        def asking(*args: Any, **kwargs: Any) -> Any:
            self._step()
            try:
                return ask(*args, **kwargs)
            finally:
                self._step()

        return asking

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in EVENTS or (event == "open" and not args[2] & WRITES):
            return
        if event == "fcntl.flock" or self._root in str(args[0]):
            self._step()

    def _step(self) -> None:
        if self._counting:
            self.seen += 1
            if self.seen == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def points(count: int, most: int) -> list[int]:
    """Steps to kill at: each in turn, over and over; of more than `most`, a spread.

    Half of a spread are the last steps, where things become visible; half lie over the others.
    """
    if count <= most:
        return [1 + n % count for n in range(most)]
    late = list(range(count - most // 2 + 1, count + 1))
    early = count - len(late)
    return [1 + n * early // (most - len(late)) for n in range(most - len(late))] + late

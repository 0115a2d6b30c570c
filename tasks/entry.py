"""How every task process starts and ends: result file, exit code, error text.

A task writes one small JSON result, whole or not at all. It ends with 0, with
`errors.EXIT_TERMINAL` or `errors.EXIT_RETRYABLE`, or with 143 after a clean stop by SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from nightshift import files
from nightshift.errors import EXIT_RETRYABLE, EXIT_TERMINAL, NightshiftError, RetryableError
from nightshift.parents import end_with

RESULT_VERSION = 1
EXIT_STOPPED = 143
"""128 + SIGTERM: the task stopped because it was asked to, and kept its checkpoint."""

INNER_ERRORS = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
"""How OneFlow ends its process on an inner error."""


_PASSING = {errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE}


class Stopped(Exception):
    """SIGTERM arrived; nothing half-written stays, and a checkpoint is kept where there is one."""


class TaskParser(argparse.ArgumentParser):
    """A parser whose complaint ends the process with `EXIT_TERMINAL`: a retry would not help."""

    def error(self, message: str) -> NoReturn:
        """Print usage and the complaint to stderr, and exit."""
        self.print_usage(sys.stderr)
        self.exit(EXIT_TERMINAL, f"{self.prog}: {message}\n")


def log(message: str) -> None:
    """One line of progress on stdout, with the time, flushed at once."""
    now = time.strftime("%H:%M:%S", time.gmtime())
    sys.stdout.write(f"{now} {message}\n")
    sys.stdout.flush()


def _stop(_number: int, _frame: FrameType | None) -> None:
    # A second one, sent to the process group say, must not break the end that this one begins.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped("SIGTERM; nothing was written")


def run_task(task: str, result: Path, out: Path, work: Callable[[], dict[str, Any]]) -> int:
    """Run `work`, write its result file and return the process's exit code.

    SIGTERM raises `Stopped` wherever `work` is, unless `work` notes it itself.

    Args:
        task: the task's name, kept in the result.
        result: where the result goes; an older one is removed first, so that a killed task
            never leaves another run's result.
        out: what `work` writes: a full disk is told with its folder.
        work: does the task and returns its figures, with `artefacts` by name.
    """
    result.unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, _stop)
    started = time.monotonic()
    head = {"task": task, "version": RESULT_VERSION}
    try:
        figures = work()
    except Stopped as stop:
        log(f"stopped: {stop}")
        files.write_json(result, {**head, "status": "stopped", "error": str(stop)})
        return EXIT_STOPPED
    except Exception as error:
        retryable = isinstance(error, RetryableError) or (
            isinstance(error, OSError) and error.errno in _PASSING
        )
        told = isinstance(error, NightshiftError)
        message = str(error) if told else _told(error, out)
        # A file that does not read is not a fault of the code: where it is raised says nothing.
        if not (told or isinstance(error, OSError) or type(error).__module__.startswith("pyarrow")):
            traceback.print_exc()
        log(f"failed: {message}")
        _write_error(
            result,
            {
                **head,
                "status": "error",
                "error": message,
                "kind": type(error).__name__,
                "retryable": retryable,
            },
        )
        return EXIT_RETRYABLE if retryable else EXIT_TERMINAL
    seconds = round(time.monotonic() - started, 3)
    files.write_json(result, {**head, "status": "ok", "seconds": seconds, **figures})
    return 0


def leave(code: int) -> NoReturn:
    """End the process at once: the kernel takes its memory whole, not object by object.

    For a process that holds much of it and has nothing left to do at its exit.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # whoever read it went away
            stream.flush()
    os._exit(code)


def _told(error: Exception, out: Path) -> str:
    if isinstance(error, OSError):
        # Here, as it loads Arrow, which the process that guards a training does without.
        from openmldb_files import NO_ROOM, why_not_written

        place = Path(error.filename) if isinstance(error.filename, str) else out
        # An input that may not be read is named by the error itself.
        if error.errno in NO_ROOM or place.is_relative_to(out.parent):
            why = why_not_written(error, out.parent)
            if why is not None:
                return why
    return f"{type(error).__name__}: {error}"


def _write_error(result: Path, figures: dict[str, Any]) -> None:
    try:
        files.write_json(result, figures)
    except OSError as error:  # the disk that was full still is: the log and the exit code say it
        log(f"no result file: {_told(error, result)}")


PARENT = "NIGHTSHIFT_PARENT"
"""Environment variable of a process that calls `die_with_parent`: the id of the one that starts it."""


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it dies (Linux).

    That may have happened by now; only the id in `PARENT` tells.
    """
    end_with(int(os.environ.get(PARENT) or os.getppid()), signal.SIGKILL)


def killed(what: str) -> str:
    """What to say of a training process that the kernel has killed."""
    return (
        f"{what} was killed (SIGKILL), most likely because memory ran out; raise "
        "NIGHTSHIFT_TASK_MEMORY, or lower embedding_dim or train_days"
    )

"""`python -m tasks.ctr.train`: dataset in, model out.

Training runs in a process of its own, because OneFlow ends its process on an inner error
(SIGSEGV, SIGABRT) instead of raising. This one starts it anew then, and it goes on from its
checkpoint, to the very same model.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

from nightshift import files
from nightshift.errors import EXIT_RETRYABLE
from tasks.ctr.train.arguments import parse_arguments
from tasks.entry import EXIT_STOPPED, INNER_ERRORS, PARENT, RESULT_VERSION, killed, log

RESTARTS = 5
"""So many times a training may die of an inner error of OneFlow before the task gives up."""

STOP_S = 60.0
"""Seconds that a training has after SIGTERM to write its checkpoint; then it is killed."""


class Guard:
    """Runs a command, passes SIGTERM on to it, and starts it anew after an inner error."""

    def __init__(self, command: list[str], stop_s: float = STOP_S) -> None:
        self.command = command
        self.stop_s = stop_s
        self.stopping = False
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """The command's exit code, or minus the signal that ended it for good."""
        signal.signal(signal.SIGTERM, self._pass_on)
        for restart in range(RESTARTS + 1):
            code = self._once()
            if code >= 0 or self.stopping or -code not in INNER_ERRORS:
                break
            if restart < RESTARTS:
                log(
                    f"the training process died of {signal.Signals(-code).name}, an inner error of "
                    f"OneFlow; it goes on from its checkpoint (restart {restart + 1} of {RESTARTS})"
                )
        return code

    def _once(self) -> int:
        # SIGTERM waits while the process is started, or it could pass it by.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            if self.stopping:
                return -signal.SIGTERM
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, PARENT: str(os.getpid())},
                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM}),
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return self.process.wait()

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        self.stopping = True
        if self.process is not None:
            self.process.send_signal(number)
            # It may hang in OneFlow, and whoever asks for the end would wait for ever.
            last = threading.Timer(self.stop_s, self.process.kill)
            last.daemon = True
            last.start()


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    options = parse_arguments(given)
    options.result.unlink(missing_ok=True)
    guard = Guard([sys.executable, "-m", "tasks.ctr.train.worker", *given])
    code = guard.run()
    if code >= 0:
        return code
    return _died(options.result, signal.SIGTERM if guard.stopping else -code)


def _died(result: Path, number: int) -> int:
    """Write the result that the training process could not write; returns the exit code."""
    head = {"task": "train", "version": RESULT_VERSION, "kind": signal.Signals(number).name}
    if number == signal.SIGTERM:
        message = "SIGTERM; the next run goes on from the last checkpoint, if there is one"
        files.write_json(result, {**head, "status": "stopped", "error": message})
        return EXIT_STOPPED
    if number == signal.SIGKILL:
        message = killed("the training process")
    else:
        message = (
            f"the training process died of {head['kind']} {RESTARTS + 1} times, an inner error of "
            "OneFlow; its checkpoint is kept"
        )
    log(f"failed: {message}")
    files.write_json(result, {**head, "status": "error", "error": message, "retryable": True})
    return EXIT_RETRYABLE


if __name__ == "__main__":
    sys.exit(main())

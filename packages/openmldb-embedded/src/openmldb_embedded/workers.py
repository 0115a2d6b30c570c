"""Worker processes on this machine: each does one task and ends."""

from __future__ import annotations

import multiprocessing
from multiprocessing import connection
from multiprocessing.process import BaseProcess

from openmldb_embedded import worker
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.stop import Stop


class Workers:
    """Starts worker processes from a template that has the engine loaded already."""

    def __init__(self, memory_limit: int) -> None:
        self.memory_limit = memory_limit
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["openmldb_embedded.template"])

    def run(self, task: worker.Task, stop: Stop) -> worker.Outcome:
        """Do a task in a process of its own and wait for its end.

        Raises:
            Stopped: ``stop`` was called.
            SqlError: The task failed, or its process died.
        """
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=worker.main, args=(task, theirs, self.memory_limit), daemon=True
        )
        try:
            process.start()
            theirs.close()
            with stop.over(process):
                outcome = self._wait(process, ours)
        finally:
            ours.close()
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
        stop.check()
        if outcome is None:
            raise ExecutionError(
                f"the job's process died (exit code {process.exitcode}): it was killed, or the "
                f"machine has no memory left"
            )
        if not outcome.ok:
            error = ExecutionError(outcome.message, outcome.code)
            if outcome.trace:
                error.add_note(outcome.trace)
            raise error
        return outcome

    @staticmethod
    def _wait(process: BaseProcess, ours: connection.Connection) -> worker.Outcome | None:
        while True:
            ready = connection.wait([ours, process.sentinel])
            if ours in ready:
                try:
                    found = ours.recv()
                except (EOFError, OSError):
                    return None
                return found if isinstance(found, worker.Outcome) else None
            if not ours.poll():
                return None

    def warm(self) -> None:
        """Start the template now, so that the first job need not wait for it."""
        process = self._context.Process(target=_nothing, daemon=True)
        process.start()
        process.join()


def _nothing() -> None:
    """The template's first child."""

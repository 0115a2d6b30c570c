"""Airflow's LocalExecutor, which also notices that one of its processes died with its task.

Airflow's own forgets that task. One that had begun to run is retried when its heartbeats are
missed for five minutes; one that was still queued stays so until the scheduler is started again,
since LocalExecutor cannot revoke a task and `scheduler.task_queued_timeout` passes it over. The
same came about where two tries of a task ended between two looks of the scheduler, and for every
task where a process was killed that had nothing to do.
"""

from __future__ import annotations

import fcntl
import importlib
import multiprocessing
import os
import signal
import tempfile
from typing import Any

from airflow.executors.local_executor import LocalExecutor, _run_worker

_WARM = ("croniter", "httpx", "pydantic", "sqlglot", "yaml")
"""What nearly every task of a night imports, none of it our own: that may change while we run."""


class _Signed:
    """The executor's two queues as one of its processes sees them: what it takes, it signs for.

    A `SimpleQueue` is waited at with its lock held, and a process that is killed there, idle, keeps
    the lock: no other process takes work ever again. So this waits without a lock, and takes its
    turn by one that the kernel gives back when its holder dies.
    """

    def __init__(self, inner: Any, results: Any, turn: int) -> None:
        self._inner = inner
        self._results = results
        self._turn = turn

    def get(self) -> Any:
        """The next workload, once the scheduler's side can know who has it."""
        workload = self._take()
        if workload is not None:
            self._results.put((os.getpid(), workload.key, None))
        return workload

    def _take(self) -> Any:
        reader = self._inner._reader
        while True:
            reader.poll(None)
            fcntl.lockf(self._turn, fcntl.LOCK_EX)
            try:
                if reader.poll(0):
                    return reader.recv()
            finally:
                fcntl.lockf(self._turn, fcntl.LOCK_UN)


class NightshiftLocalExecutor(LocalExecutor):
    """LocalExecutor that fails a task at once when the process that had it is dead.

    The task is then retried, and Nightshift's operators find their work again.
    """

    def start(self) -> None:
        """Start the executor."""
        self._held: dict[int, Any] = {}
        # Without a name, and each process's own: record locks do not pass on through a fork.
        self._turn = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the executor lives)
        # A task's process is a fork of a fork of this one, and finds these imported: half a second
        # of computing less a task.
        for name in _WARM:
            importlib.import_module(name)
        super().start()

    def end(self) -> None:
        """End the executor."""
        super().end()
        self._turn.close()

    def _spawn_worker(self) -> None:
        process = multiprocessing.Process(
            target=_run_worker,
            kwargs={
                "logger_name": self.log.name,
                "input": _Signed(self.activity_queue, self.result_queue, self._turn.fileno()),
                "output": self.result_queue,
                "unread_messages": self._unread_messages,
                "team_conf": self.conf,
            },
        )
        process.start()
        assert process.pid is not None
        self.workers[process.pid] = process

    def sync(self) -> None:
        """Take what the processes have to say, fail the tasks of dead ones, start new processes."""
        self._read_results()
        dead = [pid for pid in self._held if not self._lives(pid)]
        self._read_results()  # what they had to say before they died
        for pid in dead:
            if (key := self._held.pop(pid, None)) is not None:
                self.log.error("Executor process %s died; %s is failed", pid, key)
                self.fail(key, info="its executor process died")
        self._check_workers()  # type: ignore[no-untyped-call]

    def get_event_buffer(self, dag_ids: Any = None) -> dict[Any, Any]:
        """The events since the last call; of two tries of a task the later one comes last.

        The scheduler uses only the last.
        """
        events = super().get_event_buffer(dag_ids)
        return dict(sorted(events.items(), key=lambda event: getattr(event[0], "try_number", 0)))

    def revoke_task(self, *, ti: Any) -> None:
        """Forget a task that was queued for `scheduler.task_queued_timeout`; end its process."""
        self.queued_tasks.pop(ti.key, None)
        self.running.discard(ti.key)
        for pid in [pid for pid, key in self._held.items() if key == ti.key]:
            del self._held[pid]
            if self._lives(pid):
                os.kill(pid, signal.SIGKILL)

    def _lives(self, pid: int) -> bool:
        # LocalExecutor forgets a dead process on its own, now and then before this looks.
        process = self.workers.get(pid)
        return process is not None and process.is_alive()

    def _read_results(self) -> None:
        while not self.result_queue.empty():
            said, state, _ = self.result_queue.get()
            if isinstance(said, int):
                self._held[said] = state
            else:
                self._held = {pid: key for pid, key in self._held.items() if key != said}
                self.change_state(said, state)

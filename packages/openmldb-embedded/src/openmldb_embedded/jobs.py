"""Asynchronous jobs: their rows, their logs, and the processes that do their work.

A job's row is in the store: submitted before the client hears of it, finished in the same log
record as its effect. A job that a restart has cut off is LOST.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from openmldb_sql.errors import SqlError

from openmldb_embedded import worker
from openmldb_embedded.catalog import Job, Record, State
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import ExecutionError, JobError
from openmldb_embedded.store import Store
from openmldb_embedded.wal import LogError

Finish = tuple[Callable[[State], Record], Batch | None]
"""How a job's effect is committed: the record's maker, and the segment's rows if at hand."""


class Stopped(SqlError):
    """The work was stopped on demand."""

    default_code = 2000


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


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


class Stop:
    """Stops what is going on, from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self.asked = False

    def __call__(self) -> None:
        """Ask for the stop; a worker process is killed at once."""
        with self._lock:
            self.asked = True
            if self._process is not None:
                self._process.kill()

    def check(self) -> None:
        """Raise ``Stopped`` if the stop was asked for."""
        if self.asked:
            raise Stopped("stopped")

    @contextmanager
    def over(self, process: BaseProcess) -> Iterator[None]:
        """Within, the stop kills ``process``."""
        with self._lock:
            self._process = process
            if self.asked:
                process.kill()
        try:
            yield
        finally:
            with self._lock:
                self._process = None


class Context:
    """What a job's work is given."""

    def __init__(self, store: Store, workers: Workers, job: Job) -> None:
        self.store = store
        self.workers = workers
        self.job = job
        self.stop = Stop()
        self.ended = threading.Event()
        self._log = store.data / "jobs" / f"{job.id}.log"

    def log(self, text: str) -> None:
        """Add a line to the job's log."""
        moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        with self._log.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{moment} UTC {text}\n")

    def run(self, task: worker.Task) -> worker.Outcome:
        """Do a task in a worker process; see ``Workers.run``."""
        return self.workers.run(task, self.stop)

    def staging(self) -> AbstractContextManager[Path]:
        """A folder for unfinished work; see ``Store.scratch``."""
        return self.store.scratch()


Work = Callable[[Context], Finish | None]


class Jobs:
    """Submits, runs, shows and stops jobs."""

    def __init__(self, store: Store, workers: Workers, at_once: int) -> None:
        self._store = store
        self._workers = workers
        self._active: dict[int, Context] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="job")
        for job in list(store.state.jobs.values()):
            if not job.done:
                lost = replace(
                    job, state="LOST", end=now_ms(), error="the server stopped while the job ran"
                )
                store.commit({"op": "job", **vars(lost)})

    def submit(self, kind: str, sql: str, db: str, work: Work) -> Job:
        """Record a job, start it as soon as there is room, and return its row."""

        def make(state: State) -> Record:
            start = now_ms()
            job = Job(
                state.next_job,
                kind,
                "Submitted",
                start,
                None,
                sql,
                "local",
                f"local-{start}",
                "",
                db,
            )
            return {"op": "job", **vars(job)}

        job: Job = self._store.commit(make)
        context = Context(self._store, self._workers, job)
        context.log(f"job {job.id} {kind} submitted: {sql}")
        with self._lock:
            self._active[job.id] = context
        self._pool.submit(self._run, context, work)
        return job

    def _run(self, context: Context, work: Work) -> None:
        job = context.job
        try:
            try:
                context.stop.check()
                job = replace(job, state="RUNNING", pid=os.getpid())
                self._store.commit({"op": "job", **vars(job)})
                context.log("running")
                finish = work(context)
                context.stop.check()
                done = replace(job, state="FINISHED", end=now_ms())
                if finish is None:
                    self._store.commit({"op": "job", **vars(done)})
                else:
                    make, batch = finish
                    self._store.commit(lambda state: {**make(state), "job": vars(done)}, batch)
                context.log("finished")
            except Stopped:
                stopped = replace(job, state="STOPPED", end=now_ms(), error="stopped by STOP JOB")
                self._store.commit({"op": "job", **vars(stopped)})
                context.log("stopped")
            except Exception as error:
                message = error.message if isinstance(error, SqlError) else repr(error)
                context.log(f"failed: {message}")
                if not isinstance(error, SqlError) or getattr(error, "__notes__", None):
                    context.log("".join(traceback.format_exception(error)))
                failed = replace(job, state="FAILED", end=now_ms(), error=message[:2000])
                self._store.commit({"op": "job", **vars(failed)})
        except (LogError, OSError) as error:
            # The row cannot be written: a restart will show the job as LOST.
            with self._store.lock:
                lost = replace(job, state="FAILED", end=now_ms(), error=str(error))
                self._store.state.jobs[job.id] = lost
        finally:
            with self._lock:
                self._active.pop(job.id, None)
            context.ended.set()

    def get(self, number: int) -> Job:
        """A job's row.

        Raises:
            JobError: There is none of this number.
        """
        found = self._store.state.jobs.get(number)
        if found is None:
            raise JobError(f"Job not found: {number}")
        return found

    def all(self) -> list[Job]:
        """All rows by number."""
        with self._store.lock:
            return [self._store.state.jobs[number] for number in sorted(self._store.state.jobs)]

    def wait(self, number: int, timeout: float) -> Job:
        """Return the job's row at its end.

        Raises:
            JobError: The end did not come within ``timeout`` seconds; the job goes on.
        """
        with self._lock:
            context = self._active.get(number)
        if context is not None and not context.ended.wait(timeout):
            raise JobError(
                f"job {number} has not ended within {timeout:g} s and goes on: see SHOW JOB {number}"
            )
        return self.get(number)

    def stop(self, number: int) -> Job:
        """Stop a job and return its row; one that has ended stays as it is.

        Raises:
            JobError: There is none of this number.
        """
        self.get(number)
        with self._lock:
            context = self._active.get(number)
        if context is not None:
            context.stop()
            context.ended.wait(5)
        return self.get(number)

    def log(self, number: int) -> str:
        """A job's log.

        Raises:
            JobError: There is no job of this number.
        """
        self.get(number)
        path = self._store.data / "jobs" / f"{number}.log"
        if not path.exists():
            return ""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 2**20))
            return file.read().decode("utf-8", "replace")

    def interrupt(self) -> None:
        """Stop all jobs."""
        with self._lock:
            active = list(self._active.values())
        for context in active:
            context.stop()

    def close(self) -> None:
        """Stop all jobs and wait for their ends."""
        self.interrupt()
        self._pool.shutdown(wait=True)


def job_rows(jobs: list[Job]) -> list[tuple[Any, ...]]:
    """The rows of SHOW JOBS."""
    return [job.row() for job in jobs]

"""Asynchronous jobs: their rows, their logs, and the threads that see to their work.

A job's row is in the store: submitted before the client hears of it, finished in the same log
record as its effect. A job that a restart has cut off is LOST; one whose offline engine works on
without the server is followed again.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openmldb_sql.errors import SqlError

from openmldb_embedded import worker
from openmldb_embedded.catalog import Job, Record, State
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import JobError
from openmldb_embedded.moods import Mood
from openmldb_embedded.offline import OfflineEngine
from openmldb_embedded.stop import Detached, Lost, Stop, Stopped
from openmldb_embedded.store import Store
from openmldb_embedded.wal import LogError
from openmldb_embedded.workers import Workers

OFFLINE_JOBS = ("ImportOfflineData", "ExportOfflineData", "RunBatchSql", "RunBatchAndShow")
"""The types of jobs whose work is the offline engine's."""

Finish = tuple[Callable[[State], Record], Batch | None]
"""How a job's effect is committed: the record's maker, and the segment's rows if at hand."""


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Context:
    """What a job's work is given."""

    def __init__(self, store: Store, workers: Workers, offline: OfflineEngine, job: Job) -> None:
        self.store = store
        self.workers = workers
        self.offline = offline
        self.job = job
        self.resumed = offline.begun(job.id)
        self.stop = Stop()
        self.ended = threading.Event()
        self.outlives = offline.outlives and job.type in OFFLINE_JOBS
        self._log = store.data / "jobs" / f"{job.id}.log"

    def log(self, text: str) -> None:
        """Add a line to the job's log."""
        moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        with self._log.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{moment} UTC {text}\n")

    @property
    def number(self) -> int:
        """The job's id."""
        return self.job.id

    def progress(self, text: str) -> None:
        """Show how far the work is; not logged, since a restart asks anew."""
        self._show(replace(self.job, task=text))

    def started(self, application: str) -> None:
        """Show the engine's own id of the work."""
        self._show(replace(self.job, application=application))

    def _show(self, job: Job) -> None:
        with self.store.lock:
            self.job = job
            if job.id in self.store.state.jobs:
                self.store.state.jobs[job.id] = job

    def run(self, task: worker.Task) -> worker.Outcome:
        """Do a task in a worker process; see ``Workers.run``."""
        return self.workers.run(task, self.stop)

    def run_offline(self, task: worker.Task) -> worker.Outcome:
        """Do a task with the offline engine; see ``OfflineEngine.perform``."""
        return self.offline.perform(task, self)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder for unfinished work, removed at the end of the work or of the job."""
        if self.outlives:
            folder = self.offline.folder(self.number)
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
        else:
            with self.store.scratch() as folder:
                yield folder

    @contextmanager
    def staging_beside(self, target: Path) -> Iterator[Path]:
        """A hidden folder beside ``target``, removed at the end unless the work is let go of."""
        staged = target.with_name(f".{target.name}.staging-job{self.number}")
        if not self.resumed:
            shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True, exist_ok=True)
        try:
            yield staged
        except Detached:
            raise
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        shutil.rmtree(staged, ignore_errors=True)


Work = Callable[[Context], Finish | None]


class Jobs:
    """Submits, runs, shows and stops jobs."""

    def __init__(
        self,
        store: Store,
        workers: Workers,
        at_once: int,
        offline: OfflineEngine,
        mood: Mood | None = None,
    ) -> None:
        self._store = store
        self._mood = mood or Mood()
        self._deaf: set[int] = set()
        """Jobs that were told to stop, are shown as STOPPED, and go on."""
        self._turning: set[int] = set()
        """Jobs that have failed and are still shown as FINISHED, as a cluster shows them first."""
        self._workers = workers
        self._offline = offline
        self._active: dict[int, Context] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="job")

    def resume(self, work_of: Callable[[Job], Work | None]) -> None:
        """See to the jobs that an earlier server left, before any is submitted.

        Args:
            work_of: The work of a job that can be followed; None for one that cannot, which is
                lost.
        """
        for job in self.all():
            if job.done:
                self._offline.forget(job.id)
                continue
            work = work_of(job)
            if work is None:
                self._offline.abandon(job.id)
                lost = replace(
                    job, state="LOST", end=now_ms(), error="the server stopped while the job ran"
                )
                self._store.commit({"op": "job", **vars(lost)})
            else:
                self._start(job, work, "the server was started again; the job is followed")

    def submit(self, kind: str, sql: str, db: str, work: Work) -> Job:
        """Record a job, start it as soon as there is room, and return its row."""
        # An engine with applications gives them ids of its own.
        ours = kind in OFFLINE_JOBS and self._offline.outlives

        def make(state: State) -> Record:
            start = now_ms()
            job = Job(
                state.next_job,
                kind,
                "Submitted",
                start,
                None,
                sql,
                self._offline.cluster if ours else "local",
                "" if ours else f"local-{start}",
                "",
                db,
            )
            return {"op": "job", **vars(job)}

        job: Job = self._store.commit(make)
        self._start(job, work, f"job {job.id} {kind} submitted: {sql}")
        return job

    def _start(self, job: Job, work: Work, line: str) -> None:
        context = Context(self._store, self._workers, self._offline, job)
        context.log(line)
        with self._lock:
            self._active[job.id] = context
        self._pool.submit(self._run, context, work)

    def _run(self, context: Context, work: Work) -> None:
        try:
            try:
                context.stop.check()
                context.job = replace(context.job, state="RUNNING", pid=os.getpid())
                self._store.commit({"op": "job", **vars(context.job)})
                context.log("running")
                finish = work(context)
                if context.stop.asked:
                    raise Stopped("stopped")
                done = replace(context.job, state="FINISHED", end=now_ms(), task="")
                if finish is None:
                    self._store.commit({"op": "job", **vars(done)})
                else:
                    make, batch = finish
                    self._store.commit(lambda state: {**make(state), "job": vars(done)}, batch)
                context.log("finished")
            except Detached:
                context.log("the server stops; the work goes on and is followed after its start")
                return
            except Stopped:
                self._end(context, "STOPPED", "stopped by STOP JOB")
                context.log("stopped")
            except Lost as error:
                context.log(f"lost: {error.message}")
                self._end(context, "LOST", error.message[:2000])
            except Exception as error:
                message = error.message if isinstance(error, SqlError) else repr(error)
                context.log(f"failed: {message}")
                if not isinstance(error, SqlError) or getattr(error, "__notes__", None):
                    context.log("".join(traceback.format_exception(error)))
                # Before the row changes: nobody may see FAILED first.
                if self._mood.now().failed_seconds:
                    self._turning.add(context.number)
                self._end(context, "FAILED", message[:2000])
            context.offline.forget(context.number)
        except (LogError, OSError) as error:
            # The row cannot be written: a restart will show the job as LOST.
            with self._store.lock:
                lost = replace(context.job, state="FAILED", end=now_ms(), error=str(error))
                self._store.state.jobs[lost.id] = lost
        finally:
            if context.number in self._turning:
                timer = threading.Timer(self._mood.now().failed_seconds, self._ended, (context,))
                timer.daemon = True
                timer.start()
            else:
                self._ended(context)

    def _ended(self, context: Context) -> None:
        """Let go of a job whose row will not change again."""
        self._turning.discard(context.number)
        with self._lock:
            self._active.pop(context.number, None)
        context.ended.set()

    def _end(self, context: Context, state: str, why: str) -> None:
        ended = replace(context.job, state=state, end=now_ms(), error=why)
        self._store.commit({"op": "job", **vars(ended)})

    def get(self, number: int) -> Job:
        """A job's row.

        Raises:
            JobError: There is none of this number.
        """
        found = self._store.state.jobs.get(number)
        if found is None:
            raise JobError(f"Job not found: {number}")
        return self._shown(found)

    def _shown(self, job: Job) -> Job:
        if job.id in self._deaf and not job.done:
            return replace(job, state="STOPPED")
        turning = job.id in self._turning and job.state == "FAILED"
        return replace(job, state="FINISHED") if turning else job

    def all(self) -> list[Job]:
        """All rows by number."""
        with self._store.lock:
            jobs = self._store.state.jobs
            return [self._shown(jobs[number]) for number in sorted(jobs)]

    def ended(self, number: int, timeout: float) -> bool:
        """Whether a job has ended, or does within ``timeout`` seconds."""
        with self._lock:
            context = self._active.get(number)
        return context is None or context.ended.wait(timeout)

    def stop(self, number: int) -> Job:
        """Stop a job and return its row.

        One that has ended is called STOPPED from then on, as on a cluster; what it did stays.

        Raises:
            JobError: There is none of this number.
        """
        job = self.get(number)
        with self._lock:
            context = self._active.get(number)
        if (
            context is not None
            and number not in self._turning
            and self._mood.spend("stops_ignored")
        ):
            self._deaf.add(number)
        elif context is not None and number not in self._turning:
            context.stop()
            context.ended.wait(5)
        elif job.state != "STOPPED":
            self._store.commit({"op": "job", **vars(replace(job, state="STOPPED"))})
        return self.get(number)

    def log(self, number: int) -> str:
        """A job's log: the reason of a failure at its head, where OpenMLDB has it.

        A job that does not exist has an empty one, as there.
        """
        job = self._store.state.jobs.get(number)
        failed = job is not None and job.error and number not in self._turning
        reason = f"Get exception: {job.error}\n" if failed and job is not None else ""
        return f"Stdout:\n{reason}\n\nStderr:\n{self._lines(number)}"

    def _lines(self, number: int) -> str:
        path = self._store.data / "jobs" / f"{number}.log"
        if not path.exists():
            return ""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 2**20))
            return file.read().decode("utf-8", "replace")

    def interrupt(self) -> None:
        """Stop all jobs; let go of those whose work outlives the server."""
        with self._lock:
            active = list(self._active.values())
        for context in active:
            if context.outlives:
                context.stop.detach()
            else:
                context.stop()

    def close(self) -> None:
        """Stop or let go of all jobs, and wait for that."""
        self.interrupt()
        self._pool.shutdown(wait=True)


def job_rows(jobs: list[Job]) -> list[tuple[Any, ...]]:
    """The rows of SHOW JOBS."""
    return [job.row() for job in jobs]

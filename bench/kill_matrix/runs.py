"""One run of one operator: where it is, and what became of it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from bench.kill_matrix.kinds import Kind
from bench.kill_matrix.refit import digest
from bench.kill_matrix.world import ROWS, World
from nightshift.errors import NightshiftError
from nightshift.openmldb import Job, JobState, OpenMLDBClient

ENDED = ("success", "failed")


@dataclass
class Run:
    """A run under way; `look_at` brings it up to date.

    Attributes:
        kind: its operator.
        run_id: its own, an SQL word too.
        state: of the run.
        task_state: of its task.
        task_instance: id of the task instance.
        tries: of the task.
        begun_at: when its work was first seen, monotonic seconds.
        ended: whether its work has ended well.
        job_id: a sensor's job.
        results: when a refit's result was written, each time, in nanoseconds.
        component: what was killed under it.
        stage: where it was then.
        hit: its task's state then.
        struck: when, monotonic seconds.
        over: when it had ended, monotonic seconds.
    """

    kind: Kind
    run_id: str
    state: str = "none"
    task_state: str = "none"
    task_instance: str = ""
    tries: int = 0
    begun_at: float | None = None
    ended: bool = False
    job_id: int | None = None
    results: set[int] = field(default_factory=set)
    component: str = ""
    stage: str = ""
    hit: str = ""
    struck: float = 0.0
    over: float = 0.0

    @property
    def at(self) -> str:
        """The stage now: `starting`, `waiting`, `ending`, or nothing before and after.

        The first second of a blocking wait is still its start; a deferrable one waits when it
        has deferred.
        """
        if self.state in ENDED or self.task_state in ("none", "None", "scheduled", *ENDED):
            return "ending" if self.ended and self.task_state == "scheduled" else ""
        if self.ended:
            return "ending"
        if self.begun_at is None:
            return "starting" if self.task_state in ("queued", "running") else ""
        if self.kind.deferrable:
            return "waiting" if self.task_state == "deferred" else "starting"
        return "waiting" if time.monotonic() - self.begun_at > 1.0 else "starting"

    def marks(self) -> list[str]:
        """Words that only the run's own jobs have in their SQL, one a job that it needs."""
        name = self.kind.name
        if name.startswith("select_into"):
            return [f"/out/{self.run_id}'"]
        if name.startswith("load_online"):
            return [f" o_{self.run_id} "]
        if name.startswith("script"):
            return [f" s_{self.run_id} OPTIONS", f"/out/{self.run_id}'"]
        return []


def prepare(world: World, run: Run) -> None:
    """What a run needs before it is triggered."""
    if run.kind.name.startswith("load_online"):
        with world.openmldb() as api:
            api.execute("bench", f"CREATE TABLE o_{run.run_id}(k string, v int, ts timestamp)")


class Watch:
    """Asks OpenMLDB in a thread of its own, so that a busy or absent one holds up no kill."""

    def __init__(self, world: World, runs: Sequence[Run]) -> None:
        self.jobs: list[Job] = []
        self.deployed: frozenset[str] = frozenset()
        self._world = world
        self._sensors = [run for run in runs if run.kind.name.startswith("sensor")]
        self._deploys = any(run.kind.name.startswith("deploy") for run in runs)
        self._needed = any(run.kind.family == "openmldb" for run in runs)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(70)

    def _ask(self) -> None:
        while self._needed and not self._over.wait(0.2):
            with contextlib.suppress(NightshiftError), self._world.openmldb() as api:
                self.jobs = api.jobs()
                if self._deploys:
                    self.deployed = frozenset(api.deployments("bench"))
                for run in self._sensors:
                    if run.task_state == "running" and run.job_id is None:
                        self._give_job(run, api)

    def _give_job(self, run: Run, api: OpenMLDBClient) -> None:
        """Submit the job that a sensor waits for, when the sensor's task has begun to run."""
        job = api.submit(
            "bench",
            "SELECT k, v, count(v) OVER w AS c, sum(v) OVER w AS s FROM t WINDOW w AS (PARTITION "
            "BY k ORDER BY ts ROWS BETWEEN 50 PRECEDING AND CURRENT ROW) "
            f"INTO OUTFILE '{self._world.folder}/out/{run.run_id}' OPTIONS(format='parquet')",
        )
        run.job_id = job.job_id
        (self._world.folder / "jobs" / run.run_id).write_text(str(job.job_id))


def look(world: World, runs: Sequence[Run], watch: Watch) -> None:
    """Bring runs up to date."""
    names = ",".join(f"'{run.run_id}'" for run in runs)
    rows = world.query(
        "SELECT r.run_id, r.state, t.state, t.id, t.try_number FROM dag_run r "
        f"LEFT JOIN task_instance t ON t.run_id = r.run_id WHERE r.run_id IN ({names})"
    )
    found = {row[0]: row[1:] for row in rows}
    for run in runs:
        if run.run_id in found:
            state, task_state, run.task_instance, tries = found[run.run_id]
            run.state, run.task_state, run.tries = str(state), str(task_state), int(tries or 0)
        begun, ended = _progress(world, run, watch)
        run.ended = run.ended or ended
        if begun and run.begun_at is None:
            run.begun_at = time.monotonic()


def _progress(world: World, run: Run, watch: Watch) -> tuple[bool, bool]:
    """(begun, ended) of the run's work."""
    if run.kind.name.startswith("refit"):
        with contextlib.suppress(OSError, ValueError):
            result = world.settings.home / "runs" / run.run_id / "result.json"
            if json.loads(result.read_text())["status"] == "ok":
                run.results.add(result.stat().st_mtime_ns)
        return bool(run.results or world.training(run.run_id)), bool(run.results)
    if run.kind.family != "openmldb":
        steps = world.steps(run.run_id)
        return bool(steps), "written" in steps
    if run.kind.name.startswith("deploy"):
        there = f"dp_{run.run_id}" in watch.deployed
        return there, there
    jobs = watch.jobs
    if run.kind.name.startswith("sensor"):
        own = [job for job in jobs if job.job_id == run.job_id]
        return run.job_id is not None, any(job.state.is_terminal for job in own)
    marks = run.marks()
    own = [job for job in jobs if any(mark in job.parameter for mark in marks)]
    done = [job for job in own if job.state is JobState.FINISHED]
    last = [job for job in done if marks and marks[-1] in job.parameter]
    return bool(own), bool(last)


def judge(world: World, run: Run) -> tuple[int, int, int]:
    """(doubled, orphans, lost) of a run that has ended; removes what it made."""
    good = run.state == "success"
    if run.kind.name.startswith("refit"):
        living = world.training(run.run_id)
        same = digest(world.settings.home / "runs" / run.run_id / "model") == world.refitted
        return max(0, len(run.results) - 1), len(living), int(not good or not same)
    if run.kind.family != "openmldb":
        doubled = max(0, world.steps(run.run_id).count("end") - 1)
        result = world.settings.home / "runs" / run.run_id / "result.json"
        left = (
            world.containers(run.run_id)
            if run.kind.family == "container"
            else world.keepers(run.run_id)
        )
        return doubled, len(left), int(not good or not result.exists())
    with world.openmldb() as api:
        if run.kind.name.startswith("deploy"):
            there = f"dp_{run.run_id}" in api.deployments("bench")
            if there:
                api.execute("bench", f"DROP DEPLOYMENT dp_{run.run_id}")
            return 0, 0, int(not good or not there)
        if run.kind.name.startswith("sensor"):
            state = api.job(run.job_id).state if run.job_id is not None else None
            world.exported(run.run_id)
            # Somebody else's job: the sensor succeeds if the job did, and else must not.
            return 0, 0, int(good != (state is JobState.FINISHED))
        jobs = api.jobs()
        doubled = orphans = 0
        for mark in run.marks():
            own = [job for job in jobs if mark in job.parameter]
            alive = [job for job in own if not job.state.is_terminal]
            sound = [job for job in own if job.state is JobState.FINISHED]
            doubled += max(0, len(alive) + len(sound) - 1)
            orphans += len(alive)
        if run.kind.name.startswith("load_online"):
            counted = api.execute("bench", f"SELECT count(*) FROM o_{run.run_id}")
            rows = int(counted.rows[0][0]) if counted and counted.rows else 0
            with contextlib.suppress(NightshiftError):
                api.execute("bench", f"DROP TABLE o_{run.run_id}")
        else:
            rows = world.exported(run.run_id)
            if run.kind.name.startswith("script"):
                with contextlib.suppress(NightshiftError):
                    api.execute("bench", f"DROP TABLE s_{run.run_id}")
    return doubled, orphans, int(not good or rows != ROWS)

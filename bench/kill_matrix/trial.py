"""One trial: runs of several operators at once, and kills among them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from bench.kill_matrix.kinds import FAMILY_OF, KINDS, OWN, STAGES, Kind, stages
from bench.kill_matrix.outcomes import BYSTANDER, Outcome
from bench.kill_matrix.runs import ENDED, Run, Watch, judge, look, prepare
from bench.kill_matrix.world import PARTS, World, kill_worker
from nightshift.errors import NightshiftError

RUN_LIMIT_S = 240.0
CROWD_S = 4.0
GROUPS: tuple[tuple[str, ...], ...] = (
    ("worker",),
    ("idle",),
    ("triggerer",),
    ("scheduler",),
    ("api-server",),
    ("openmldb", "task", "container"),
    ("openmldb", "task", "engine"),
)
"""Components killed in one trial: those of a group touch different operators."""

Cell = tuple[str, str, str]


@dataclass
class Strike:
    """One kill to come.

    Attributes:
        component: what to kill.
        stage: the stage that the leading run is to have come to.
        lead: kind of that run.
        delay: seconds to wait after it has.
        due: when to kill, monotonic seconds, once the stage was seen.
        done: killed, or missed.
    """

    component: str
    stage: str
    lead: str
    delay: float
    due: float | None = None
    done: bool = False


def shortfall(counts: Counter[Cell], goal: int, component: str, names: set[str]) -> dict[Cell, int]:
    """Kills that the cells of a component and some operators still lack."""
    return {
        (component, stage, kind.name): lack
        for kind in KINDS
        if kind.name in names
        for stage in stages(component, kind)
        if (lack := goal - counts[component, stage, kind.name]) > 0
    }


def plan(lacks: dict[str, dict[Cell, int]]) -> tuple[list[Strike], set[str]]:
    """The strikes that cells lack most, and the operators to run; none when all have enough."""
    groups = [[c for c in group if c in lacks] for group in GROUPS]
    sums = [sum(sum(lacks[c].values()) for c in group) for group in groups]
    if not any(sums):
        return [], set()
    strikes = []
    names: set[str] = set()
    for component in random.choices(groups, weights=sums)[0]:
        cells = lacks[component]
        names |= {cell[2] for cell in cells}
        if component in OWN:
            for name in {cell[2] for cell in cells}:
                stage = _most({c: n for c, n in cells.items() if c[2] == name})[1]
                strikes.append(_strike(component, stage, name))
        elif cells:
            by_stage = {s: sum(n for c, n in cells.items() if c[1] == s) for s in STAGES}
            stage = max(by_stage, key=lambda s: (by_stage[s], random.random()))
            lead = _most({c: n for c, n in cells.items() if c[1] == stage})[2]
            strikes.append(_strike(component, stage, lead))
    return strikes, names


def _most(cells: dict[Cell, int]) -> Cell:
    return max(cells, key=lambda cell: (cells[cell], random.random()))


def _strike(component: str, stage: str, lead: str) -> Strike:
    longest = 0.4 if stage == "ending" or (component in OWN and stage == "starting") else 1.5
    return Strike(component, stage, lead, random.uniform(0.0, longest))


class Trial:
    """Runs of the kinds that the strikes are for, from trigger to verdict."""

    def __init__(self, world: World, strikes: list[Strike], names: set[str], number: int):
        self.world = world
        self.strikes = strikes
        chosen = [kind for kind in KINDS if kind.name in names]
        self.runs = [Run(kind, f"r_{number}_{n}") for n, kind in enumerate(chosen)]
        random.shuffle(self.runs)
        self.fallen: list[str] = []
        """Services that ended without a kill, and were started again."""
        self._threads: list[threading.Thread] = []

    def run(self, report: Callable[[Outcome], None]) -> None:
        """Trigger, strike, wait for all ends, judge each."""
        self.world.pause(True)
        for run in self.runs:
            prepare(self.world, run)
            self.world.trigger(run.kind.name, run.run_id)
        self.world.pause(False)
        with Watch(self.world, self.runs) as watch:
            self._follow(watch, report)
        for thread in self._threads:
            thread.join(120)

    def _follow(self, watch: Watch, report: Callable[[Outcome], None]) -> None:
        waiting = list(self.runs)
        deadline = time.monotonic() + RUN_LIMIT_S
        while waiting and time.monotonic() < deadline:
            look(self.world, waiting, watch)
            if not any(thread.is_alive() for thread in self._threads):
                self.fallen += self.world.revive()
            for strike in self.strikes:
                if not strike.done and self._is_due(strike):
                    strike.done = True
                    self._do(strike, watch)
                    # The rest of a trial gets its time from the last kill on.
                    deadline = time.monotonic() + RUN_LIMIT_S
            for run in [run for run in waiting if run.state in ENDED]:
                run.over = run.over or time.monotonic()
                # While OpenMLDB or the engine is away nothing can be judged yet.
                with contextlib.suppress(NightshiftError):
                    report(self._outcome(run))
                    waiting.remove(run)
            time.sleep(0.1)
        for run in waiting:
            run.state, run.over = "stuck", time.monotonic()
            report(self._outcome(run))

    def _is_due(self, strike: Strike) -> bool:
        """Whether the leading run is, or was, at the stage; another leads when it is over."""
        lead = next((run for run in self.runs if run.kind.name == strike.lead), None)
        if lead is None or lead.state in ENDED or lead.component:
            left = [run for run in self.runs if self._touches(strike, run.kind)]
            left = [run for run in left if run.state not in ENDED and not run.component]
            if strike.component in OWN or not left:
                strike.done = True
            else:
                strike.lead = random.choice(left).kind.name
            return False
        now = time.monotonic()
        if strike.due is None:
            if lead.at == strike.stage and self._is_there(strike.component, lead):
                # Now and then at once: an executor's process then dies with its task still queued.
                queued = strike.component == "worker" and strike.stage == "starting"
                delay = 0.0 if queued and random.random() < 0.4 else strike.delay
                strike.due = now + delay
            return False
        if lead.at != strike.stage:
            return True
        # A shared component is left a moment longer, for more of its runs to come to the stage.
        return now >= strike.due and (self._is_crowded(strike) or now >= strike.due + CROWD_S)

    def _is_crowded(self, strike: Strike) -> bool:
        """Whether half of the runs that a strike touches are where it is wanted."""
        left = [r for r in self.runs if self._touches(strike, r.kind) and r.state not in ENDED]
        there = sum(run.at == strike.stage and run.task_state != "queued" for run in left)
        return strike.component in OWN or 2 * there >= len(left)

    def _touches(self, strike: Strike, kind: Kind) -> bool:
        if strike.component in OWN:
            return kind.name == strike.lead
        if not stages(strike.component, kind):
            return False
        return FAMILY_OF.get(strike.component, kind.family) == kind.family

    def _do(self, strike: Strike, watch: Watch) -> None:
        look(self.world, self.runs, watch)
        touched = [run for run in self.runs if self._touches(strike, run.kind)]
        places = {run.run_id: (run.at, run.task_state) for run in touched}
        if strike.component in OWN:
            if not all(self._kill_own(strike.component, run) for run in touched):
                strike.done = False  # not there yet, or not any more; the run's end tells
                return
        else:
            thread = threading.Thread(target=self.world.bounce, args=(strike.component,))
            thread.start()
            self._threads.append(thread)
        for run in touched:
            stage, state = places[run.run_id]
            # A task that is only queued is the scheduler's and its executor's alone.
            awake = ("scheduler", "worker", "idle")
            asleep = state == "queued" and strike.component not in awake
            if stage in stages(strike.component, run.kind) and not asleep and not run.component:
                run.component, run.stage, run.hit = strike.component, stage, state + run.hit
                run.struck = time.monotonic()

    def _is_there(self, component: str, run: Run) -> bool:
        """Whether what a run has of its own is there to be killed."""
        if component == "worker":
            return bool(run.task_instance) and self.world.worker_of(run.task_instance) is not None
        return component not in OWN or run.begun_at is not None

    def _kill_own(self, component: str, run: Run) -> bool:
        """SIGKILL to what one run has of its own; False if it was not there any more."""
        if component == "worker":
            worker = self.world.worker_of(run.task_instance) if run.task_instance else None
            if worker is not None:
                how = random.choice(PARTS)
                run.hit += f", {how} killed"
                kill_worker(worker, how)
            return worker is not None
        if component == "task":
            pids = self.world.keepers(run.run_id)
        else:
            engine = self.world.engine
            pids = []
            for container in self.world.containers(run.run_id):
                with contextlib.suppress(RuntimeError):
                    said = engine.docker("inspect", "-f", "{{.State.Pid}}", container)
                    pids += [int(said)] if int(said) else []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def _outcome(self, run: Run) -> Outcome:
        doubled, orphans, lost = judge(self.world, run)
        return Outcome(
            component=run.component or BYSTANDER,
            stage=run.stage,
            operator=run.kind.name,
            state=run.state,
            tries=run.tries,
            seconds=round(run.over - run.struck, 1) if run.component else 0.0,
            doubled=doubled,
            orphans=orphans,
            lost=lost,
            hit=run.hit,
            run_id=run.run_id,
            session=self.world.folder.name,
        )

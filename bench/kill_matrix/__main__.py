"""Kill every component at every stage of every operator, and count what got lost or doubled.

    .venv/bin/python -m bench.kill_matrix --kills 5 --seconds 5400
    .venv/bin/python -m bench.kill_matrix --table

Starts an Airflow of its own (scheduler, triggerer, DAG processor, api-server; LocalExecutor on
SQLite), an embedded OpenMLDB, a Docker engine and task processes in a temporary folder; needs
root, for the engine. A trial starts one run of each operator that still lacks kills, waits until
a run is at the wanted stage, sends SIGKILL to a component, starts it again after a second, and
waits for the runs to end. Outcomes are appended to the file, and a later call goes on from there.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from nightshift_provider.runners.process import keeper_pid

from bench.kill_matrix import outcomes
from bench.kill_matrix.kinds import COMPONENTS, KINDS
from bench.kill_matrix.outcomes import Outcome
from bench.kill_matrix.trial import Trial, plan, shortfall
from bench.kill_matrix.world import World

KILLS = Path(__file__).resolve().parents[2] / "var" / "kills.jsonl"
"""Where outcomes are kept; docs/kill_matrix.md shows their summary."""


def say(text: str) -> None:
    """A line of the log, with the time."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def measure(world: World, options: argparse.Namespace) -> None:
    """Trials until all cells have their kills, or the time is up."""
    found = outcomes.read(options.out)
    begun = time.monotonic()
    number = 0

    def report(outcome: Outcome) -> None:
        found.append(outcome)
        outcomes.append(options.out, outcome)
        say(("" if outcome.clean else "LOOK ") + json.dumps(asdict(outcome)))

    while time.monotonic() - begun < options.seconds:
        per_cell = outcomes.counts(found)
        wanted = set(options.operators)
        lacks = {c: shortfall(per_cell, options.kills, c, wanted) for c in options.components}
        strikes, names = plan(lacks)
        if not strikes:
            break
        number += 1
        said = ", ".join(f"{s.component} at {s.stage} of {s.lead}" for s in strikes)
        say(f"trial {number}: {said}")
        trial = Trial(world, strikes, names, number)
        try:
            trial.run(report)
        except Exception:
            say(f"trial {number} broke off:\n{traceback.format_exc()}")
        if trial.fallen:
            say(f"LOOK ended by themselves in trial {number}: {', '.join(trial.fallen)}")
    if world.with_engine:
        say(f"containers left at the end: {len(world.containers())}")
    left = sum(pid is not None for pid in map(keeper_pid, world.task_folders()))
    say(f"keepers left at the end: {left}")


def main() -> int:
    """Measure, or print the table of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=5, help="kills that each cell is to have")
    parser.add_argument("--components", nargs="+", default=COMPONENTS, choices=COMPONENTS)
    names = [kind.name for kind in KINDS]
    parser.add_argument("--operators", nargs="+", default=names, choices=names)
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin no trial after this")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=KILLS, help="JSON lines")
    parser.add_argument(
        "--table", type=Path, nargs="?", const=KILLS, help="print the table of a file and end"
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.table:
        sys.stdout.write(outcomes.table(outcomes.read(options.table)) + "\n")
        return 0
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(143))
    random.seed(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="nightshift-kill-"))
    world = World(
        folder,
        with_engine=any(n.startswith("container") for n in options.operators),
        with_refit=any(n.startswith("refit") for n in options.operators),
    )
    begun = time.monotonic()
    try:
        world.start()
        say(f"services up after {time.monotonic() - begun:.0f} s in {folder}")
        measure(world, options)
    finally:
        world.stop()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    found = outcomes.read(options.out)
    sys.stdout.write(outcomes.table(found) + "\n")
    return int(not all(outcome.clean for outcome in found))


if __name__ == "__main__":
    sys.exit(main())

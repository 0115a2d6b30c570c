"""Warm nights of the demo through Airflow: seconds to the switch, by task, ours and a peer's.

    .venv/bin/python bench/night.py [--nights 3] [--peer /path/of/another/checkout]

Each side gets services of its own in a temporary home, and generated tables of the demo's size.
The first night makes tables and releases; the nights after it are warm, and measured. With a peer,
another checkout that is set up, nights alternate. Seconds are Airflow's own: from the run's start
to the end of the task `switch`, and by task on the path that the switch waited for: how long the
task's work took, and how long it waited for Airflow to start it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cli.airflow_api import AirflowApi  # noqa: E402
from nightshift.settings import Settings  # noqa: E402
from testing.serving import free_ports  # noqa: E402

LAST = dt.date(2026, 3, 31)
DAYS = 30
ROWS = 800
DAG = "retrain_jd"
PORTS = ("OPENMLDB", "TRITON_HTTP", "TRITON_GRPC", "TRITON_METRICS", "PREDICT", "AIRFLOW")


@dataclass
class Night:
    """One night's seconds.

    Attributes:
        switched: From the run's start to the end of `switch`.
        whole: To the run's end.
        path: Tasks that the switch waited for, in their order: name, seconds waited, seconds run.
    """

    switched: float
    whole: float
    path: list[tuple[str, float, float]] = field(default_factory=list)


class Side:
    """One checkout with services of its own."""

    def __init__(self, name: str, root: Path, home: Path) -> None:
        self.name, self.root = name, root
        free = zip(PORTS, free_ports(len(PORTS)), strict=True)
        outer = {
            k: v for k, v in os.environ.items() if not k.startswith(("NIGHTSHIFT_", "AIRFLOW"))
        }
        self.env = {
            **outer,
            "NIGHTSHIFT_HOME": str(home),
            "NIGHTSHIFT_START_TIMEOUT_S": "600",
            **{f"NIGHTSHIFT_{name}_PORT": str(port) for name, port in free},
        }

    def command(self, *arguments: str) -> None:
        """Run `./nightshift` there; its output goes to standard error."""
        subprocess.run(
            [str(self.root / "nightshift"), *arguments],
            env=self.env,
            check=True,
            stdout=sys.stderr,
        )

    def night(self, ds: str) -> Night:
        """Run one night and read its times."""
        self.command("run", "--ds", ds)
        api = AirflowApi(Settings.from_env(self.env))
        runs = api.request("GET", f"/dags/{DAG}/dagRuns?order_by=-run_after&limit=1")["dag_runs"]
        return read(api, runs[0])


def read(api: AirflowApi, run: Mapping[str, Any]) -> Night:
    """The times of a run that succeeded, by Airflow's own record."""
    path = f"/dags/{DAG}/dagRuns/{run['dag_run_id']}/taskInstances?limit=100"
    tasks = {
        task["task_id"]: task
        for task in api.request("GET", path)["task_instances"]
        if task["state"] == "success"
    }
    before = {
        task["task_id"]: task["downstream_task_ids"] or ()
        for task in api.request("GET", f"/dags/{DAG}/tasks")["tasks"]
    }
    begun = _time(run["start_date"])
    ended = {name: _time(task["end_date"]) - begun for name, task in tasks.items()}
    found: list[tuple[str, float, float]] = []
    name = "switch"
    while name:
        upstream = [other for other in ended if name in before.get(other, ())]
        last = max(upstream, key=ended.__getitem__, default="")
        # A task that deferred has the start of its last stay on a worker: count from its queueing.
        started = min(
            _time(tasks[name][key]) - begun
            for key in ("start_date", "queued_when")
            if tasks[name][key]
        )
        ready = ended[last] if last else 0.0
        run_s = float(tasks[name]["duration"] or 0.0)
        found.append((name, max(ended[name] - ready - run_s, started - ready, 0.0), run_s))
        name = last
    return Night(ended["switch"], _time(run["end_date"]) - begun, found[::-1])


def _time(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def figures(nights: list[Night]) -> dict[str, Any]:
    """Medians of the warm nights, and the median seconds of each task on the path."""
    by_task: dict[str, list[tuple[float, float]]] = {}
    for night in nights:
        for name, waited, ran in night.path:
            by_task.setdefault(name, []).append((waited, ran))
    return {
        "switched_s": [round(night.switched, 1) for night in nights],
        "whole_s": [round(night.whole, 1) for night in nights],
        "switched_s_median": round(statistics.median(n.switched for n in nights), 1),
        "path": {
            name: {
                "waited_s": round(statistics.median(w for w, _ in times), 1),
                "ran_s": round(statistics.median(r for _, r in times), 1),
            }
            for name, times in by_task.items()
        },
    }


def main() -> int:
    """Run it and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=3, help="warm nights of each side")
    parser.add_argument("--rows-per-day", type=int, default=ROWS)
    parser.add_argument("--peer", type=Path, help="root of another checkout, set up")
    given = parser.parse_args()
    roots = {"ours": ROOT} | ({"peer": given.peer.resolve()} if given.peer else {})
    measured: dict[str, list[Night]] = {name: [] for name in roots}
    with tempfile.TemporaryDirectory(prefix="nightshift-night-") as folder:
        sides = [Side(name, root, Path(folder) / name) for name, root in roots.items()]
        try:
            for side in sides:
                side.command(
                    *("data", "generate", "--end", LAST.isoformat()),
                    *("--days", str(DAYS + given.nights)),
                    *("--rows-per-day", str(given.rows_per_day)),
                )
                side.command("up")
            for number in range(given.nights + 1):
                ds = (LAST - dt.timedelta(days=given.nights - number)).isoformat()
                for side in sides:
                    night = side.night(ds)
                    print(f"{side.name} {ds}: {night}", file=sys.stderr, flush=True)
                    if number:
                        measured[side.name].append(night)
        finally:
            for side in sides:
                side.command("down")
    print(json.dumps({name: figures(nights) for name, nights in measured.items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

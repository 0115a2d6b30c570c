"""What the serving benches ask, and how: request bodies, the load generator, processor time."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from nightshift.pipeline import Pipeline
from nightshift.serving.pair import request_rows
from testing.house import House

SHARED = Path(__file__).resolve().parents[3] / "shared" / "bench"
"""The load generator and the tutorial's server."""


def need_shared() -> None:
    """End the bench where the load generator is missing."""
    if not SHARED.is_dir():
        sys.exit(f"{SHARED} is not there; the load generator and the peer lie in it")


def bodies(
    pipeline: Pipeline, folder: Path, candidates: tuple[int, ...] = (200,)
) -> dict[str, tuple[str, Path]]:
    """Files of request bodies, and the path that takes them, by what they measure.

    Args:
        pipeline: its newest partition gives the rows.
        folder: gets the files.
        candidates: how many a `/rank` has.
    """
    settings = pipeline.settings
    schema = httpx.get(f"{settings.predict_url}/schema", trust_env=False).json()["request"]
    names = [column["name"] for column in schema]
    rows = [dict(zip(names, row, strict=True)) for row in request_rows(pipeline, names, 400)]
    ring = itertools.cycle(rows)
    batches = [[list(next(ring).values()) for _ in range(100)] for _ in range(40)]
    shared = [name for name in names if name not in ("reqId", "pair_id", "sku_id")]

    def ranking(base: dict[str, Any], count: int) -> dict[str, Any]:
        others = ({k: v for k, v in next(ring).items() if k not in shared} for _ in range(count))
        return {"user": {name: base[name] for name in shared}, "candidates": list(others)}

    made: list[tuple[str, str, Any]] = [
        ("single", "/predict", rows),
        ("batch100", "/predict", batches),
    ]
    for count in candidates:
        bases = itertools.islice(ring, 20)
        made.append((f"rank{count}", "/rank", [ranking(base, count) for base in list(bases)]))
    found = {}
    for name, path, content in made:
        file = folder / f"{name}.json"
        file.write_text(json.dumps(content))
        found[name] = path, file
    return found


def servers_of(house: House) -> dict[str, list[int]]:
    """The processes of a house's servers by the server's name, for `load`."""
    found = {name: _with_children(one.process.pid) for name, one in house.processes.items()}
    found["openmldb"] = found["openmldb"][:1]  # the others come and go
    return found


def _with_children(pid: int) -> list[int]:
    """A process and what it has started for good: workers, models."""
    process = psutil.Process(pid)
    children = {one.pid for one in process.children(recursive=True)}
    time.sleep(1.0)  # a compaction of the request log has ended by then
    return [pid, *(one.pid for one in process.children(recursive=True) if one.pid in children)]


def load(
    port: int,
    path: str,
    file: Path,
    clients: int,
    seconds: float,
    pids: Mapping[str, Sequence[int]],
) -> dict[str, Any]:
    """One run of the load generator.

    Args:
        port: the server's.
        path: of the requests.
        file: their bodies.
        clients: connections that ask at once.
        seconds: how long.
        pids: processes whose processor time is told, by a name for all of them.

    Returns:
        What it prints; `cpu_ms_per_req` by the names of `pids`.
    """
    owners = {f"p{pid}": name for name, several in pids.items() for pid in several}
    argv = [sys.executable, str(SHARED / "predict_load.py"), str(port), path, str(file)]
    named = ",".join(f"{key}={key[1:]}" for key in owners)
    done = subprocess.run(
        [*argv, str(clients), str(seconds), *([named] if named else [])],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr.strip().splitlines()[-1])
    line: dict[str, Any] = json.loads(done.stdout)
    taken = line.pop("cpu_ms_per_req")
    sums = dict.fromkeys(pids, 0.0)
    for key, name in owners.items():
        sums[name] += taken[key]
    line["cpu_ms_per_req"] = {name: round(value, 3) for name, value in sums.items()}
    return line

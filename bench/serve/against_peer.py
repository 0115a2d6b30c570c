"""The predict server and the tutorial's tornado server, between the same OpenMLDB and Triton.

Asks a running stack (`./nightshift up` after a night) and the peer, which this starts, in turns,
with the same rows and the same load generator (both in `../shared/bench`):

    .venv/bin/python bench/serve/against_peer.py --peer-python PYTHON --clients 1 8 32 128

The peer needs a Python of its own with `tornado aiohttp requests tritonclient[http] xxhash
pyyaml numpy`. Prints a line of JSON a run: requests/s, p50 and p99 in milliseconds, requests that
failed, and processor time by request of each process named.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from nightshift import credentials
from nightshift.pipeline import Pipeline
from nightshift.serving.pair import request_rows
from nightshift.settings import Settings
from testing.serving import free_ports, wait_until

SHARED = Path(__file__).resolve().parents[3] / "shared" / "bench"


AS_JSON = """
import aiohttp, runpy, sys
made = aiohttp.ClientSession
def session(**options):
    if "timeout" not in options:  # its own, not tritonclient's
        options["headers"] = {"Content-Type": "application/json"}
    return made(**options)
aiohttp.ClientSession = session
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs the peer with the content type that the laptop's OpenMLDB demands."""


def bodies(pipeline: Pipeline, folder: Path) -> dict[str, tuple[str, Path]]:
    """Files of request bodies, and the path that takes them, by what they measure."""
    settings = pipeline.settings
    schema = httpx.get(f"{settings.predict_url}/schema", trust_env=False).json()["request"]
    names = [column["name"] for column in schema]
    rows = [dict(zip(names, row, strict=True)) for row in request_rows(pipeline, names, 400)]
    ring = itertools.cycle(rows)
    batches = [[list(next(ring).values()) for _ in range(100)] for _ in range(40)]
    shared = [name for name in names if name not in ("reqId", "pair_id", "sku_id")]
    ranks = [
        {
            "user": {name: base[name] for name in shared},
            "candidates": [
                {name: value for name, value in next(ring).items() if name not in shared}
                for _ in range(200)
            ],
        }
        for base in itertools.islice(ring, 20)
    ]
    found = {}
    made: list[tuple[str, str, Any]] = [
        ("single", "/predict", rows),
        ("batch100", "/predict", batches),
        ("rank200", "/rank", ranks),
    ]
    for name, path, content in made:
        file = folder / f"{name}.json"
        file.write_text(json.dumps(content))
        found[name] = path, file
    return found


@contextmanager
def peer(pipeline: Pipeline, python: str) -> Iterator[tuple[int, int]]:
    """The tutorial's server, its better form; yields its port and pid."""
    settings = pipeline.settings
    (port,) = free_ports(1)
    triton = f"{settings.triton_host}:{settings.triton_http_port}"
    live = str(pipeline.releases / "live.json")
    argv = [python, "-c", AS_JSON, str(SHARED / "predict_peer.py"), str(port), live]
    openmldb = settings.openmldb_url
    token = credentials.read(settings, credentials.OPENMLDB_TOKEN)
    if token is not None:
        openmldb = openmldb.replace("://", f"://peer:{token}@")
    process = subprocess.Popen([*argv, openmldb, triton, "async"])

    def up() -> bool:
        try:
            httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
        except httpx.TransportError:
            return process.poll() is not None
        return True

    try:
        wait_until(up, "the peer answers")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def load(port: int, path: str, file: Path, clients: int, seconds: float, pids: list[str]) -> str:
    """One run of the load generator."""
    argv = [sys.executable, str(SHARED / "predict_load.py"), str(port), path, str(file)]
    done = subprocess.run(
        [*argv, str(clients), str(seconds), ",".join(pids)], capture_output=True, text=True
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--turns", type=int, default=2, help="runs of each, in alternation")
    parser.add_argument("--pids", nargs="*", default=[], metavar="NAME=PID")
    options = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit(f"{SHARED} is not there; the load generator and the peer lie in it")
    pipeline = Pipeline.load(Settings.from_env())
    ours = pipeline.settings.predict_port
    with (
        tempfile.TemporaryDirectory() as folder,
        peer(pipeline, options.peer_python) as (theirs, pid),
    ):
        made = bodies(pipeline, Path(folder))
        for name, (path, file) in made.items():
            for clients in options.clients if name == "single" else [4]:
                for _ in range(options.turns):
                    line = load(ours, path, file, clients, options.seconds, options.pids)
                    print(name, "ours", line, flush=True)
                    if name == "single":
                        pids = [*options.pids, f"peer={pid}"]
                        line = load(theirs, path, file, clients, options.seconds, pids)
                        print(name, "peer", line, flush=True)
                    time.sleep(0.5)


if __name__ == "__main__":
    main()

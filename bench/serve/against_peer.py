"""The predict server and the tutorial's tornado server, between the same OpenMLDB and Triton.

Builds a house of its own (tables, one night, real OpenMLDB and Triton), starts the peer, and asks
both in turns with the same rows and the same load generator (peer and generator lie in
`../shared/bench`):

    .venv/bin/python bench/serve/against_peer.py [--peer-python PYTHON] [--clients 1 8 32 128]

The peer needs a Python of its own with `tornado aiohttp requests tritonclient[http] xxhash
pyyaml numpy`; without one only our server is asked. Prints a line of JSON a run: requests/s, p50
and p99 in milliseconds, requests that failed, and the processor milliseconds that a request costs
in each server: what other work on the machine changes least.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.serve.loads import SHARED, bodies, load, need_shared, servers_of
from nightshift import credentials
from nightshift.pipeline import Pipeline
from testing.house import House
from testing.serving import free_ports, wait_until

DS = "2026-11-19"

AS_DEMANDED = """
import aiohttp, os, runpy, sys
made = aiohttp.ClientSession
def session(**options):
    if "timeout" not in options:  # its own, not tritonclient's
        options["headers"] = {"Content-Type": "application/json"}
    else:
        options["headers"] = {"nightshift-key": os.environ["PEER_TRITON_KEY"]}
    return made(**options)
aiohttp.ClientSession = session
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs the peer with what the laptop's OpenMLDB and Triton demand in headers."""


@contextlib.contextmanager
def peer(pipeline: Pipeline, python: str | None) -> Iterator[tuple[int, int] | None]:
    """The tutorial's server, its better form; yields its port and pid, or None without a Python."""
    if python is None:
        yield None
        return
    settings = pipeline.settings
    (port,) = free_ports(1)
    triton = f"{settings.triton_host}:{settings.triton_http_port}"
    live = str(pipeline.releases / "live.json")
    argv = [python, "-c", AS_DEMANDED, str(SHARED / "predict_peer.py"), str(port), live]
    openmldb = settings.openmldb_url
    token = credentials.read(settings, credentials.OPENMLDB_TOKEN)
    if token is not None:
        openmldb = openmldb.replace("://", f"://peer:{token}@")
    key = credentials.read(settings, credentials.TRITON_KEY) or ""
    env = {**os.environ, "PEER_TRITON_KEY": key}
    process = subprocess.Popen([*argv, openmldb, triton, "async"], env=env)

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


def show(name: str, who: str, line: dict[str, Any]) -> None:
    """Print a run, and what its requests cost in all servers together."""
    everywhere = round(sum(line["cpu_ms_per_req"].values()), 3)
    print(json.dumps({"asked": name, "who": who, **line, "cpu_ms_all": everywhere}), flush=True)


def measure(house: House, options: argparse.Namespace, folder: Path) -> None:
    """Ask both in turns."""
    servers = servers_of(house)
    made = bodies(house.pipeline, folder, tuple(options.candidates))
    ours = house.settings.predict_port
    with peer(house.pipeline, options.peer_python) as other:
        for name, (path, file) in made.items():
            for clients in options.clients if name == "single" else options.many:
                for _ in range(options.turns):
                    show(name, "ours", load(ours, path, file, clients, options.seconds, servers))
                    if name == "single" and other is not None:
                        theirs, pid = other
                        pids = {**servers, "peer": [pid]}
                        del pids["predict"]
                        show(name, "peer", load(theirs, path, file, clients, options.seconds, pids))
                    time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", metavar="PYTHON")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--candidates", type=int, nargs="+", default=[200, 1000], help="of a /rank")
    parser.add_argument(
        "--many", type=int, nargs="+", default=[4], help="clients that send batches and rankings"
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--turns", type=int, default=2, help="runs of each, in alternation")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    need_shared()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        house = House.build(folder / "home", predict_workers=options.workers)
        house.generate(16, 300, DS)
        try:
            house.up()
            house.night(DS)
            measure(house, options, folder)
        finally:
            house.down()


if __name__ == "__main__":
    main()

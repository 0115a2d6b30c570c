"""`POST /recommend` over HTTP at a million items: rate, latency, processor time, memory.

    .venv/bin/python bench/recommend/over_http.py [--items 1000000] [--clients 1 8]

Builds a house of its own (tables, one night, real OpenMLDB and Triton) whose release gets a
retrieval of that many items in place of its own small one, fitted as `scale.py` does. Each answer
is the best 10 of 200 candidates: retrieval, features of all candidates from OpenMLDB in one call,
the ranking model. Asked for known users, for users that nobody knows, and with a filter that
leaves a hundredth of the items. Prints lines of JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench.recommend.scale import LAST, world  # noqa: E402
from bench.serve.loads import load, need_shared, servers_of  # noqa: E402
from nightshift.config.recommend import Factors, Recommend  # noqa: E402
from nightshift.plan import Plan  # noqa: E402
from nightshift.recommend import fitting  # noqa: E402
from testing.house import House  # noqa: E402

DS = "2026-11-19"
USER, ITEM = "user_id", "sku_id"


def settings(options: argparse.Namespace) -> Recommend:
    """How the release recommends."""
    return Recommend(
        user=USER,
        item=ITEM,
        fill={"pair_id": "{user}_{item}"},
        retrievers=tuple(options.retrievers),
        factors=Factors(dimensions=32, iterations=options.iterations),
        candidates=200,
    )


def fit(options: argparse.Namespace, out: Path) -> None:
    """Fit the retrievers of the large world, once: with all days held out nothing is measured."""
    found = world(options.items, options.users, options.rows, text=True)
    fitting.build(
        found, settings(options), out, last=LAST, last_ms=0, test_days=1_000,
        request={"id": "reqId", "time": "eventTime"},
    )  # fmt: skip


def recommending(home: Path, options: argparse.Namespace, large: Path) -> House:
    """A house whose live release recommends from the large retrieval."""
    house = House.build(home, predict_workers=options.workers)
    house.pipeline = house.pipeline.with_config(
        recommend=settings(options),
        gates_run=(*house.pipeline.config.gates_run, "recommend"),
    )
    house.pipeline.gates["recommend"]["level"] = "warn"
    house.generate(16, 300, DS)
    house.up()

    def put(plan: Plan) -> None:
        own = house.of(plan).run.recommend
        shutil.rmtree(own)
        large.rename(own)

    house.night(DS, before_candidate=put)
    return house


def memory(pids: list[int]) -> dict[str, Any]:
    """MiB of the predict server's processes: what each has to itself, and what they share."""
    full = [psutil.Process(pid).memory_full_info() for pid in pids]
    return {
        "processes": len(full),
        "unique_mib": round(sum(one.uss for one in full) / 2**20),
        "shared_counted_once_mib": round(sum(one.pss for one in full) / 2**20),
        "resident_mib": round(sum(one.rss for one in full) / 2**20),
    }


def asked(house: House, options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Request bodies by what they measure."""
    random = np.random.default_rng(6)
    known = random.integers(0, options.users, 400).tolist()
    return {
        "known users": [{"user": str(user), "n": 10} for user in known],
        "unknown users": [{"user": f"new-{n}", "n": 10} for n in range(400)],
        "a hundredth of the items": [
            {"user": str(user), "n": 10, "filter": {"hundredth": 7}} for user in known
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=300_000)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--retrievers", nargs="+", default=["item_neighbours", "embeddings"])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    need_shared()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = folder / "large"
        process = multiprocessing.get_context("spawn").Process(target=fit, args=(options, large))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(process.exitcode)
        began = time.monotonic()
        house = recommending(folder / "home", options, large)
        try:
            show(step="night", seconds=round(time.monotonic() - began, 1))
            run(house, options, folder)
        finally:
            house.down()


def run(house: House, options: argparse.Namespace, folder: Path) -> None:
    """Ask, and print what it took."""
    port = house.settings.predict_port
    url = f"http://127.0.0.1:{port}"
    told = httpx.get(f"{url}/schema", trust_env=False).json()["recommend"]
    show(step="serves", items=told["items"], users=told["users"], retrievers=told["retrievers"])
    pids = servers_of(house)
    for kind, bodies in asked(house, options).items():
        answer = httpx.post(f"{url}/recommend", json=bodies[0], timeout=60, trust_env=False).json()
        assert len(answer["recommendations"]) == 10, answer
        file = folder / "bodies.json"
        file.write_text(json.dumps(bodies))
        for clients in options.clients:
            line = load(port, "/recommend", file, clients, options.seconds, pids)
            show(asked=kind, **line)
    show(step="memory of the predict server", **memory(pids["predict"]))


def show(**line: Any) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

"""Retrieval at a million items: how long it takes to fit, how much memory, how fast it answers.

    .venv/bin/python bench/recommend/scale.py --items 1000000 --users 200000 --rows 4000000

Makes interactions with tastes (a user likes items of its own cluster mostly, popular ones more
often), fits the retrievers in a process of its own, then loads the folder as a worker of the
predict server does and asks: plain, with filters that leave a half, a hundredth and a hundred
thousandth of the items, for known and unknown users. Prints lines of JSON. Needs no services.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from nightshift.config.recommend import Factors, Recommend
from nightshift.recommend import fitting
from nightshift.recommend.interactions import ID, Interactions
from nightshift.recommend.recommender import Recommender
from nightshift.recommend.retrievers import REGISTRY, Liked, Retriever

LAST = dt.date(2026, 3, 31)
CLUSTERS = 200
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "half of the items": {"colour": 0},
    "a hundredth": {"hundredth": 7},
    "a hundred thousandth": {"rare": 7},
}


def world(items: int, users: int, rows: int, seed: int = 5, *, text: bool = False) -> Interactions:
    """Interactions of users with clusters of items; within a cluster, some are more popular.

    Args:
        items: how many; their ids are the numbers from 0 on.
        users: likewise.
        rows: interactions.
        seed: of the random numbers.
        text: ids are text.
    """
    random = np.random.default_rng(seed)
    user = random.integers(0, users, rows)
    per = items // CLUSTERS
    cluster = np.where(
        random.random(rows) < 0.8, user % CLUSTERS, random.integers(0, CLUSTERS, rows)
    )
    item = cluster * per + (per * random.random(rows) ** 3).astype(np.int64)
    number = (LAST - dt.date(1970, 1, 1)).days
    places = np.arange(items)
    table = pa.table(
        {
            ID: _ids(items, text),
            "colour": pa.array(places % 2),
            "hundredth": pa.array(places % 100),
            "rare": pa.array(places % 100_000),
        }
    )
    return Interactions(
        _ids(users, text),
        table,
        user.astype(np.int32),
        item.astype(np.int32),
        np.sort(random.integers(number - 29, number + 1, rows)).astype(np.int32),
        np.ones(rows, bool),
        0,
    )


def _ids(count: int, text: bool) -> pa.Array:
    numbers = pa.array(np.arange(count))
    return numbers.cast(pa.string()) if text else numbers


def peak_mib() -> float:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Timed:
    """A retriever whose fit is timed."""

    def __init__(self, name: str, retriever: type[Retriever]) -> None:
        self.name, self.retriever = name, retriever

    def fit(self, liked: Liked, options: Recommend, folder: Path) -> dict[str, Any]:
        """Fit, and print what it took."""
        begun = time.monotonic()
        figures = self.retriever.fit(liked, options, folder)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
        line = {
            "step": self.name,
            "seconds": round(time.monotonic() - begun, 1),
            "peak_mib": round(peak_mib()),
            "files_mib": round(size),
            **figures,
        }
        print(json.dumps(line), flush=True)
        return figures


def fit(options: argparse.Namespace, out: Path) -> None:
    """Fit the retrievers; print seconds of each, and the peak after it."""
    found = world(options.items, options.users, options.rows)
    print(json.dumps({"step": "interactions", "peak_mib": round(peak_mib())}), flush=True)
    started = time.monotonic()
    vars(fitting)["REGISTRY"] = {name: Timed(name, one) for name, one in REGISTRY.items()}
    out.mkdir()
    fitting._write(found, np.ones(len(found.day), bool), settings(options), out, last=LAST)
    card = json.loads((out / "recommend.json").read_text())
    card |= {"request": {"id": "id", "time": "at"}, "last_ms": 0, "held_out": {"users": 0}}
    (out / "recommend.json").write_text(json.dumps(card))
    line = {"step": "all", "seconds": round(time.monotonic() - started, 1)}
    print(json.dumps({**line, "peak_mib": round(peak_mib())}), flush=True)


def settings(options: argparse.Namespace) -> Recommend:
    """What is fitted."""
    return Recommend(
        user="user",
        item="item",
        retrievers=tuple(options.retrievers),
        factors=Factors(dimensions=options.dimensions, iterations=options.iterations),
        candidates=200,
    )


def timed(ask: Callable[[int], object], count: int) -> dict[str, float]:
    """Milliseconds of `count` calls."""
    taken = []
    for n in range(count):
        began = time.perf_counter()
        ask(n)
        taken.append(1000 * (time.perf_counter() - began))
    p50, p99 = np.percentile(taken, [50, 99])
    return {"p50_ms": round(float(p50), 2), "p99_ms": round(float(p99), 2)}


def serve(options: argparse.Namespace, folder: Path) -> None:
    """Load the folder and ask."""
    before = peak_mib()
    began = time.monotonic()
    made = Recommender.load(folder)
    line = {"step": "load", "seconds": round(time.monotonic() - began, 2)}
    print(json.dumps({**line, "peak_mib": round(peak_mib() - before)}), flush=True)
    users = np.random.default_rng(6).integers(0, options.users, options.asked).tolist()
    for name, conditions in FILTERS.items():
        made.retrieve(users[0], 200, conditions=conditions)  # its mask is kept
        for who in ("known", "unknown"):
            found = made.retrieve(users[1] if who == "known" else -1, 200, conditions=conditions)

            def ask(n: int, who: str = who, conditions: dict[str, Any] = conditions) -> None:
                made.retrieve(users[n] if who == "known" else -1 - n, 200, conditions=conditions)

            line = {"filter": name, "user": who, "candidates": len(found.items)}
            print(json.dumps({**line, **timed(ask, len(users))}), flush=True)
        allowed = made._mask(conditions)
        assert all(allowed[found.items]), "an answer that the filter forbids"
    new = timed(lambda n: made.retrieve(users[n], 200, conditions={"hundredth": n}), 40)
    print(json.dumps({"filter": "another one each time", **new}), flush=True)
    print(json.dumps({"step": "after all", "peak_mib": round(peak_mib())}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--dimensions", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--asked", type=int, default=300)
    parser.add_argument(
        "--retrievers", nargs="+", default=["item_neighbours", "embeddings", "popular"]
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "recommend"
        context = multiprocessing.get_context("spawn")
        for step in (fit, serve):
            process = context.Process(target=step, args=(options, folder))
            process.start()
            process.join()
            if process.exitcode:
                sys.exit(process.exitcode)


if __name__ == "__main__":
    main()

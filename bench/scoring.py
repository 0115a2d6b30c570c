"""Milliseconds of scoring a batch in process, by rows of the batch and threads.

    PYTHONPATH=src:. .venv-tasks/bin/python bench/scoring.py

A DeepFM (embeddings of 16, layers of 256 and 128) on made-up ids: vocabulary look-up, network,
sigmoid; what Triton's model does, without Triton. `numpy` is what serves the families that are plain
arithmetic; `oneflow` is the same model through OneFlow, as the other families are served. Each
number of threads has a process of its own, since libraries read it when they are loaded.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.train import lay_out, train


def measure(model: Path, threads: int, batches: list[int], seconds: float) -> None:
    """Print a line of JSON a way of scoring and batch."""
    from tasks.ctr.train.serving import SavedModel, Scorer

    fast = Scorer.load(model, threads=threads)
    from tasks.ctr.train.models import Architecture, build
    from tasks.ctr.train.scoring import score

    saved = SavedModel.load(model)
    shape = Architecture.from_json(saved.network["architecture"], str(model))
    network = build(shape, saved.parameters, "cpu")

    def oneflow(ids: Any) -> Any:
        return score(network, saved.inputs.tensors(ids, saved.vocabulary), "cpu")

    ways: dict[str, Callable[[Any], Any]] = {"numpy": fast.score, "oneflow": oneflow}
    rng = np.random.default_rng(0)
    known = saved.vocabulary.hashes
    for rows in batches:
        ids = np.stack([rng.choice(one, rows) for one in known], axis=1)
        for name, way in ways.items():
            spent = _spent(lambda way=way, ids=ids: way(ids), seconds)  # type: ignore[misc]
            median, late = np.percentile(spent, [50, 99])
            line = {"way": name, "threads": threads, "batch": rows, "p50_ms": round(median, 3)}
            rate = round(rows / median * 1000)
            print(json.dumps({**line, "p99_ms": round(late, 3), "rows_per_s": rate}), flush=True)


def _spent(call: Callable[[], Any], seconds: float) -> list[float]:
    for _ in range(3):
        call()
    spent: list[float] = []
    end = time.perf_counter() + seconds
    while len(spent) < 20 or time.perf_counter() < end:
        begun = time.perf_counter()
        call()
        spent.append(1000 * (time.perf_counter() - begun))
    return spent


def main() -> None:
    """Train a model, then measure it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 256, 2048])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rows", type=int, default=20_000, help="to train the model on")
    parser.add_argument("--fields", type=int, default=32)
    parser.add_argument("--ids", type=int, default=100_000)
    parser.add_argument("--model", type=Path, help="measure this one, with the first of --threads")
    options = parser.parse_args()
    if options.model is not None:
        measure(options.model, options.threads[0], options.batches, options.seconds)
        return
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as name:
        root = Path(name)
        made = argparse.Namespace(**vars(options), seed=0, batch_size=1000, epochs=1)
        made.set = ["baseline=false", "importance_rows=0"]
        lay_out(root, made)
        train(root, made)
        for threads in options.threads:
            batches = [str(rows) for rows in options.batches]
            command = [sys.executable, __file__, "--model", root / "model"]
            command += ["--threads", threads, "--seconds", options.seconds, "--batches", *batches]
            subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    main()

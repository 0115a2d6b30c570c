"""Rows a second of training beside PyTorch: the same network, rows and optimizer, in turns.

    uv venv --python 3.10 /tmp/torch
    uv pip install --python /tmp/torch/bin/python torch==2.5.1 "numpy<2" pyarrow scikit-learn
    ./nightshift setup --mkl
    PYTHONPATH=src:. .venv-tasks/bin/python bench/train_peer.py /tmp/torch/bin/python \
        ../shared/bench/train_peer_torch.py

DeepFM with 41 fields, embeddings of 16 and three layers of 400, lazy Adam on the tables. Each turn
trains ours with each BLAS, in one process and in `--processes`, then the peer; the figures are the
medians over turns of the fastest epoch and of the peak memory of the largest process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench.train import lay_out, train
from tasks import blas


def peer(options: argparse.Namespace, dataset: Path) -> dict[str, Any]:
    """The peer's figures."""
    command = [options.python, options.script, dataset, "--batch", options.batch_size]
    command += ["--hidden", options.hidden, "--epochs", options.epochs]
    done = subprocess.run(
        [str(part) for part in command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))},
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a line of JSON a run, then the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("python", type=Path, help="Python with torch, pyarrow and scikit-learn")
    parser.add_argument("script", type=Path, help="the peer's script")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--fields", type=int, default=41)
    parser.add_argument("--ids", type=int, default=100_000)
    parser.add_argument("--hidden", default="400,400,400")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1000, 4096])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    libraries = [blas.BUNDLED] + ([blas.MKL] if blas.find() else [])
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as name:
        root = Path(name)
        lay_out(root, options)
        for turn in range(options.turns):
            for batch in options.batch_sizes:
                options.batch_size = batch
                for library, processes in itertools.product(libraries, options.processes):
                    options.set = [f"hidden=[{options.hidden}]", f"blas={library}"]
                    options.set += ["baseline=false", "importance_rows=0", f"seed={turn}"]
                    options.set += [f"processes={processes}"]
                    what = f"oneflow, {library}, {processes} process(es)"
                    _say(found, what, batch, train(root, options))
                _say(found, "torch", batch, peer(options, root / "dataset"))
    for key, runs in found.items():
        medians = {
            name: round(statistics.median(run[name] for run in runs))
            for name in ("rows_per_s", "peak_mb")
        }
        print(json.dumps({"what": key, **medians}))


def _say(
    found: dict[str, list[dict[str, Any]]], what: str, batch: int, figures: dict[str, Any]
) -> None:
    taken = {name: figures[name] for name in ("rows_per_s", "test_auc", "peak_mb")}
    print(json.dumps({"what": what, "batch": batch, **taken}), flush=True)
    found.setdefault(f"{what}, batch {batch}", []).append(taken)


if __name__ == "__main__":
    main()

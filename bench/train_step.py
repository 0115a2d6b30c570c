"""The parts of a training step: processor time with one part after the other left out.

    PYTHONPATH=src:. .venv-tasks/bin/python bench/train_step.py --blas mkl --batch-sizes 1000 4096

DeepFM of `bench/train_peer.py` (41 fields, embeddings of 16, three layers of 400, 100,000 rows of
the tables, ids drawn as that one draws them: 12,800 distinct ones in a batch of 1,000). A line's
`part_ms` is what the step takes less without that part, and what is left of it at the end, in
milliseconds of all threads together; other processes hardly disturb it. Not
counted is the thread of OneFlow that waits for the others by asking again and again, which takes
what no other wants. Variants run in turns; a figure is the median of the turns. `wall_ms` is the
fastest turn's time; `products_ms` are the step's matrix products by themselves.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.train import sizes_of_fields
from tasks import blas, runtime

FIELDS, DIM, HIDDEN, ROWS, STEPS = 41, 16, (400, 400, 400), 100_000, 8


@dataclass(frozen=True)
class Variant:
    """A step with some parts left out, the later ones without what the earlier ones lack."""

    without: str
    family: str = "deepfm"
    dropout: float = 0.2
    penalty: float = 0.05
    frozen: bool = False
    hidden: tuple[int, ...] = HIDDEN


def variants() -> list[Variant]:
    """From the whole step to the lookup of embeddings and one narrow layer."""
    found = [Variant("")]
    for without, change in (
        ("dropout's masks", {"dropout": 0.0}),
        ("the embeddings' penalty", {"penalty": 0.0}),
        ("first order and pairs", {"family": "dnn"}),
        ("the embeddings' gradient and step", {"frozen": True}),
        ("hidden layers: products, activations, step", {"hidden": (1,)}),
    ):
        found.append(replace(found[-1], without=without, **change))
    return found


def made(variant: Variant, batch: int, streams: int) -> Callable[[int], None]:
    """What runs so many steps of a variant, its operators in so many threads."""
    import oneflow as flow

    from tasks.ctr.train import graph, models
    from tasks.ctr.train.hyperparameters import Hyperparameters

    shape = models.Architecture(ROWS, FIELDS, DIM, variant.hidden, variant.family)
    chosen = Hyperparameters(
        family=variant.family,  # type: ignore[arg-type]
        batch_size=batch,
        learning_rate=0.0005,
        l2_by="lookup",
        l2_embedding=variant.penalty,
        l2_linear=0.0,
    )
    start = models.initial_parameters(models.plan(shape), seed=1, init_std=0.01, base_rate=0.03)
    network = models.build(shape, start, "cpu", variant.dropout)
    network.train()
    if variant.frozen:
        network.embedding.weight.requires_grad_(False)
    compiled = graph.TrainGraph(network, chosen, 100, streams)
    rng = np.random.default_rng(0)
    widths = variant.hidden if variant.dropout else ()
    sizes = sizes_of_fields(ROWS, FIELDS)
    offsets = np.cumsum(sizes) - sizes
    given = []
    for _ in range(STEPS):
        picks = (offsets + (sizes * rng.random((batch, FIELDS)) ** 2).astype(int)).astype(np.int32)
        arrays: list[Any] = [picks]
        arrays += [(rng.random(batch) < 0.03).astype(np.float32), np.ones(batch, np.float32)]
        arrays += [(rng.random((batch, width)) < 0.8).astype(np.uint8) for width in widths]
        given.append([flow.from_numpy(array) for array in arrays])

    def steps(count: int) -> None:
        for at in range(count):
            loss = compiled(*given[at % STEPS])
        loss.numpy()

    steps(3)
    return steps


def products(batch: int) -> Callable[[int], None]:
    """What runs the products of so many steps: each layer's, and both of its gradients'."""
    import oneflow as flow

    widths = (FIELDS * DIM, *HIDDEN)
    layers = [
        (flow.ones(batch, a), flow.ones(b, a), flow.ones(batch, b))
        for a, b in zip(widths, HIDDEN, strict=False)
    ]

    def steps(count: int) -> None:
        for _ in range(count):
            for x, weight, gradient in layers:
                flow.matmul(x, weight, transpose_b=True)
                flow.matmul(gradient, weight)
                last = flow.matmul(gradient, x, transpose_a=True)
        last.numpy()

    steps(3)
    return steps


def spent() -> dict[str, tuple[int, int]]:
    """Nanoseconds on a processor, and clock ticks of them in the kernel, of each thread."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        ran = int((task / "schedstat").read_text().split()[0])
        in_kernel = int((task / "stat").read_text().rpartition(")")[2].split()[12])
        found[task.name] = ran, in_kernel
    return found


def timed(steps: Callable[[int], None], count: int) -> tuple[float, float]:
    """Milliseconds a step: of the threads that work, and by the clock."""
    before, begun = spent(), time.perf_counter()
    steps(count)
    wall, after = time.perf_counter() - begun, spent()
    most = max(after, key=lambda name: after[name][1])
    ran = sum(
        taken - before.get(name, (0, 0))[0] for name, (taken, _) in after.items() if name != most
    )
    return ran / 1e6 / count, 1000 * wall / count


def main() -> None:
    """Print a line of JSON a batch size and variant."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1000, 4096])
    parser.add_argument("--blas", choices=(blas.BUNDLED, blas.MKL), default=blas.BUNDLED)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument(
        "--streams", type=int, default=0, help="threads for operators; 0: as training does"
    )
    parser.add_argument("--whole", action="store_true", help="time the whole step alone")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS, help="of a turn")
    options = parser.parse_args()
    threads = runtime.prepare(options.threads, blas.resolve(options.blas))
    from tasks.ctr.train.engine import streams_of
    from tasks.ctr.train.waiting import stand_back

    for batch in options.batch_sizes:
        known = variants()[:1] if options.whole else variants()
        streams = options.streams or streams_of(batch, threads)
        blas.share_products(threads, streams)
        runs = [*(made(variant, batch, streams) for variant in known), products(batch)]
        if streams > 1:
            stand_back()
        turns = [[timed(steps, options.steps) for steps in runs] for _ in range(options.turns)]
        ran = [statistics.median(turn[at][0] for turn in turns) for at in range(len(runs))]
        first = {"blas": options.blas, "batch": batch, "streams": streams}
        wall = round(min(turn[0][1] for turn in turns), 1)
        _say(first, "the whole step", ran[0], wall_ms=wall)
        if options.whole:
            continue
        for at, variant in enumerate(known[1:], start=1):
            _say(first, variant.without, ran[at - 1] - ran[at])
        _say(first, "the rest", ran[len(known) - 1], products_ms=round(ran[-1], 1))


def _say(first: dict[str, Any], part: str, milliseconds: float, **more: float) -> None:
    print(
        json.dumps({**first, "part": part, "part_ms": round(milliseconds, 1), **more}), flush=True
    )


if __name__ == "__main__":
    main()

"""Rows a second of training, and milliseconds of scoring, on made-up data of any size.

    PYTHONPATH=src:. .venv-tasks/bin/python bench/train.py --rows 200000 --ids 100000

Labels follow a random linear model of the ids, so that training has something to learn. The
dataset is laid out as tasks.ctr.preprocess does it and trained by `python -m tasks.ctr.train`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from nightshift import files
from nightshift.features.specification import FeatureSpec

PROJECT = Path(__file__).resolve().parents[1]

NETWORK = (
    *("embedding_dim=16", "hidden=[256,128]", "dropout=0.2", "trees=0", "linear_start=zero"),
    *("oov_rate=0.05", "min_count=1", "learning_rate=0.0005"),
    *("l2_by=lookup", "l2_embedding=0.05", "l2_linear=0", "blas=bundled", "block_rows=0"),
)
"""What is measured; the defaults would follow from the rows."""


def sizes_of_fields(ids: int, fields: int) -> npt.NDArray[np.int64]:
    """How many distinct ids each field has, `ids` over all: few in the first, many in the last."""
    sizes = np.maximum(2, np.geomspace(2, ids, fields).astype(np.int64))
    scaled: npt.NDArray[np.int64] = np.maximum(2, sizes * ids // sizes.sum())
    return scaled


def write_dataset(folder: Path, spec: FeatureSpec, options: argparse.Namespace) -> None:
    """Splits of random ids, `--ids` distinct ones over all fields, Zipf-like by field."""
    rng = np.random.default_rng(options.seed)
    sizes = sizes_of_fields(options.ids, options.fields)
    hashes = [rng.integers(-(2**63), 2**63 - 1, size) for size in sizes]
    weights = [rng.normal(size=size) for size in sizes]
    card = {"ds": "2024-01-31", "window": {}, "schema_hash": spec.schema_hash, "warnings": []}
    splits = {}
    for name, rows in (("train", options.rows), ("valid", 5000), ("test", 5000)):
        picks = [(size * rng.random(rows) ** 2).astype(int) for size in sizes]
        logit = sum(w[p] for w, p in zip(weights, picks, strict=True))
        labels = rng.random(rows) < 1 / (1 + np.exp(4.5 - logit / np.sqrt(options.fields)))
        path = folder / name / "part-0.parquet"
        path.parent.mkdir(parents=True)
        columns = {f: h[p] for f, h, p in zip(spec.names, hashes, picks, strict=True)}
        pq.write_table(pa.table({"label": labels.astype(np.int8), **columns}), path)
        splits[name] = {
            "file": f"{name}/part-0.parquet",
            "sha256": files.sha256_file(path),
            "days": [{"day": "2024-01-31"}],
        }
    files.write_json(folder / "data_card.json", {**card, "splits": splits})


def lay_out(root: Path, options: argparse.Namespace) -> None:
    """Write `spec.yaml` and `dataset/`."""
    content = {
        "version": 1,
        "label": "y",
        "time": "t",
        "test_days": 1,
        "valid_days": 1,
        "keys": ["t"],
        "categorical": {f"f{i}": "string" for i in range(options.fields)},
    }
    (root / "spec.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    spec = FeatureSpec.load(root / "spec.yaml")
    write_dataset(root / "dataset", spec, options)


def train(root: Path, options: argparse.Namespace) -> dict[str, object]:
    """Train as the task does; returns its figures."""
    changes = [f"epochs={options.epochs}", "patience=100", f"batch_size={options.batch_size}"]
    changes += [*NETWORK, *options.set]
    command = [sys.executable, "-m", "tasks.ctr.train", "--dataset", root / "dataset"]
    command += ["--spec", root / "spec.yaml", "--out", root / "model"]
    (root / "hyperparameters.yaml").write_text("{}\n")
    command += ["--hyperparameters", root / "hyperparameters.yaml"]
    command += ["--checkpoint", root / "checkpoint", "--result", root / "result.json"]
    command += [part for change in changes for part in ("--set", change)]
    env = {**os.environ, "PYTHONPATH": f"{PROJECT / 'src'}:{PROJECT}"}
    begun = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], cwd=PROJECT, env=env)
    # The figures of this run alone, its own children included.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    seconds = time.perf_counter() - begun
    lines = (root / "model" / "metrics.jsonl").read_text().splitlines()
    epochs = [json.loads(line)["seconds"] for line in lines]
    card = json.loads((root / "model" / "model_card.json").read_text())
    return {
        "rows": options.rows,
        "fields": options.fields,
        "table_rows": sum(card["table_sizes"]),
        "batch_size": options.batch_size,
        "rows_per_s": round(options.rows / min(epochs)),
        "total_s": round(seconds, 1),
        "test_auc": round(card["test"]["auc"], 4),
        "peak_mb": usage.ru_maxrss // 1024,
    }


def serve(model: Path, fields: int) -> dict[str, list[float]]:
    """Milliseconds (p50, p99) of scoring 1, 100 and 1000 rows."""
    from tasks.ctr.train.serving import Scorer

    scorer = Scorer.load(model)
    rng = np.random.default_rng(0)
    found = {}
    for rows in (1, 100, 1000):
        ids = rng.integers(-(2**63), 2**63 - 1, (rows, fields))
        spent = []
        for _ in range(300 if rows < 1000 else 100):
            begun = time.perf_counter()
            scorer.score(ids)
            spent.append(1000 * (time.perf_counter() - begun))
        found[f"score_{rows}_rows_ms"] = [round(v, 2) for v in np.percentile(spent, [50, 99])]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--fields", type=int, default=32)
    parser.add_argument("--ids", type=int, default=100_000, help="rows of the table, about")
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as name:
        root = Path(name)
        lay_out(root, options)
        figures = train(root, options)
        print(json.dumps({**figures, **serve(root / "model", options.fields)}))


if __name__ == "__main__":
    main()

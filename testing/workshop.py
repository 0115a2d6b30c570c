"""Feature rows as an offline export writes them, and the tasks run as real processes."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tasks.entry import INNER_ERRORS

PROJECT = Path(__file__).resolve().parents[1]
TASKS_PYTHON = PROJECT / ".venv-tasks" / "bin" / "python"

SPEC = {
    "version": 1,
    "label": "bought",
    "time": "request_time",
    "label_settle_days": 3,
    "test_days": 2,
    "valid_days": 2,
    "lookback_days": {"requests": 14},
    "keys": ["request_id", "request_time"],
    "ignored": {"made_at": "says nothing"},
    "categorical": {"user": "string", "product": "string", "weekday": "int32"},
    "numeric": {
        "ratio": {"type": "double", "decimals": 2},
        "rate": {"type": "float", "decimals": 1},
        "count": {"type": "int64", "decimals": 0},
    },
}


def feature_table(first: str, days: int, rows_a_day: int, seed: int = 0) -> pa.Table:
    """Requests with a signal: a user's taste and a product's charm decide on the purchase.

    Times are spread over each day of UTC+8, beginning with `first`.
    """
    rng = np.random.default_rng(seed)
    n = days * rows_a_day
    day = np.repeat(np.arange(days), rows_a_day)
    start = dt.datetime.combine(dt.date.fromisoformat(first), dt.time()) - dt.timedelta(hours=8)
    millis = np.sort(rng.integers(0, 86_400_000, (days, rows_a_day)), axis=1).ravel()
    times = np.datetime64(start, "ms") + day * np.timedelta64(1, "D") + millis
    user, product = rng.integers(0, 40, n), rng.integers(0, 25, n)
    ratio = rng.random(n)
    taste = np.random.default_rng(1).normal(size=40)
    charm = np.random.default_rng(2).normal(size=25)
    logit = -2.0 + 1.2 * taste[user] + 1.2 * charm[product] + 2.0 * ratio
    bought = rng.random(n) < 1 / (1 + np.exp(-logit))
    ids = np.array([f"r{i:07d}" for i in range(n)])
    missing = rng.random(n) < 0.1
    return pa.table(
        {
            "request_id": pa.array(ids),
            "request_time": pa.array(times, pa.timestamp("ms")),
            "made_at": pa.array(times, pa.timestamp("ms")),
            "bought": pa.array(bought.astype(np.int32)),
            "user": pa.array([f"u{i}" for i in user]),
            "product": pa.array([f"p{i}" for i in product], mask=missing),
            "weekday": pa.array((day % 7 + 1).astype(np.int32)),
            "ratio": pa.array(ratio),
            "rate": pa.array(rng.random(n).astype(np.float32)),
            "count": pa.array(rng.integers(0, 5, n)),
        }
    )


def write_features(folder: Path, table: pa.Table, files: int = 2) -> Path:
    """Write part files and the mark of a whole export, as Spark does."""
    folder.mkdir(parents=True)
    size = -(-table.num_rows // files)
    for part in range(files):
        pq.write_table(table.slice(part * size, size), folder / f"part-{part:05d}.parquet")
    (folder / "_SUCCESS").touch()
    return folder


def run(
    task: str, *arguments: object, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m tasks.<task>` in the tasks' environment; returns the finished process."""
    done = subprocess.run(
        [TASKS_PYTHON, "-m", f"tasks.ctr.{task}", *map(str, arguments)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": "src:.", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def start(task: str, *arguments: object) -> subprocess.Popen[str]:
    """Begin `python -m tasks.<task>` and return its process; stdout holds both streams."""
    return subprocess.Popen(
        [TASKS_PYTHON, "-m", f"tasks.ctr.{task}", *map(str, arguments)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": "src:."},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def golden_of(model: Path) -> tuple[Any, Any]:
    """Ids and scores of a model folder's golden rows."""
    with np.load(model / "golden.npz") as held:
        return held["input/INPUT_0"], held["output/OUTPUT_0"][:, 0]


_BEFORE = "import json; globals().update(json.loads(input()))"
# OneFlow can crash while the interpreter ends, after the answer.
_AFTER = "print(); print(json.dumps(answer), flush=True); __import__('os')._exit(0)"
_TRIES = 3


def evaluate(code: str, **values: Any) -> Any:
    """Run a script in the tasks' environment; `values` are its variables, `answer` its result.

    OneFlow 0.9 now and then ends its process by an inner error; like a training, the script is
    then started anew. It must bear that: what it writes goes into folders of its own.
    """
    for _ in range(_TRIES):
        done = subprocess.run(
            [TASKS_PYTHON, "-c", f"{_BEFORE}\n{code}\n{_AFTER}"],
            input=json.dumps(values),
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": "src:."},
            capture_output=True,
            text=True,
            timeout=300,
        )
        if -done.returncode not in INNER_ERRORS:
            break
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


class Workshop:
    """A folder with a specification, and the tasks at hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spec = root / "spec.yaml"
        self.spec.write_text(yaml.safe_dump(SPEC, sort_keys=False))

    evaluate = staticmethod(evaluate)
    run = staticmethod(run)

    def features(self, name: str = "features", **shape: Any) -> Path:
        table = feature_table(**{"first": "2024-03-01", "days": 14, "rows_a_day": 150, **shape})
        return write_features(self.root / name, table)

    def preprocess_arguments(
        self, features: Path, *more: object, out: str = "dataset", ds: str = "2024-03-14"
    ) -> tuple[object, ...]:
        return (
            *("--features", features, "--spec", self.spec, "--ds", ds, "--train-days", 12),
            *("--out", self.root / out, "--result", self.root / "preprocess.json", *more),
        )

    def preprocess(
        self, features: Path, *more: object, check: bool = True
    ) -> tuple[subprocess.CompletedProcess[str], Any]:
        done = run("preprocess", *self.preprocess_arguments(features, *more), check=check)
        return done, json.loads((self.root / "preprocess.json").read_text())

    def start_preprocessing(self, features: Path) -> subprocess.Popen[str]:
        """Begin tasks.ctr.preprocess and return its process."""
        return start("preprocess", *self.preprocess_arguments(features))

    def train_arguments(
        self, dataset: str, *more: object, out: str = "model"
    ) -> tuple[object, ...]:
        return (
            *("--dataset", self.root / dataset, "--spec", self.spec),
            *("--hyperparameters", PROJECT / "pipelines" / "jd" / "hyperparameters.yaml"),
            *("--out", self.root / out, "--checkpoint", self.root / f"{out}-checkpoint"),
            *("--result", self.root / "train.json", *more),
        )

    def train(
        self,
        dataset: str = "dataset",
        *more: object,
        out: str = "model",
        check: bool = True,
        **environment: str,
    ) -> tuple[subprocess.CompletedProcess[str], Any]:
        arguments = self.train_arguments(dataset, *more, out=out)
        done = run("train", *arguments, check=check, **environment)
        return done, json.loads((self.root / "train.json").read_text())

    def start_training(self, dataset: str = "dataset", *more: object) -> subprocess.Popen[str]:
        """Begin tasks.ctr.train and return its process."""
        return start("train", *self.train_arguments(dataset, *more))

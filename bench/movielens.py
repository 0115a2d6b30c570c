"""MovieLens-100k by time: our families beside FuxiCTR's DeepFM and DCNv2, and each other.

    uv venv --python 3.10 /tmp/fuxi
    uv pip install --python /tmp/fuxi/bin/python torch==2.5.1 "numpy<2" pandas pyarrow \
        scikit-learn pyyaml tqdm h5py ray polars
    uv pip install --python /tmp/fuxi/bin/python --no-deps fuxictr==2.3.10 recbole==1.2.1
    PYTHONPATH=src:. .venv-tasks/bin/python bench/movielens.py --peer /tmp/fuxi/bin/python \
        --script ../shared/bench/train_peer_fuxictr.py --models FOLDER

FOLDER holds DeepFM.py and DCNv2.py of FuxiCTR's model zoo, which its wheel leaves out. Both sides
get the same rows, splits and columns, every one an id (counts and shares in bins): the first 80 % of
the time to learn, 10 % to choose, 10 % to judge. `--learn 6 7 8` makes three such splits, of the
first six, seven and eight tenths and the two after them: one split's test rows are few enough for
chance to decide. Each side has a budget of six configurations a model, trained with the first seed
and chosen by the validation AUC; the chosen one is trained with every seed. Our first one is an
empty hyperparameters.yaml, the last one has FuxiCTR's settings; `--budget 1` trains each side's
first alone. None has trees (`trees=0`) unless CHANGES say `trees=auto`.

`--ours KEY=VALUE;KEY=VALUE` trains ours with such changes and every seed (`family=dcnv2` among
them for another network).

`--families` trains each family by its defaults instead, with every seed; `din` alone gets the
viewer's last liked films as a sequence, which it needs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from bench.stranger_data import movielens
from bench.strangers import ours, prepare, run
from tasks.ctr.train.hyperparameters import Family

MODELS = {"deepfm": "DeepFM", "dcnv2": "DCNv2"}
THEIR_SETTINGS = (
    "linear_start=zero;oov_rate=0;table_step=dense;embedding_dim=16;hidden=[256,128];batch_size=512;"
    "dropout=0.2;l2_embedding=0;l2_linear=0;weight_decay=0;lr_decay=1;init_std=0.0001;patience=2"
)
"""FuxiCTR's own, in our words."""

OUR_BUDGET = (
    "",
    "oov_rate=validation",
    "linear_start=zero;oov_rate=validation;dropout=0.2",
    "linear_start=zero;learning_rate=0.0005",
    "linear_start=zero;l2_embedding=30;embedding_dim=16;hidden=[256,128]",
    THEIR_SETTINGS,
)
"""Chosen by the validation AUC of earlier splits (`--learn 7`)."""

PEER_BUDGET: tuple[dict[str, Any], ...] = (
    {},
    {"embedding_regularizer": 1e-4, "net_dropout": 0.4},
    {"embedding_regularizer": 1e-5, "embedding_dim": 8, "hidden_units": [64, 32]},
    {"embedding_regularizer": 1e-5, "net_dropout": 0.4},
    {"learning_rate": 5e-4},
    {"embedding_regularizer": 1e-6, "net_dropout": 0},
)
BINS = 20


def as_ids(table: pa.Table, spec: dict[str, Any], tenths: int) -> tuple[pa.Table, dict[str, Any]]:
    """The first tenths of the rows and the two after them, numbers in bins, each an id.

    The bins' edges are those of the first tenths.
    """
    learned = len(table) * tenths // 10
    table = table.slice(0, len(table) * (tenths + 2) // 10)
    columns = {name: table[name] for name in table.column_names}
    for name in spec["numeric"]:
        values = table[name].to_numpy(zero_copy_only=False).astype(float)
        known = values[:learned]
        edges = np.unique(np.nanquantile(known, np.arange(1, BINS) / BINS))
        found = np.searchsorted(edges, values, side="right")
        texts = np.where(np.isnan(values), "none", found.astype(str))
        columns[name] = pa.array(texts.tolist())
    categorical = {**spec["categorical"], **dict.fromkeys(spec["numeric"], "string")}
    rest = {key: value for key, value in spec.items() if key != "numeric"}
    return pa.table(columns), {**rest, "categorical": categorical}


def with_history(table: pa.Table, spec: dict[str, Any]) -> tuple[pa.Table, dict[str, Any]]:
    """With the last twenty films that the viewer liked before."""
    liked: dict[str, list[str]] = {}
    texts = []
    rows = zip(*(table[name].to_pylist() for name in ("user", "film", "click")), strict=True)
    for user, film, click in rows:
        before = liked.setdefault(user, [])
        texts.append(",".join(before[-20:][::-1]))
        if click:
            before.append(film)
    history = {"type": "string", "split": ",", "most": 20, "sequence": True, "shares": "film"}
    categorical = {**spec["categorical"], "history": history}
    return table.append_column("history", pa.array(texts)), {**spec, "categorical": categorical}


def theirs(
    options: argparse.Namespace, root: Path, model: str, changes: dict[str, Any], seed: int
) -> dict[str, Any]:
    """FuxiCTR's figures."""
    given = [f"{key}={json.dumps(value)}" for key, value in {**changes, "seed": seed}.items()]
    given.append("min_categr_count=2")
    done = subprocess.run(
        [options.peer, options.script, MODELS[model], root / "dataset", "ml", *given],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={
            **os.environ,
            "FUXICTR_MODELS": str(options.models),
            "FUXICTR_WORK": str(root),
            "T": "1",
        },
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"valid": found["valid"]["auc"], "test": found["test"]["auc"]}


def mine(root: Path, family: str, changes: str, seed: int) -> dict[str, Any]:
    """Ours."""
    sets = [f"family={family}", f"seed={seed}", "importance_rows=0", "threads=1", "trees=0"]
    card = ours(root, "model", sets + [part for part in changes.split(";") if part])
    return {"valid": card["valid"]["auc"], "test": card["test"]["auc"]}


def show(what: str, tenths: int, runs: list[dict[str, Any]], changes: Any) -> None:
    """One line of the result."""
    tests = [run["test"] for run in runs]
    spread = statistics.stdev(tests) if len(tests) > 1 else 0.0
    line = {
        "model": what,
        "learn": tenths,
        "test_auc": round(statistics.mean(tests), 4),
        "sd": round(spread, 4),
    }
    valid = round(statistics.mean(run["valid"] for run in runs), 4)
    print(json.dumps({**line, "valid_auc": valid, "changes": changes}), flush=True)


def compare(options: argparse.Namespace, root: Path, model: str, tenths: int) -> None:
    """Tune both sides alike, and train what they chose."""

    def one(changes: Any, seed: int, ours_: bool) -> dict[str, Any]:
        return mine(root, model, changes, seed) if ours_ else theirs(
            options, root, model, changes, seed)  # fmt: skip

    budgets: tuple[tuple[str, bool, tuple[Any, ...]], ...] = (
        ("ours", True, OUR_BUDGET[: options.budget]),
        ("FuxiCTR", False, PEER_BUDGET[: options.budget]),
    )
    for name, is_ours, budget in budgets:
        first = [one(changes, options.seeds[0], is_ours) for changes in budget]
        best = max(range(len(budget)), key=lambda at: first[at]["valid"])
        for at, tried in enumerate(first):
            more = options.seeds[1:] if at == best else ()
            runs = [tried, *(one(budget[at], seed, is_ours) for seed in more)]
            what = f"{name}, {model}" + (", chosen" if at == best else "")
            show(what, tenths, runs, budget[at])


def main() -> None:
    """Print a line of JSON a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--peer", type=Path, required=True, help="Python with recbole, fuxictr")
    parser.add_argument("--script", type=Path, help="the peer's script")
    parser.add_argument("--models", type=Path, help="folder with DeepFM.py and DCNv2.py")
    parser.add_argument("--families", nargs="*", help="train families instead; none named: all")
    parser.add_argument("--ours", metavar="CHANGES", nargs="+", help="train ours so instead")
    parser.add_argument("--learn", type=int, nargs="+", default=[8], metavar="TENTHS")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--budget", type=int, default=len(OUR_BUDGET), help="configurations tried")
    parser.add_argument("--networks", nargs="+", choices=tuple(MODELS), default=list(MODELS))
    options = parser.parse_args()
    code = "import sysconfig;print(sysconfig.get_path('purelib'))"
    data = Path(run([options.peer, "-c", code]).strip()) / "recbole/dataset_example/ml-100k"
    whole = movielens(data)
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as name:
        for tenths in options.learn:
            measure(options, Path(name) / str(tenths), tenths, whole)


def measure(
    options: argparse.Namespace, root: Path, tenths: int, whole: tuple[pa.Table, dict[str, Any]]
) -> None:
    """What is asked for, of one split."""
    made = as_ids(*whole, tenths)
    prepare(root / "ids", *made)
    for changes in options.ours or ():
        runs = [mine(root / "ids", "deepfm", changes, seed) for seed in options.seeds]
        show("ours", tenths, runs, changes)
    if options.families is None:
        for model in options.networks if options.ours is None else ():
            compare(options, root / "ids", model, tenths)
        return
    prepare(root / "history", *with_history(*made))
    for family in options.families or get_args(Family):
        folder = root / ("history" if family == "din" else "ids")
        runs = [mine(folder, family, "", seed) for seed in options.seeds]
        show(family, tenths, runs, "")


if __name__ == "__main__":
    main()

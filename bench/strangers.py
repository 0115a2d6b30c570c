"""Our defaults against LightGBM and logistic regression, on data that they were not chosen on.

    uv venv --python 3.10 /tmp/peers
    uv pip install --python /tmp/peers/bin/python lightgbm scikit-learn pandas pyarrow "numpy<2"
    uv pip install --python /tmp/peers/bin/python --no-deps recbole==1.2.1
    PYTHONPATH=src:. .venv-tasks/bin/python bench/strangers.py --peers /tmp/peers/bin/python \
        --data clicks --rows 300000 --seeds 11 12 13

`clicks` are made ad clicks: numeric and categorical signal, 3 to 4 % positives, 14 days. `criteo` is
of Criteo's shape: 13 counts and 26 categories, half of which mean nothing. `movielens`
is MovieLens-100k, read out of the wheel, label rating >= 4, split by time. Each seed makes other
data (movielens: another seed of the training only). All take the same rows, days and columns; what
is not theirs (the last days) judges. LightGBM stops early on the validation days; the logistic
regression chooses its C there; numbers are numbers for both.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from laptop.data import criteo_made

PROJECT = Path(__file__).resolve().parents[1]
FIRST = dt.date(2024, 3, 1)
DAYS = 14


def clicks(rows: int, seed: int) -> tuple[pa.Table, dict[str, Any]]:
    """Ad clicks with a known truth that no family of models holds exactly.

    Categories follow power laws; effects are of ids, of a few pairs of ids, of numbers (linear,
    threshold, bell, on a log scale), and of numbers with categories.
    """
    rng = np.random.default_rng(seed)
    n = rows
    sizes = {"ad": 400, "site": 800, "user": 20_000, "device": 6, "country": 40, "hour": 24}
    ids: dict[str, np.ndarray[Any, Any]] = {}
    logit = np.zeros(n)
    strengths = {"ad": 0.5, "site": 0.5, "user": 0.35, "device": 0.25, "country": 0.3, "hour": 0.15}
    for name, size in sizes.items():
        share = 1.0 / np.arange(1, size + 1) ** (0.9 if size > 50 else 0.5)
        ids[name] = rng.choice(size, n, p=share / share.sum())
        logit += strengths[name] * rng.normal(size=size)[ids[name]]
    taste = rng.normal(size=(sizes["ad"], 4)) * 0.45
    fit = rng.normal(size=(sizes["site"], 4)) * 0.45
    logit += (taste[ids["ad"]] * fit[ids["site"]]).sum(axis=1)
    age = rng.normal(38, 12, n).clip(13, 90)
    spend = rng.lognormal(3.0, 1.4, n)
    seen = rng.poisson(rng.gamma(0.7, 4.0, n)).astype(np.int64)
    position = rng.integers(1, 9, n)
    rate = rng.beta(2, 30, n)
    balance = rng.standard_t(3, n) * 50
    noise = rng.normal(size=n)
    logit += 0.35 * (np.log1p(spend) - 3) - 0.28 * (position - 4.5) / 2.3
    logit += 0.5 * np.exp(-(((age - 27) / 8) ** 2)) - 0.4 * (seen > 6)
    logit += 9.0 * (rate - rate.mean()) + 0.25 * np.tanh(balance / 40)
    logit += 0.3 * (ids["device"] == 1) * np.sign(age - 40)
    # The intercept that gives 3.5 % positives.
    low, high = -12.0, 2.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _mean(logit + middle) < 0.035 else (low, middle)
    label = (rng.random(n) < 1 / (1 + np.exp(-(logit + low)))).astype(np.int32)
    day = np.sort(rng.integers(0, DAYS, n))
    missing = rng.random(n) < 0.08
    start = np.datetime64(FIRST.isoformat(), "ms") - np.timedelta64(8, "h")
    times = start + day * np.timedelta64(1, "D") + rng.integers(0, 86_400_000, n)
    table = pa.table(
        {
            "request_id": pa.array([f"r{i}" for i in range(n)]),
            "at": pa.array(times, pa.timestamp("ms")),
            "click": label,
            **{name: pa.array([f"{name}{i}" for i in found]) for name, found in ids.items()},
            "age": pa.array(age, mask=missing),
            "spend": spend,
            "seen": seen,
            "position": position.astype(np.int32),
            "rate": rate,
            "balance": balance,
            "noise": noise,
        }
    )
    numeric = {"age": "double", "spend": "double", "seen": "int64", "position": "int32"}
    numeric |= dict.fromkeys(("rate", "balance", "noise"), "double")
    return table, _spec(dict.fromkeys(sizes, "string"), numeric)


def _mean(logit: np.ndarray[Any, Any]) -> float:
    return float((1 / (1 + np.exp(-logit))).mean())


def criteo(rows: int, seed: int) -> tuple[pa.Table, dict[str, Any]]:
    """Rows of Criteo's shape (laptop/data/criteo_made.py), 3.5 % positives."""
    world = criteo_made.World(seed, 0.035)
    intercept = world.intercept()
    parts = [world.rows(chunk, 50_000) for chunk in range(-(-rows // 50_000))]
    counts, ids, logit = (np.concatenate([p[at] for p in parts])[:rows] for at in range(3))
    rng = np.random.default_rng([seed, 9])
    label = (rng.random(rows) < 1 / (1 + np.exp(-(logit + intercept)))).astype(np.int32)
    start = np.datetime64(FIRST.isoformat(), "ms") - np.timedelta64(8, "h")
    times = start + (np.arange(rows, dtype=np.int64) * (DAYS * 86_400_000) // rows)
    table = pa.table(
        {
            "request_id": pa.array([f"r{i}" for i in range(rows)]),
            "at": pa.array(times, pa.timestamp("ms")),
            "click": label,
            **{f"c{f + 1}": pa.array([f"{i:x}" for i in ids[:, f].tolist()]) for f in range(26)},
            **{f"i{f + 1}": pa.array(counts[:, f], mask=np.isnan(counts[:, f])) for f in range(13)},
        }
    )
    categorical = dict.fromkeys((f"c{f + 1}" for f in range(26)), "string")
    return table, _spec(categorical, dict.fromkeys((f"i{f + 1}" for f in range(13)), "double"))


def movielens(root: Path) -> tuple[pa.Table, dict[str, Any]]:
    """MovieLens-100k: the first 80 % of the time to learn, 10 % to validate, 10 % to judge.

    A row's numbers are what was known before it: how often and how well user and film were rated.
    """

    def read(kind: str) -> list[list[str]]:
        lines = (root / f"ml-100k.{kind}").read_text(encoding="utf-8").splitlines()[1:]
        return [line.split("\t") for line in lines]

    inter = sorted(read("inter"), key=lambda row: (float(row[3]), row[0], row[1]))
    users = {row[0]: row[1:] for row in read("user")}
    films = {row[0]: row[1:] for row in read("item")}
    n = len(inter)
    label = np.array([float(row[2]) >= 4 for row in inter]).astype(np.int32)
    seen: dict[str, dict[str, list[int]]] = {"user": {}, "film": {}}
    numbers: dict[str, list[float | None]] = {}
    for row, liked in zip(inter, label.tolist(), strict=True):
        for kind, key in (("user", row[0]), ("film", row[1])):
            before = seen[kind].setdefault(key, [0, 0])
            numbers.setdefault(f"{kind}_count", []).append(before[0])
            share = before[1] / before[0] if before[0] else None
            numbers.setdefault(f"{kind}_liked", []).append(share)
            before[0] += 1
            before[1] += liked
    # One "day" a tenth of the rows, so that splits by day are splits by time.
    day = np.minimum(np.arange(n) * 10 // n, 9)
    start = np.datetime64(FIRST.isoformat(), "ms") - np.timedelta64(8, "h")
    table = pa.table(
        {
            "request_id": pa.array([f"r{i}" for i in range(n)]),
            "at": pa.array(start + day * np.timedelta64(1, "D") + np.arange(n), pa.timestamp("ms")),
            "click": label,
            "user": [row[0] for row in inter],
            "film": [row[1] for row in inter],
            "age": [users[row[0]][0] for row in inter],
            "sex": [users[row[0]][1] for row in inter],
            "job": [users[row[0]][2] for row in inter],
            "zip": [users[row[0]][3][:2] for row in inter],
            "year": [films[row[1]][1] for row in inter],
            "genre": [films[row[1]][2] for row in inter],
            "hour": [str(int(float(row[3])) // 3600 % 24) for row in inter],
            "user_count": pa.array(numbers["user_count"], pa.int64()),
            "film_count": pa.array(numbers["film_count"], pa.int64()),
            "user_liked": pa.array(numbers["user_liked"], pa.float64()),
            "film_liked": pa.array(numbers["film_liked"], pa.float64()),
        }
    )
    names = ("user", "film", "age", "sex", "job", "zip", "year", "genre", "hour")
    numeric = {"user_count": "int64", "film_count": "int64"}
    numeric |= {"user_liked": "double", "film_liked": "double"}
    return table, _spec(dict.fromkeys(names, "string"), numeric, days=1)


def _spec(categorical: dict[str, str], numeric: dict[str, str], days: int = 2) -> dict[str, Any]:
    return {
        "version": 1,
        "label": "click",
        "time": "at",
        "test_days": days,
        "valid_days": days,
        "keys": ["request_id", "at"],
        "categorical": categorical,
        "numeric": {name: {"type": kind} for name, kind in numeric.items()},
    }


PEERS = r"""
import json, sys, warnings
import numpy as np, pandas as pd
import lightgbm as lgb
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
warnings.filterwarnings("ignore")
root, categorical, numeric, seed = sys.argv[1], *map(json.loads, sys.argv[2:4]), int(sys.argv[4])
whole = pd.read_parquet(f"{root}/features")
whole["request_id"] = whole["request_id"].astype(str)
parts = {}
for split in ("train", "valid", "test"):
    names = pd.read_parquet(f"{root}/dataset/{split}", columns=["request_id"])
    parts[split] = names.merge(whole, on="request_id", how="left", validate="1:1")
y = {s: p["click"].to_numpy() for s, p in parts.items()}
out = {}
def trees():
    x = {}
    for s, p in parts.items():
        x[s] = p[numeric].astype(float)
        for name in categorical:
            known = pd.Index(parts["train"][name].unique())
            x[s][name] = pd.Categorical.from_codes(known.get_indexer(p[name]), categories=range(len(known)))
    best = None
    for leaves, rate in ((31, 0.05), (15, 0.05), (63, 0.03)):
        model = lgb.LGBMClassifier(n_estimators=1000, num_leaves=leaves, learning_rate=rate, subsample=0.8,
            subsample_freq=1, colsample_bytree=0.8, min_child_samples=50, cat_smooth=20, n_jobs=1, random_state=seed, verbose=-1)
        model.fit(x["train"], y["train"], eval_set=[(x["valid"], y["valid"])], eval_metric="auc",
            callbacks=[lgb.early_stopping(50, verbose=False)])
        found = roc_auc_score(y["valid"], model.predict_proba(x["valid"])[:, 1])
        if best is None or found > best[0]:
            best = (found, model.predict_proba(x["test"])[:, 1])
    return best[1]
def logistic():
    x = {s: [] for s in parts}
    for name in categorical:
        known = pd.Index(parts["train"][name].unique())
        for s, p in parts.items():
            at = known.get_indexer(p[name]); rows = np.flatnonzero(at >= 0)
            x[s].append(sparse.csr_matrix((np.ones(len(rows)), (rows, at[rows])), (len(p), len(known))))
    for name in numeric:
        raw = parts["train"][name].astype(float)
        log = raw.min() >= 0 and raw.skew() > 2
        f = np.log1p if log else (lambda v: v)
        mean, sd = f(raw).mean(), f(raw).std() or 1.0
        for s, p in parts.items():
            v = (f(p[name].astype(float)) - mean) / sd
            x[s].append(sparse.csr_matrix(np.stack([v.fillna(0), v.isna()], 1)))
    x = {s: sparse.hstack(v).tocsr() for s, v in x.items()}
    best = None
    for c in (0.03, 0.1, 0.3, 1.0):
        model = LogisticRegression(C=c, max_iter=300).fit(x["train"], y["train"])
        found = roc_auc_score(y["valid"], model.predict_proba(x["valid"])[:, 1])
        if best is None or found > best[0]:
            best = (found, model.predict_proba(x["test"])[:, 1])
    return best[1]
for name, peer in (("lightgbm", trees), ("logistic", logistic)):
    p = peer()
    out[name] = {"auc": roc_auc_score(y["test"], p), "logloss": log_loss(y["test"], p)}
print(json.dumps(out))
"""


def run(command: list[Any], **environment: str) -> str:
    """Run a command; its standard output."""
    env = {**os.environ, "PYTHONPATH": f"{PROJECT / 'src'}:{PROJECT}", **environment}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=PROJECT,
        env=env,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def prepare(root: Path, table: pa.Table, spec: dict[str, Any]) -> None:
    """The features, the specification and the dataset of tasks.ctr.preprocess."""
    (root / "features").mkdir(parents=True)
    pq.write_table(table, root / "features" / "part-0.parquet")
    (root / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    (root / "defaults.yaml").write_text("{}\n")
    last = FIRST + dt.timedelta(days=DAYS - 1)
    run(
        [
            *(sys.executable, "-m", "tasks.ctr.preprocess", "--features", root / "features"),
            *("--spec", root / "spec.yaml", "--ds", last, "--train-days", DAYS),
            *("--out", root / "dataset", "--result", root / "preprocess.json"),
        ]
    )


def ours(root: Path, name: str, changes: list[str]) -> dict[str, Any]:
    """Train by the defaults, with some of them changed; the model card."""
    out = root / name.replace("/", "_")
    sets = [part for change in changes for part in ("--set", change)]
    run(
        [
            *(sys.executable, "-m", "tasks.ctr.train", "--dataset", root / "dataset"),
            *("--spec", root / "spec.yaml", "--hyperparameters", root / "defaults.yaml", *sets),
            *("--out", out, "--checkpoint", root / "checkpoint", "--result", root / "train.json"),
        ]
    )
    card: dict[str, Any] = json.loads((out / "model_card.json").read_text())
    return card


def main() -> None:
    """Print a line of JSON a seed and model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--peers", type=Path, help="Python with lightgbm and scikit-learn")
    parser.add_argument("--data", choices=("clicks", "criteo", "movielens"), default="clicks")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument(
        "--try",
        dest="tries",
        action="append",
        default=[],
        metavar="KEY=VALUE[;KEY=VALUE]",
        help="also train with these hyper-parameters",
    )
    parser.add_argument("--families", nargs="*", default=["deepfm"])
    parser.add_argument("--keep", type=Path, help="folder to work in and to keep")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as made:
        for seed in options.seeds:
            root = (options.keep or Path(made)) / f"{options.data}-{seed}"
            if not (root / "dataset").exists():
                if options.data != "movielens":
                    made_by = {"clicks": clicks, "criteo": criteo}[options.data]
                    prepare(root, *made_by(options.rows, seed))
                else:
                    where = run(
                        [
                            options.peers,
                            "-c",
                            "import sysconfig;print(sysconfig.get_path('purelib'))",
                        ]
                    ).strip()
                    prepare(root, *movielens(Path(where) / "recbole/dataset_example/ml-100k"))
            spec = yaml.safe_load((root / "spec.yaml").read_text())
            if options.peers:
                names = [json.dumps(list(spec[kind])) for kind in ("categorical", "numeric")]
                found = json.loads(run([options.peers, "-c", PEERS, root, *names, seed]))
                for peer, figures in found.items():
                    print(json.dumps({"seed": seed, "model": peer, **figures}), flush=True)
            for family in options.families:
                for changes in ("", *options.tries):
                    sets = [f"family={family}", f"seed={seed}"] + [
                        c for c in changes.split(";") if c
                    ]
                    card = ours(root, f"{family}-{changes}", sets)
                    line = {"seed": seed, "model": family, "changes": changes}
                    line |= {key: card["test"][key] for key in ("auc", "logloss", "calibration")}
                    line |= {key: card[key] for key in ("best_epoch", "epochs")}
                    line["valid_auc"] = card["valid"]["auc"]
                    line["seconds"] = card["seconds"]["total"]
                    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

